//! Cashfree's outcomes: the published test data ("Data to test integration"), the rows of its account
//! status code table, and its words for the common scenarios.

use crate::scenario::{Outcome, Scenario, Timing};

/// `account_status` and `account_status_code`.
pub(super) type Status = (&'static str, &'static str);

pub(super) const VALID: Status = ("VALID", "ACCOUNT_IS_VALID");

/// The status before the outcome.
pub(super) const RECEIVED: Status = ("RECEIVED", "VALIDATION_IN_PROGRESS");

/// The outcome of an accepted verification for which the balance is too small.
pub(super) const REJECTED: Status = ("REJECTED", "INSUFFICIENT_BALANCE");

const INVALID: Status = ("INVALID", "INVALID_ACCOUNT_FAIL");
const INVALID_IFSC: Status = ("INVALID", "INVALID_IFSC_FAIL");
const BLOCKED: Status = ("INVALID", "ACCOUNT_BLOCKED");
const NRE: Status = ("INVALID", "NRE_ACCOUNT_FAIL");
const FRAUD: Status = ("INVALID", "FRAUD_ACCOUNT");
const NPCI_UNAVAILABLE: Status = ("FAILED", "NPCI_UNAVAILABLE");
const BENE_BANK_DECLINED: Status = ("FAILED", "BENE_BANK_DECLINED");

/// Returns whether the outcome is still to come.
pub(super) fn is_pending((status, _): Status) -> bool {
    matches!(status, "RECEIVED" | "IN_PROCESS" | "PROCESSING")
}

/// The published accounts: account, IFSC, outcome, timing. Both account and IFSC must match.
///
/// "Pending, then failure" does not say which failure; here it is an invalid account, the failure that
/// is the payee's and final.
const ACCOUNTS: [(&str, &str, Status, Timing); 15] = [
    ("026291800001191", "YESB0000262", VALID, Timing::AtOnce),
    ("00011020001772", "HDFC0000001", VALID, Timing::AtOnce),
    ("1233943142", "ICIC0000009", VALID, Timing::AtOnce),
    ("388108022658", "ICIC0000009", VALID, Timing::AtOnce),
    ("000890289871772", "SCBL0036078", VALID, Timing::AtOnce),
    ("000100289877623", "SBIN0008752", VALID, Timing::AtOnce),
    ("026291800001190", "YESB0000262", INVALID, Timing::AtOnce),
    ("234005000876", "ICIC0000007", INVALID, Timing::AtOnce),
    ("2640101002729", "CNRR0002640", INVALID_IFSC, Timing::AtOnce),
    ("1234567890", "ICIC0000001", INVALID_IFSC, Timing::AtOnce),
    ("007711000031", "HDFC0000077", RECEIVED, Timing::Never),
    ("00224412311300", "YESB0000001", VALID, Timing::Later),
    ("7766666351000", "YESB0000001", INVALID, Timing::Later),
    ("7766667989884", "RATN0000070", BLOCKED, Timing::AtOnce),
    ("7766667755761", "ICIC0000001", NRE, Timing::AtOnce),
];

/// The published VPAs, in small letters. Two are published as failing without saying how; of the
/// statuses INVALID, EXPIRED and NPCI_NAME_INCORRECT the first fits both names: the address is wrong,
/// not the name.
const VPAS: [(&str, &str); 3] = [
    ("success@upi", "VALID"),
    ("incorrect@upi", "INVALID"),
    ("invalid@upi", "INVALID"),
];

/// The published account holder, whom names are scored against.
pub(super) const JOHN_DOE: &str = "JOHN DOE";

/// Cashfree's account status code table. The status beside FRAUD_ACCOUNT and BAV_BLOCKED is not
/// published; both are a no, so it is INVALID here. The last three rows stay pending.
const ROWS: [Status; 18] = [
    VALID,
    INVALID,
    INVALID_IFSC,
    BLOCKED,
    NRE,
    FRAUD,
    ("INVALID", "BAV_BLOCKED"),
    ("FAILED", "FAILED_AT_BANK"),
    NPCI_UNAVAILABLE,
    ("FAILED", "CONNECTION_TIMEOUT"),
    ("FAILED", "SOURCE_BANK_DECLINED"),
    ("FAILED", "BENEFICIARY_BANK_OFFLINE"),
    BENE_BANK_DECLINED,
    ("FAILED", "IMPS_MODE_FAIL"),
    REJECTED,
    RECEIVED,
    ("IN_PROCESS", "VALIDATION_IN_PROGRESS"),
    ("PROCESSING", "VERIFICATION_ALREADY_UNDER_PROCESS"),
];

