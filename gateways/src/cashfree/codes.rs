//! What Cashfree's words mean. Words that are in no table are `Inconclusive`: nobody's failure, and another gateway
//! is asked.

use khata_shared::domain::Class;
use khata_shared::domain::validation::FailureCode;

/// `account_status` and `account_status_code` of a bank answer (Cashfree, account_status_code table). Codes decide;
/// the status stands in where the code is absent. Matched without case, as technical outcomes come in lower case.
pub(super) fn bank(status: &str, code: &str) -> (Class, Option<FailureCode>) {
    let code = if code.is_empty() { status } else { code }.to_ascii_uppercase();
    match code.as_str() {
        "ACCOUNT_IS_VALID" | "VALID" => (Class::Valid, None),
        "INVALID_ACCOUNT_FAIL" | "INVALID" => (Class::Invalid, Some(FailureCode::InvalidAccount)),
        "INVALID_IFSC_FAIL" => (Class::Invalid, Some(FailureCode::InvalidIfsc)),
        "ACCOUNT_BLOCKED" => (Class::Invalid, Some(FailureCode::AccountBlocked)),
        "NRE_ACCOUNT_FAIL" => (Class::Invalid, Some(FailureCode::NreAccount)),
        "FRAUD_ACCOUNT" | "BAV_BLOCKED" => (Class::Review, Some(FailureCode::SuspectedFraud)),
        "VALIDATION_IN_PROGRESS"
        | "VERIFICATION_ALREADY_UNDER_PROCESS"
        | "RECEIVED"
        | "IN_PROCESS"
        | "PROCESSING" => (Class::Pending, None),
        "FAILED_AT_BANK"
        | "NPCI_UNAVAILABLE"
        | "CONNECTION_TIMEOUT"
        | "SOURCE_BANK_DECLINED"
        | "BENEFICIARY_BANK_OFFLINE"
        | "FAILED" => (Class::Retryable, None),
        "INSUFFICIENT_BALANCE" | "REJECTED" => (Class::Misconfigured, None),
        // BENE_BANK_DECLINED and IMPS_MODE_FAIL: this gateway cannot tell. And whatever we have never heard of.
        _ => (Class::Inconclusive, None),
    }
}

/// `status` of a UPI answer (Cashfree, UPI verification).
pub(super) fn upi(status: &str) -> (Class, Option<FailureCode>) {
    match status.to_ascii_uppercase().as_str() {
        // The name NPCI holds differs from the one sent; the address exists.
        "VALID" | "NPCI_NAME_INCORRECT" => (Class::Valid, None),
        "INVALID" => (Class::Invalid, Some(FailureCode::InvalidVpa)),
        "RECEIVED" | "IN_PROCESS" | "PROCESSING" | "PENDING" => (Class::Pending, None),
        "EXPIRED" | "FAILED" => (Class::Retryable, None),
        _ => (Class::Inconclusive, None),
    }
}

/// The meaning of an error answer to a call that validates; `None` where the call may have been acted upon.
pub(super) fn error(status: u16, code: &str) -> Option<Class> {
    match status {
        // Accepted in other words, or the verification id is known there: what became of it has to be looked up.
        ..=399 | 409 | 500.. => None,
        401 | 403 | 404 => Some(Class::Misconfigured),
        429 => Some(Class::Retryable),
        // Balance, and technical outcomes of the bank tables in lower case.
        422 => Some(bank("", code).0),
        // The details or a header are not to Cashfree's liking; another gateway may take them.
        _ => Some(Class::Inconclusive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        for (status, code, class) in [
            ("VALID", "ACCOUNT_IS_VALID", Class::Valid),
            ("INVALID", "INVALID_ACCOUNT_FAIL", Class::Invalid),
            ("INVALID", "INVALID_IFSC_FAIL", Class::Invalid),
            ("INVALID", "ACCOUNT_BLOCKED", Class::Invalid),
            ("INVALID", "NRE_ACCOUNT_FAIL", Class::Invalid),
            ("INVALID", "FRAUD_ACCOUNT", Class::Review),
            ("INVALID", "BAV_BLOCKED", Class::Review),
            ("RECEIVED", "VALIDATION_IN_PROGRESS", Class::Pending),
            ("IN_PROCESS", "", Class::Pending),
            (
                "PROCESSING",
                "VERIFICATION_ALREADY_UNDER_PROCESS",
                Class::Pending,
            ),
            ("FAILED", "FAILED_AT_BANK", Class::Retryable),
            ("FAILED", "npci_unavailable", Class::Retryable),
            ("FAILED", "CONNECTION_TIMEOUT", Class::Retryable),
            ("FAILED", "SOURCE_BANK_DECLINED", Class::Retryable),
            ("FAILED", "BENEFICIARY_BANK_OFFLINE", Class::Retryable),
            ("FAILED", "BENE_BANK_DECLINED", Class::Inconclusive),
            ("FAILED", "IMPS_MODE_FAIL", Class::Inconclusive),
            ("REJECTED", "INSUFFICIENT_BALANCE", Class::Misconfigured),
            ("INVALID", "A_CODE_OF_NEXT_YEAR", Class::Inconclusive),
            ("", "", Class::Inconclusive),
        ] {
            assert_eq!(bank(status, code).0, class, "{status} {code}");
        }
    }

    #[test]
    fn an_invalid_account_always_says_why() {
        for code in [
            "INVALID_ACCOUNT_FAIL",
            "INVALID_IFSC_FAIL",
            "ACCOUNT_BLOCKED",
            "NRE_ACCOUNT_FAIL",
            "FRAUD_ACCOUNT",
        ] {
            assert!(bank("INVALID", code).1.is_some(), "{code}");
        }
        assert!(upi("INVALID").1.is_some());
    }

    #[test]
    fn our_own_faults_are_never_the_payees() {
        for status in 400..500 {
            for code in ["", "insufficient_balance", "verification_failed"] {
                assert!(
                    !matches!(
                        error(status, code),
                        Some(Class::Invalid | Class::Valid | Class::Review)
                    ),
                    "{status} {code}"
                );
            }
        }
        assert_eq!(
            error(422, "insufficient_balance"),
            Some(Class::Misconfigured)
        );
        assert_eq!(error(422, "npci_unavailable"), Some(Class::Retryable));
        assert_eq!(error(500, ""), None);
        assert_eq!(error(409, "verification_id_already_exists"), None);
    }
}
