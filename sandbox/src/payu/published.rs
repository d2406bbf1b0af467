//! What PayU's pages have as samples of its VPA look-up, and what the scenarios all gateways have come to
//! here. For bank accounts no test data are published.

use crate::scenario::{Asked, Scenario};
use crate::shows::Shows;

/// What becomes of an account's verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Exists,
    /// It does not, and what `error` says of it.
    No(&'static str),
}

/// What is asked for by an account's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    Account(Outcome, Shows),
    /// The IFSC is well formed and is none.
    UnknownIfsc,
    /// PayU or the bank fails, before any money moves.
    Failure,
}

/// The one published text of `error`, in its own spelling.
const INVALID: Outcome = Outcome::No("Invalid Benificiary MMID/Mobile Number");

/// What is found of an account whose number asks for this. PayU says YES or No: what it cannot say
/// (fraud, NRE, not to be told) is a No with an `error` of its own.
pub(super) fn bank_account(asked: Asked) -> Finding {
    let Asked::Scenario(scenario) = asked else {
        return Finding::Account(Outcome::Exists, Shows::AtOnce);
    };
    let no = |error| Finding::Account(Outcome::No(error), Shows::AtOnce);
    match scenario {
        Scenario::PendingThenValid => Finding::Account(Outcome::Exists, Shows::Later),
        Scenario::PendingThenInvalid => Finding::Account(INVALID, Shows::Later),
        Scenario::PendingForever => Finding::Account(Outcome::Exists, Shows::Never),
        Scenario::NameMissing
        | Scenario::NameVerified
        | Scenario::NameNotAvailable
        | Scenario::OtherName => Finding::Account(Outcome::Exists, Shows::AtOnce),
        Scenario::Invalid => Finding::Account(INVALID, Shows::AtOnce),
        Scenario::InvalidIfsc => Finding::UnknownIfsc,
        Scenario::Closed => no("Account closed"),
        Scenario::Blocked => no("Account blocked or frozen"),
        Scenario::Fraud => no("Suspected fraud"),
        Scenario::Nre => no("NRE account"),
        Scenario::Inconclusive => no("Transaction not permitted to account"),
        Scenario::Technical | Scenario::TechnicalOnce => Finding::Failure,
    }
}

/// What the look-up finds of a VPA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Vpa {
    /// It exists, under this name; "" and "NA" where the bank tells none.
    Valid(String),
    Invalid,
    /// PayU or the bank fails.
    Failure,
}

/// What is found of this VPA. `asked` is what it asks for, `name` what it is then told under. The
/// look-up knows no pending: what would be pending is found as it would end.
pub(super) fn vpa(vpa: &str, asked: Asked, name: Option<String>) -> Vpa {
    if vpa.eq_ignore_ascii_case("9999999999@upi") {
        return Vpa::Valid("ABC".to_owned());
    }
    if vpa.eq_ignore_ascii_case("abc@upi") {
        return Vpa::Invalid;
    }
    match asked {
        Asked::Scenario(
            Scenario::PendingThenInvalid
            | Scenario::Invalid
            | Scenario::InvalidIfsc
            | Scenario::Closed
            | Scenario::Blocked
            | Scenario::Fraud
            | Scenario::Inconclusive,
        ) => Vpa::Invalid,
        Asked::Scenario(Scenario::Technical | Scenario::TechnicalOnce) => Vpa::Failure,
        _ => Vpa::Valid(name.unwrap_or_default()),
    }
}
