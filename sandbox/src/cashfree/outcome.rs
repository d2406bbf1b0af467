//! What a bank account comes to, in Cashfree's words, and which outcome a scenario or a row of
//! Cashfree's own table asks for.

use crate::cashfree::refusal::Refusal;
use crate::cashfree::wire::{AccountStatus, AccountStatusCode, UpiStatus};
use crate::scenario::{Asked, Scenario};
use crate::shows::Shows;

/// `account_status` and `account_status_code`.
pub(super) type Outcome = (AccountStatus, AccountStatusCode);

/// The outcome of a good account.
pub(super) const VALID: Outcome = (AccountStatus::Valid, AccountStatusCode::AccountIsValid);

/// What is said until there is an outcome.
pub(super) const RECEIVED: Outcome = (
    AccountStatus::Received,
    AccountStatusCode::ValidationInProgress,
);

/// The outcome of a verification the balance was too small for.
pub(super) const TOO_POOR: Outcome = (
    AccountStatus::Rejected,
    AccountStatusCode::InsufficientBalance,
);

/// What becomes of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finding {
    /// Told from the start where it never shows: its words say that it is pending.
    pub(super) outcome: Outcome,
    pub(super) shows: Shows,
}

impl Finding {
    pub(super) const fn at_once(outcome: Outcome) -> Self {
        Self {
            outcome,
            shows: Shows::AtOnce,
        }
    }
}

/// Cashfree's account status code table; a row is what an account number ending in `990088` and the
/// row's place asks for. The last three stay pending. The status beside FRAUD_ACCOUNT and BAV_BLOCKED is
/// not published; they are a no, so it is INVALID here.
const ROWS: [Outcome; 18] = {
    use AccountStatus::{Failed, InProcess, Invalid, Processing, Received, Rejected, Valid};
    use AccountStatusCode as Code;
    [
        (Valid, Code::AccountIsValid),
        (Invalid, Code::InvalidAccountFail),
        (Invalid, Code::InvalidIfscFail),
        (Invalid, Code::AccountBlocked),
        (Invalid, Code::NreAccountFail),
        (Invalid, Code::FraudAccount),
        (Invalid, Code::BavBlocked),
        (Failed, Code::FailedAtBank),
        (Failed, Code::NpciUnavailable),
        (Failed, Code::ConnectionTimeout),
        (Failed, Code::SourceBankDeclined),
        (Failed, Code::BeneficiaryBankOffline),
        (Failed, Code::BeneBankDeclined),
        (Failed, Code::ImpsModeFail),
        (Rejected, Code::InsufficientBalance),
        (Received, Code::ValidationInProgress),
        (InProcess, Code::ValidationInProgress),
        (Processing, Code::VerificationAlreadyUnderProcess),
    ]
};

/// The first row that stays pending.
const FIRST_PENDING: usize = 15;

/// The finding that is asked for, or the refusal: rows 20 and 21 are no outcomes but an HTTP 422 and 502.
pub(super) fn of_account(asked: Asked) -> Result<Finding, Refusal> {
    let outcome = match asked {
        Asked::Nothing => VALID,
        Asked::Scenario(scenario) => return Ok(of_scenario(scenario)),
        Asked::OwnRow(20) => return Err(Refusal::bank_declined()),
        Asked::OwnRow(21) => return Err(Refusal::bad_gateway()),
        Asked::OwnRow(row) if row >= FIRST_PENDING => {
            return Ok(Finding {
                outcome: ROWS.get(row).copied().unwrap_or(RECEIVED),
                shows: Shows::Never,
            });
        }
        Asked::OwnRow(row) => ROWS.get(row).copied().unwrap_or(VALID),
    };
    Ok(Finding::at_once(outcome))
}

fn of_scenario(scenario: Scenario) -> Finding {
    use AccountStatus::{Failed, Invalid};
    use AccountStatusCode as Code;
    let invalid = (Invalid, Code::InvalidAccountFail);
    let later = |outcome| Finding {
        outcome,
        shows: Shows::Later,
    };
    Finding::at_once(match scenario {
        Scenario::PendingThenValid => return later(VALID),
        Scenario::PendingThenInvalid => return later(invalid),
        Scenario::PendingForever => {
            return Finding {
                outcome: RECEIVED,
                shows: Shows::Never,
            };
        }
        Scenario::NameMissing
        | Scenario::NameVerified
        | Scenario::NameNotAvailable
        | Scenario::OtherName => VALID,
        // Cashfree has no word for a closed account.
        Scenario::Invalid | Scenario::Closed => invalid,
        Scenario::InvalidIfsc => (Invalid, Code::InvalidIfscFail),
        Scenario::Blocked => (Invalid, Code::AccountBlocked),
        Scenario::Fraud => (Invalid, Code::FraudAccount),
        Scenario::Nre => (Invalid, Code::NreAccountFail),
        Scenario::Inconclusive => (Failed, Code::BeneBankDeclined),
        Scenario::Technical | Scenario::TechnicalOnce => (Failed, Code::NpciUnavailable),
    })
}

/// The status of a VPA that is asked for. A VPA's answer comes at once or not at all, so what is pending
/// for an account is what it ends with here, and a failure is an HTTP error.
pub(super) fn of_vpa(asked: Asked) -> Result<UpiStatus, Refusal> {
    Ok(match asked {
        Asked::Nothing => UpiStatus::Valid,
        Asked::OwnRow(row) => match row {
            1 => UpiStatus::Invalid,
            2 => UpiStatus::Expired,
            3 => UpiStatus::NpciNameIncorrect,
            20 => return Err(Refusal::bank_declined()),
            21 => return Err(Refusal::bad_gateway()),
            _ => UpiStatus::Valid,
        },
        Asked::Scenario(scenario) => match scenario {
            Scenario::PendingThenValid
            | Scenario::NameMissing
            | Scenario::NameVerified
            | Scenario::NameNotAvailable
            | Scenario::OtherName => UpiStatus::Valid,
            Scenario::PendingForever | Scenario::Technical | Scenario::TechnicalOnce => {
                return Err(Refusal::bad_gateway());
            }
            Scenario::Inconclusive => return Err(Refusal::bank_declined()),
            Scenario::PendingThenInvalid
            | Scenario::Invalid
            | Scenario::InvalidIfsc
            | Scenario::Closed
            | Scenario::Blocked
            | Scenario::Fraud
            | Scenario::Nre => UpiStatus::Invalid,
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_pending_rows_are_those_that_say_so() {
        for (row, (status, _)) in ROWS.iter().enumerate() {
            let pending = matches!(
                status,
                AccountStatus::Received | AccountStatus::InProcess | AccountStatus::Processing
            );
            let finding = of_account(Asked::OwnRow(row)).unwrap();
            assert_eq!(finding.outcome, ROWS[row]);
            assert_eq!(finding.shows == Shows::Never, pending, "row {row}");
        }
        assert!(of_account(Asked::OwnRow(20)).is_err());
        assert!(of_account(Asked::OwnRow(21)).is_err());
    }
}
