//! PayU's outcomes: the samples of its VPA lookup, and its words for the common scenarios. PayU publishes
//! no test data for bank accounts.

use crate::payu::replies::Outcome;
use crate::scenario::{self, Scenario};

/// Returns the outcome of an account, or its refusal. PayU says YES or No: fraud, NRE and inconclusive, for
/// which it has no word, are a No with an `error` of their own. An IFSC that is well formed and does not
/// exist is refused where the caller demands the check; PayU or the bank fails before any money moves.
pub(super) fn of_account(
    outcome: scenario::Outcome,
    validate_ifsc: bool,
) -> Result<Outcome, &'static str> {
    Ok(Err(match outcome {
        scenario::Outcome::Valid | scenario::Outcome::OwnRow(_) => return Ok(Ok(())),
        // The one published text of `error`, in its own spelling.
        scenario::Outcome::Invalid => "Invalid Benificiary MMID/Mobile Number",
        scenario::Outcome::InvalidIfsc if validate_ifsc => return Err("IFSC_CODE"),
        scenario::Outcome::InvalidIfsc => "Invalid IFSC",
        scenario::Outcome::Closed => "Account closed",
        scenario::Outcome::Blocked => "Account blocked or frozen",
        scenario::Outcome::Fraud => "Suspected fraud",
        scenario::Outcome::Nre => "NRE account",
        scenario::Outcome::Inconclusive => "Transaction not permitted to account",
        scenario::Outcome::Technical => return Err("FAILURE"),
    }))
}

/// Returns the name at the bank of a VPA, `None` if the VPA does not exist, or the refusal. The lookup has
/// no pending state: a scenario that is pending has its last state here.
pub(super) fn of_vpa(vpa: &str, scenario: Scenario) -> Result<Option<String>, &'static str> {
    let well_formed = vpa
        .split_once('@')
        .is_some_and(|(user, handle)| !user.is_empty() && !handle.is_empty());
    if !well_formed || vpa.eq_ignore_ascii_case("abc@upi") {
        return Ok(None);
    }
    if vpa.eq_ignore_ascii_case("9999999999@upi") {
        return Ok(Some("ABC".to_owned()));
    }
    match scenario.outcome {
        scenario::Outcome::Technical => Err("FAILURE"),
        scenario::Outcome::Inconclusive => Ok(None),
        unusable if unusable.is_unusable() => Ok(None),
        _ => Ok(Some(scenario.holder(vpa, None).unwrap_or_default())),
    }
}
