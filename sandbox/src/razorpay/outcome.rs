//! What a validation comes to, in Razorpay's words, and which outcome a scenario or a row of Razorpay's
//! own table asks for.

use crate::razorpay::refusal::Refusal;
use crate::scenario::{Asked, Scenario};
use crate::shows::Shows;

/// How a validation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// `completed`, with this `account_status`: the account was looked at.
    Completed(Option<&'static str>),
    /// `failed`, with this reason: it was not, and the charge is reversed.
    Failed(&'static str),
}

/// What is seen of Razorpay in samples and code that its tables do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Oddity {
    None,
    /// `name_match_score` is text.
    ScoreIsText,
    /// A `created` answer has its `utr` already.
    UtrAtOnce,
    /// `results` instead of `validation_results`, without a score: the shape before the composite one.
    Classic,
    /// `registered_name` is empty text.
    EmptyName,
}

/// What becomes of an account or a VPA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) ending: Ending,
    pub(super) shows: Shows,
    pub(super) oddity: Oddity,
}

impl Finding {
    /// Whether the account is there, whatever word says so.
    pub(super) fn is_valid(self) -> bool {
        matches!(self.ending, Ending::Completed(Some("active" | "valid")))
    }
}

/// The outcome of a good account.
const ACTIVE: Ending = Ending::Completed(Some("active"));

/// The reasons of `failed` (RazorpayX, account validation, `status_details`): a row is what a number
/// ending in `990088` and the row's place asks for.
const REASONS: [&str; 20] = [
    "gateway_technical_error",
    "gateway_timeout",
    "gateway_down",
    "beneficiary_bank_offline",
    "beneficiary_bank_failure",
    "beneficiary_bank_technical_error",
    "beneficiary_psp_offline",
    "npci_beneficiary_timeout",
    "server_error_temporary",
    "bank_account_invalid",
    "bank_account_closed",
    "bank_account_frozen",
    "beneficiary_account_dormant",
    "invalid_ifsc_code",
    "beneficiary_account_invalid",
    "imps_not_allowed",
    "beneficiary_bank_rejected",
    "server_error",
    "beneficiary_vpa_invalid",
    "insufficient_funds",
];

/// Whether a reason of `failed` says no to the account for good; the others say nothing of it.
pub(super) fn is_final(reason: &str) -> bool {
    matches!(
        reason,
        "bank_account_invalid"
            | "bank_account_closed"
            | "bank_account_frozen"
            | "beneficiary_account_dormant"
            | "invalid_ifsc_code"
            | "beneficiary_account_invalid"
            | "beneficiary_vpa_invalid"
    )
}

const fn at_once(ending: Ending) -> Finding {
    Finding {
        ending,
        shows: Shows::AtOnce,
        oddity: Oddity::None,
    }
}

const fn odd(oddity: Oddity) -> Finding {
    Finding {
        oddity,
        ..at_once(ACTIVE)
    }
}

/// The finding that is asked for, or the refusal: rows 50 and 51 are no outcomes but an HTTP 404 (the
/// feature is off) and 502.
pub(super) fn of(asked: Asked, is_vpa: bool) -> Result<Finding, Refusal> {
    Ok(match asked {
        Asked::Nothing => at_once(ACTIVE),
        Asked::Scenario(scenario) => of_scenario(scenario, is_vpa),
        Asked::OwnRow(row) => match (REASONS.get(row), row) {
            (Some(reason), _) => at_once(Ending::Failed(reason)),
            (None, 30) => at_once(Ending::Completed(Some("valid"))),
            (None, 31) => at_once(Ending::Completed(Some("invalid"))),
            (None, 32) => at_once(Ending::Completed(Some("inactive"))),
            (None, 33) => at_once(Ending::Completed(Some(""))),
            (None, 34) => at_once(Ending::Completed(None)),
            (None, 40) => odd(Oddity::ScoreIsText),
            (None, 41) => odd(Oddity::UtrAtOnce),
            (None, 42) => odd(Oddity::Classic),
            (None, 43) => odd(Oddity::EmptyName),
            (None, 50) => return Err(Refusal::no_such_url()),
            (None, 51) => return Err(Refusal::gateway_error()),
            (None, _) => at_once(ACTIVE),
        },
    })
}

fn of_scenario(scenario: Scenario, is_vpa: bool) -> Finding {
    let invalid = Ending::Completed(Some("invalid"));
    let pending = |ending, shows| Finding {
        shows,
        ..at_once(ending)
    };
    at_once(match scenario {
        Scenario::PendingThenValid => return pending(ACTIVE, Shows::Later),
        Scenario::PendingThenInvalid => return pending(invalid, Shows::Later),
        Scenario::PendingForever => return pending(ACTIVE, Shows::Never),
        Scenario::NameMissing
        | Scenario::NameVerified
        | Scenario::NameNotAvailable
        | Scenario::OtherName
        // Razorpay has no word for these two: such an account is as good as any.
        | Scenario::Fraud
        | Scenario::Nre => ACTIVE,
        Scenario::Invalid if is_vpa => Ending::Failed("beneficiary_vpa_invalid"),
        Scenario::Invalid => invalid,
        Scenario::InvalidIfsc => Ending::Failed("invalid_ifsc_code"),
        Scenario::Closed => Ending::Failed("bank_account_closed"),
        Scenario::Blocked => Ending::Failed("bank_account_frozen"),
        Scenario::Inconclusive => Ending::Failed("beneficiary_bank_rejected"),
        Scenario::Technical | Scenario::TechnicalOnce => {
            Ending::Failed("gateway_technical_error")
        }
    })
}
