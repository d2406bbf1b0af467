//! Names: the beneficiary's, from the merchant, against the account holder's, from the bank.

use khata_domain::Details;
use khata_name_match::{NameMatch, NameMatchResult, compare, is_placeholder};

/// Returns the name at the bank; `None` for the placeholders that some gateways send (`NA`, `VERIFIED`).
pub(super) fn real_name(name_at_bank: Option<&String>) -> Option<&str> {
    let name = name_at_bank?.trim();
    (!is_placeholder(name)).then_some(name)
}

/// Compares the names, if there are both.
pub(super) fn compare_names(details: &Details, name_at_bank: Option<&String>) -> Option<NameMatch> {
    match details {
        Details::Bank(bank) => {
            let given = bank.beneficiary_name.as_ref()?;
            compare(given.expose(), real_name(name_at_bank)?)
        }
        Details::Upi(_) => None,
    }
}

/// Whether the names belong to different holders.
pub(super) fn is_mismatch(name_match: Option<NameMatch>) -> bool {
    name_match.is_some_and(|found| found.result == NameMatchResult::NoMatch)
}