/// Returns the outcome of an account, or its refusal: rows 20 and 21 are an HTTP 422 and 502.
pub(super) fn of_account(
    account: &str,
    ifsc: &str,
    scenario: Scenario,
) -> Result<(Status, Timing), &'static str> {
    let published = ACCOUNTS
        .iter()
        .find(|(known, branch, ..)| *known == account && *branch == ifsc);
    if let Some(&(.., outcome, timing)) = published {
        return Ok((outcome, timing));
    }
    let outcome = match scenario.outcome {
        Outcome::Valid if scenario.timing == Timing::Never => RECEIVED,
        Outcome::Valid => VALID,
        // Cashfree has no word for a closed account.
        Outcome::Invalid | Outcome::Closed => INVALID,
        Outcome::InvalidIfsc => INVALID_IFSC,
        Outcome::Blocked => BLOCKED,
        Outcome::Fraud => FRAUD,
        Outcome::Nre => NRE,
        Outcome::Inconclusive => BENE_BANK_DECLINED,
        Outcome::Technical => NPCI_UNAVAILABLE,
        Outcome::OwnRow(20) => return Err("BANK_DECLINED"),
        Outcome::OwnRow(21) => return Err("BAD_GATEWAY"),
        Outcome::OwnRow(row) => {
            // A row beyond the table is pending for ever.
            let outcome = ROWS.get(row).copied().unwrap_or(RECEIVED);
            if is_pending(outcome) {
                return Ok((outcome, Timing::Never));
            }
            outcome
        }
    };
    Ok((outcome, scenario.timing))
}

/// Returns the published holder of an account, if there is one.
pub(super) fn published_holder(account: &str, ifsc: &str) -> Option<&'static str> {
    (account == "026291800001191" && ifsc == "YESB0000262").then_some(JOHN_DOE)
}

/// Returns the status of a VPA, or its refusal. The reply about a VPA comes at once or not at all, so a
/// scenario that is pending has its last status here, and a failure is an HTTP error.
pub(super) fn of_vpa(vpa: &str, scenario: Scenario) -> Result<&'static str, &'static str> {
    let published = VPAS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(vpa));
    if let Some((_, status)) = published {
        return Ok(status);
    }
    match scenario.outcome {
        Outcome::Technical | Outcome::OwnRow(21) => Err("BAD_GATEWAY"),
        Outcome::Valid if scenario.timing == Timing::Never => Err("BAD_GATEWAY"),
        Outcome::Inconclusive | Outcome::OwnRow(20) => Err("BANK_DECLINED"),
        Outcome::OwnRow(2) => Ok("EXPIRED"),
        Outcome::OwnRow(3) => Ok("NPCI_NAME_INCORRECT"),
        Outcome::Nre | Outcome::OwnRow(1) => Ok("INVALID"),
        unusable if unusable.is_unusable() => Ok("INVALID"),
        _ => Ok("VALID"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::Gateway;
    use crate::scenario::FirstCalls;

    fn account(account: &str, ifsc: &str) -> Result<(Status, Timing), &'static str> {
        let scenario = FirstCalls::default().scenario(Gateway("CASHFREE"), account);
        of_account(account, ifsc, scenario)
    }

    #[test]
    fn both_account_and_ifsc_must_match() {
        let outcome = |number, ifsc| account(number, ifsc).map(|(outcome, _)| outcome);
        assert_eq!(outcome("1234567890", "ICIC0000001"), Ok(INVALID_IFSC));
        assert_eq!(outcome("1234567890", "ICIC0000002"), Ok(VALID));
        assert_eq!(outcome("1234567891", "ICIC0000001"), Ok(VALID));
        let holder = published_holder("026291800001191", "YESB0000262");
        assert_eq!(holder, Some("JOHN DOE"));
        assert_eq!(published_holder("026291800001191", "AABF0008032"), None);
    }

    #[test]
    fn no_account_is_published_twice_and_none_selects_a_scenario() {
        for (index, (number, ifsc, ..)) in ACCOUNTS.iter().enumerate() {
            let before = &ACCOUNTS[..index];
            let mut others = before.iter().map(|(other, branch, ..)| (other, branch));
            assert!(others.all(|other| other != (number, ifsc)));
            assert_eq!(account(number, "NONE0000000"), Ok((VALID, Timing::AtOnce)));
        }
    }

    #[test]
    fn published_vpas_are_found_in_any_case() {
        for (vpa, status) in [
            ("Invalid@UPI", "INVALID"),
            ("incorrect@upi", "INVALID"),
            ("success@upi", "VALID"),
            ("asha@okhdfcbank", "VALID"),
        ] {
            let scenario = FirstCalls::default().scenario(Gateway("CASHFREE"), vpa);
            assert_eq!(of_vpa(vpa, scenario), Ok(status));
        }
    }

    #[test]
    fn the_pending_rows_are_those_whose_status_is_pending() {
        for (row, expected) in ROWS.into_iter().enumerate() {
            let found = account(&format!("990088{row:02}"), "HDFC0000001");
            let timing = if is_pending(expected) {
                Timing::Never
            } else {
                Timing::AtOnce
            };
            assert_eq!(found, Ok((expected, timing)), "row {row}");
        }
        assert_eq!(account("99008820", "HDFC0000001"), Err("BANK_DECLINED"));
        assert_eq!(account("99008821", "HDFC0000001"), Err("BAD_GATEWAY"));
    }
}
