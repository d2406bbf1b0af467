//! PayU's outcomes: the samples of its VPA lookup, and its words for the common scenarios. PayU publishes
//! no test data for bank accounts.

use crate::payu::replies::{Outcome, VpaFound};
use crate::scenario::{self, Scenario};

/// The finding that an account number selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    Account(Outcome),
    /// The IFSC is well formed and does not exist.
    UnknownIfsc,
    /// PayU or the bank fails, before any money moves.
    Failure,
}

/// Returns the finding of an account. PayU says YES or No: fraud, NRE and inconclusive, for which it has
/// no word, are a No with an `error` of their own.
pub(super) fn of_account(outcome: scenario::Outcome) -> Finding {
    Finding::Account(match outcome {
        scenario::Outcome::Valid | scenario::Outcome::OwnRow(_) => Outcome::Exists,
        // The one published text of `error`, in its own spelling.
        scenario::Outcome::Invalid => Outcome::No("Invalid Benificiary MMID/Mobile Number"),
        scenario::Outcome::Closed => Outcome::No("Account closed"),
        scenario::Outcome::Blocked => Outcome::No("Account blocked or frozen"),
        scenario::Outcome::Fraud => Outcome::No("Suspected fraud"),
        scenario::Outcome::Nre => Outcome::No("NRE account"),
        scenario::Outcome::Inconclusive => Outcome::No("Transaction not permitted to account"),
        scenario::Outcome::InvalidIfsc => return Finding::UnknownIfsc,
        scenario::Outcome::Technical => return Finding::Failure,
    })
}

/// Returns the finding of a VPA; `None`: PayU or the bank fails. The lookup has no pending state: a
/// scenario that is pending has its last state here.
pub(super) fn of_vpa(vpa: &str, scenario: Scenario) -> Option<VpaFound> {
    let well_formed = vpa
        .split_once('@')
        .is_some_and(|(user, handle)| !user.is_empty() && !handle.is_empty());
    if !well_formed || vpa.eq_ignore_ascii_case("abc@upi") {
        return Some(VpaFound::Invalid);
    }
    if vpa.eq_ignore_ascii_case("9999999999@upi") {
        return Some(VpaFound::Valid("ABC".to_owned()));
    }
    match scenario.outcome {
        scenario::Outcome::Technical => None,
        scenario::Outcome::Invalid
        | scenario::Outcome::InvalidIfsc
        | scenario::Outcome::Closed
        | scenario::Outcome::Blocked
        | scenario::Outcome::Fraud
        | scenario::Outcome::Inconclusive => Some(VpaFound::Invalid),
        scenario::Outcome::Valid | scenario::Outcome::Nre | scenario::Outcome::OwnRow(_) => {
            let holder = scenario.holder(vpa, None);
            Some(VpaFound::Valid(holder.unwrap_or_default()))
        }
    }
}
