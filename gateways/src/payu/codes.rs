//! Meaning of PayU's words. Words that are in no table are `Inconclusive`: the payee does not fail, and Khata calls another
//! gateway. Case does not matter.

use khata_domain::Class;
use khata_domain::validation::FailureCode;

use crate::body::Word;
use crate::meaning::{Meaning, contains_any};

/// Code for a reference that PayU has seen before.
pub(super) const DUPLICATE: &str = "1002";

/// Returns the meaning of `accountExists` of a verification.
pub(super) fn account_exists(word: &str) -> Meaning {
    match word.to_ascii_uppercase().as_str() {
        "YES" | "TRUE" | "1" => Meaning::of(Class::Valid),
        "NO" | "FALSE" | "0" => Meaning::invalid(FailureCode::InvalidAccount),
        "VERIFICATION_PENDING" => Meaning::of(Class::Pending),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of `txnStatus` of the penny's transfer (PayU, *Check transfer status*). Only a sentence gives the
/// reason of a failed transfer: the one that PayU documents for an account that does not exist counts, any other does not.
pub(super) fn transfer(status: &str, sentence: &str) -> Meaning {
    match status.to_ascii_uppercase().as_str() {
        "SUCCESS" if is_about_missing_account(sentence) => Meaning::Contradictory,
        "SUCCESS" => Meaning::of(Class::Valid),
        // SHEDULED: PayU's spelling.
        "QUEUED" | "SCHEDULED" | "SHEDULED" | "IN_PROGRESS" | "PENDING" | "WAITING_FOR_RETRY" => {
            Meaning::of(Class::Pending)
        }
        "FAILED" | "FAILURE" if is_about_missing_account(sentence) => {
            Meaning::invalid(FailureCode::InvalidAccount)
        }
        "FAILED" | "FAILURE" | "REVERSED" | "CANCELLED" => Meaning::of(Class::Inconclusive),
        _ => Meaning::Unlisted,
    }
}

/// Whether the sentence or the code beside a verification contradicts it: an account that does not exist is not valid.
pub(super) fn is_contradicted(verification: Meaning, sentence: &str, code: &str) -> bool {
    let is_rejected =
        is_about_missing_account(sentence) || payout(code, "").class() == Class::Invalid;
    verification.class() == Class::Valid && is_rejected
}

/// Whether the status beside the result says that the call failed, or may say so.
pub(super) fn may_have_failed(status: &Word) -> bool {
    match status {
        Word::Absent | Word::Blank => false,
        Word::Of(word) => {
            let failed = ["failure", "failed", "error", "false"];
            failed.contains(&word.to_ascii_lowercase().as_str())
        }
        Word::Unreadable | Word::Contradictory => true,
    }
}

/// Whether the sentence is "Invalid Benificiary MMID/Mobile Number", in PayU's spelling or the right one.
fn is_about_missing_account(sentence: &str) -> bool {
    let sentence = sentence.trim().to_ascii_lowercase();
    ["invalid benificiary mmid", "invalid beneficiary mmid"]
        .iter()
        .any(|words| sentence.starts_with(words))
}

/// Returns the meaning of `code` of a failed call (PayU, *Error codes for payouts*). Khata sends account numbers and IFSCs
/// in the right form, so "invalid account number" and "invalid IFSC code" decide about the account.
pub(super) fn payout(code: &str, sentence: &str) -> Meaning {
    match code {
        // PayU knows the call: Khata looks it up and does not send it again under another reference.
        DUPLICATE => Meaning::of(Class::Pending),
        "1004" => Meaning::invalid(FailureCode::InvalidAccount),
        "1005" | "1022" => Meaning::invalid(FailureCode::InvalidIfsc),
        // Our reference, our purpose, a feature that is off, the merchant's limits.
        "1001" | "1010" | "1011" | "1024" | "1025" | "1032" | "1128" => {
            Meaning::of(Class::Misconfigured)
        }
        // A name that PayU rejects; then fields that no call of Khata's holds: batches, amounts, telephone numbers, e-mail,
        // UPI transfers, cards, beneficiary ids, schedules, custom fields.
        "1007" | "1015" | "1003" | "1006" | "1008" | "1009" | "1012" | "1013" | "1014" | "1016"
        | "1017" | "1018" | "1019" | "1020" | "1021" | "1026" | "1027" | "1028" | "1030"
        | "1031" => Meaning::of(Class::Inconclusive),
        _ if is_about_balance(sentence) => Meaning::of(Class::Misconfigured),
        _ => Meaning::Unlisted,
    }
}

/// Whether the sentence reports an empty account, for which PayU has no code.
fn is_about_balance(sentence: &str) -> bool {
    let words = ["insufficient balance", "insufficient fund", "low balance"];
    contains_any(sentence, &words)
}

/// Returns the meaning of an error reply to a validating call; `None` if PayU may have acted on the call.
pub(super) fn error(status: u16, code: &str, sentence: &str) -> Option<Meaning> {
    match status {
        // A proxy's 408 says no more than a time-out.
        ..=399 | 408 | 409 | 500.. => None,
        401 | 403 | 404 => Some(Meaning::of(Class::Misconfigured)),
        429 => Some(Meaning::of(Class::Retryable)),
        // PayU's input check, as in a reply with status 1.
        400 | 422 if !code.is_empty() || is_about_balance(sentence) => Some(payout(code, sentence)),
        400 | 422 => Some(Meaning::of(Class::Inconclusive)),
        _ => Some(Meaning::Unlisted),
    }
}

/// Returns the meaning of `isVPAValid` of a UPI lookup.
pub(super) fn is_vpa_valid(word: &str) -> Meaning {
    match word.to_ascii_lowercase().as_str() {
        "1" | "true" => Meaning::of(Class::Valid),
        "0" | "false" => Meaning::invalid(FailureCode::InvalidVpa),
        _ => Meaning::Unlisted,
    }
}

/// Whether the sentence of a rejected command concerns the merchant's key, its hash or its permissions.
pub(super) fn is_about_key(sentence: &str) -> bool {
    let words = [
        "hash",
        "invalid key",
        "merchant key",
        "unauthori",
        "not enabled",
        "access denied",
    ];
    contains_any(sentence, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_word_has_its_class() {
        for (word, class) in [
            ("YES", Class::Valid),
            ("yes", Class::Valid),
            ("No", Class::Invalid),
            ("VERIFICATION_PENDING", Class::Pending),
        ] {
            assert_eq!(account_exists(word).class(), class, "{word}");
        }
        for (code, meaning) in [
            ("1002", Meaning::of(Class::Pending)),
            ("1004", Meaning::invalid(FailureCode::InvalidAccount)),
            ("1005", Meaning::invalid(FailureCode::InvalidIfsc)),
            ("1022", Meaning::invalid(FailureCode::InvalidIfsc)),
            ("1001", Meaning::of(Class::Misconfigured)),
            ("1010", Meaning::of(Class::Misconfigured)),
            ("1024", Meaning::of(Class::Misconfigured)),
            ("1128", Meaning::of(Class::Misconfigured)),
            ("1015", Meaning::of(Class::Inconclusive)),
        ] {
            assert_eq!(payout(code, ""), meaning, "{code}");
        }
        let documented = (1001..=1022).chain(1024..=1028).chain(1030..=1032);
        for code in documented.chain([1128]) {
            assert_ne!(payout(&code.to_string(), ""), Meaning::Unlisted, "{code}");
        }
        for (word, class) in [("1", Class::Valid), ("0", Class::Invalid)] {
            assert_eq!(is_vpa_valid(word).class(), class, "{word}");
        }
    }

    #[test]
    fn a_word_in_no_table_is_unlisted() {
        assert_eq!(account_exists("MAYBE"), Meaning::Unlisted);
        assert_eq!(account_exists(""), Meaning::Unlisted);
        assert_eq!(transfer("MAYBE", ""), Meaning::Unlisted);
        assert_eq!(is_vpa_valid("2"), Meaning::Unlisted);
        for code in ["1023", "1029", "9999", ""] {
            assert_eq!(payout(code, ""), Meaning::Unlisted, "{code}");
        }
        assert_eq!(error(418, "", ""), Some(Meaning::Unlisted));
    }

    #[test]
    fn a_failed_transfer_decides_only_if_the_account_does_not_exist() {
        for status in [
            "QUEUED",
            "SCHEDULED",
            "in_progress",
            "PENDING",
            "WAITING_FOR_RETRY",
        ] {
            assert_eq!(transfer(status, "").class(), Class::Pending, "{status}");
        }
        assert_eq!(transfer("SUCCESS", "").class(), Class::Valid);
        for status in ["FAILED", "REVERSED", "CANCELLED"] {
            let meaning = transfer(status, "Internal Error");
            assert_eq!(meaning, Meaning::of(Class::Inconclusive), "{status}");
        }
        let no_such_account = transfer("FAILED", "Invalid Benificiary MMID/Mobile Number");
        assert_eq!(
            no_such_account,
            Meaning::invalid(FailureCode::InvalidAccount)
        );
    }

    #[test]
    fn our_own_faults_are_never_the_payees() {
        let misconfigured = Some(Meaning::of(Class::Misconfigured));
        for status in [401, 403, 404] {
            assert_eq!(error(status, "1004", ""), misconfigured, "{status}");
        }
        for sentence in ["Insufficient balance in your account", "Low Balance"] {
            assert_eq!(error(400, "", sentence), misconfigured, "{sentence}");
            assert_eq!(payout("", sentence), Meaning::of(Class::Misconfigured));
        }
        assert_eq!(error(400, "", ""), Some(Meaning::of(Class::Inconclusive)));
        assert_eq!(error(429, "", ""), Some(Meaning::of(Class::Retryable)));
        for lost in [302, 408, 409, 500, 503] {
            assert_eq!(error(lost, "", ""), None, "{lost}");
        }
    }
}
