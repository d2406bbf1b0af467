//! Razorpay's outcomes: the rows of its own table, and its words for the common scenarios.

use crate::scenario::{Outcome, Scenario, Timing};

/// How a validation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// `completed`, with this `account_status`: the account was checked.
    Completed(Option<&'static str>),
    /// `failed`, with this reason: the account was not checked, and the charge is reversed.
    Failed(&'static str),
}

/// A variation in samples and code of Razorpay that its tables do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Oddity {
    None,
    /// `name_match_score` is text.
    ScoreIsText,
    /// A `created` reply has its `utr` already.
    UtrAtOnce,
    /// `results` instead of `validation_results`, without a score: the shape before the composite one.
    Classic,
    /// `registered_name` is empty text.
    EmptyName,
}

/// Ending and oddity of a validation.
pub(super) type Found = (Ending, Oddity);

impl Ending {
    /// Returns whether the account exists, by either word for it.
    pub(super) fn is_valid(self) -> bool {
        matches!(self, Self::Completed(Some("active" | "valid")))
    }
}

const ACTIVE: Ending = Ending::Completed(Some("active"));

/// Rows 0 to 19: the reasons of `failed` (RazorpayX, account validation, `status_details`).
const REASONS: &str = "gateway_technical_error gateway_timeout gateway_down beneficiary_bank_offline \
    beneficiary_bank_failure beneficiary_bank_technical_error beneficiary_psp_offline \
    npci_beneficiary_timeout server_error_temporary bank_account_invalid bank_account_closed \
    bank_account_frozen beneficiary_account_dormant invalid_ifsc_code \
    beneficiary_account_invalid imps_not_allowed beneficiary_bank_rejected server_error \
    beneficiary_vpa_invalid insufficient_funds";

/// Returns whether a reason of `failed` is a final no to the account (rows 9 to 14, and 18: a VPA that does
/// not exist); other reasons say nothing of it.
pub(super) fn is_final(reason: &str) -> bool {
    let row = REASONS.split(' ').position(|known| known == reason);
    matches!(row, Some(9..=14 | 18))
}

/// Returns the outcome of a scenario, or its refusal: rows 50 and 51 are an HTTP 404 (the feature is off)
/// and 502.
pub(super) fn of(scenario: Scenario, is_vpa: bool) -> Result<Found, &'static str> {
    let ending = match scenario.outcome {
        // Razorpay has no word for fraud and non-residents: such an account is as good as any.
        Outcome::Valid | Outcome::Fraud | Outcome::Nre => ACTIVE,
        Outcome::Invalid if is_vpa && scenario.timing == Timing::AtOnce => {
            Ending::Failed("beneficiary_vpa_invalid")
        }
        Outcome::Invalid => Ending::Completed(Some("invalid")),
        Outcome::InvalidIfsc => Ending::Failed("invalid_ifsc_code"),
        Outcome::Closed => Ending::Failed("bank_account_closed"),
        Outcome::Blocked => Ending::Failed("bank_account_frozen"),
        Outcome::Inconclusive => Ending::Failed("beneficiary_bank_rejected"),
        Outcome::Technical => Ending::Failed("gateway_technical_error"),
        Outcome::OwnRow(row) => return of_row(row),
    };
    Ok((ending, Oddity::None))
}

fn of_row(row: usize) -> Result<Found, &'static str> {
    if let Some(reason) = REASONS.split(' ').nth(row) {
        return Ok((Ending::Failed(reason), Oddity::None));
    }
    Ok(match row {
        30 => (Ending::Completed(Some("valid")), Oddity::None),
        31 => (Ending::Completed(Some("invalid")), Oddity::None),
        32 => (Ending::Completed(Some("inactive")), Oddity::None),
        33 => (Ending::Completed(Some("")), Oddity::None),
        34 => (Ending::Completed(None), Oddity::None),
        40 => (ACTIVE, Oddity::ScoreIsText),
        41 => (ACTIVE, Oddity::UtrAtOnce),
        42 => (ACTIVE, Oddity::Classic),
        43 => (ACTIVE, Oddity::EmptyName),
        50 => return Err("NO_SUCH_URL"),
        51 => return Err("GATEWAY_ERROR"),
        _ => (ACTIVE, Oddity::None),
    })
}
