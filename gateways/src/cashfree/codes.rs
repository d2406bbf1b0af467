//! Meaning of Cashfree's words. Words that are in no table are `Inconclusive`: the payee does not fail, and Khata calls
//! another gateway. Case does not matter, because error bodies hold technical outcomes in lower case.

use khata_domain::Class;
use khata_domain::validation::FailureCode;

use crate::meaning::Meaning;

/// Returns the meaning of `account_status` of a bank reply (Cashfree, *BAV response description*; `UNABLE_TO_VALIDATE`:
/// *Sample responses from bank*).
pub(super) fn bank_status(status: &str) -> Meaning {
    match status.to_ascii_uppercase().as_str() {
        "VALID" => Meaning::of(Class::Valid),
        "INVALID" => Meaning::invalid(FailureCode::InvalidAccount),
        // The last two are for files that wait for the merchant's own approval.
        "RECEIVED" | "IN_PROCESS" | "PROCESSING" | "APPROVAL_PENDING" | "PARTIALLY_APPROVED" => {
            Meaning::of(Class::Pending)
        }
        "FAILED" => Meaning::of(Class::Retryable),
        // The last two come from an operator at Cashfree's dashboard: the bank was not asked.
        "UNABLE_TO_VALIDATE" | "CANCELLED" | "MANUALLY_REJECTED" => {
            Meaning::of(Class::Inconclusive)
        }
        "REJECTED" => Meaning::of(Class::Misconfigured),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of `account_status_code` of a bank reply (Cashfree, *BAV response description*). `INVALID_BANK_ACCOUNT`,
/// `INVALID_IFSC` and `NRE_ACCOUNT` are the words of the earlier version (*Sample responses from bank*); `DEST_LIMIT_REACHED` and
/// `INVALID_MODE_FAIL` are reasons of its settlements (*Failure reasons*), which are paid over the same rails.
pub(super) fn bank_code(code: &str) -> Meaning {
    match code.to_ascii_uppercase().as_str() {
        "ACCOUNT_IS_VALID" => Meaning::of(Class::Valid),
        "INVALID_ACCOUNT_FAIL" | "INVALID_BANK_ACCOUNT" => {
            Meaning::invalid(FailureCode::InvalidAccount)
        }
        "INVALID_IFSC_FAIL" | "INVALID_IFSC" => Meaning::invalid(FailureCode::InvalidIfsc),
        "ACCOUNT_BLOCKED" => Meaning::invalid(FailureCode::AccountBlocked),
        "NRE_ACCOUNT_FAIL" | "NRE_ACCOUNT" => Meaning::invalid(FailureCode::NreAccount),
        "FRAUD_ACCOUNT" | "BAV_BLOCKED" => Meaning::review(),
        "VALIDATION_IN_PROGRESS" | "VERIFICATION_ALREADY_UNDER_PROCESS" => {
            Meaning::of(Class::Pending)
        }
        "FAILED_AT_BANK"
        | "NPCI_UNAVAILABLE"
        | "CONNECTION_TIMEOUT"
        | "SOURCE_BANK_DECLINED"
        | "BENEFICIARY_BANK_OFFLINE" => Meaning::of(Class::Retryable),
        "BENE_BANK_DECLINED" => Meaning::of(Class::Inconclusive),
        "IMPS_MODE_FAIL" | "INVALID_MODE_FAIL" => {
            Meaning::inconclusive(FailureCode::ImpsNotEnabled)
        }
        "DEST_LIMIT_REACHED" => Meaning::inconclusive(FailureCode::LimitReached),
        "INSUFFICIENT_BALANCE" => Meaning::of(Class::Misconfigured),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of `status` of a UPI reply (Cashfree, UPI verification and UPI penny drop).
pub(super) fn upi(status: &str) -> Meaning {
    match status.to_ascii_uppercase().as_str() {
        // The name NPCI holds differs from the one sent; the address exists.
        "VALID" | "NPCI_NAME_INCORRECT" => Meaning::of(Class::Valid),
        "INVALID" => Meaning::invalid(FailureCode::InvalidVpa),
        "RECEIVED" | "IN_PROCESS" | "PROCESSING" | "PENDING" => Meaning::of(Class::Pending),
        "EXPIRED" | "FAILED" => Meaning::of(Class::Retryable),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of an error reply to a validating call; `None` if Cashfree may have acted on the call.
pub(super) fn error(status: u16, code: &str) -> Option<Meaning> {
    match status {
        // The call was accepted in an unknown form, or Cashfree knows the verification id: the outcome must be looked up. A
        // proxy's 408 says no more than a time-out.
        ..=399 | 408 | 409 | 500.. => None,
        401 | 403 | 404 => Some(Meaning::of(Class::Misconfigured)),
        429 => Some(Meaning::of(Class::Retryable)),
        // Balance, and technical outcomes of the bank table in lower case: an error decides about no account.
        422 => {
            let meaning = bank_code(code);
            let decides = meaning.class().is_final();
            Some(if decides { Meaning::Unlisted } else { meaning })
        }
        // Cashfree rejects the form of the details or a header; another gateway may accept them.
        400 => Some(Meaning::of(Class::Inconclusive)),
        _ => Some(Meaning::Unlisted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank(status: &str, code: &str) -> Meaning {
        match (status, code) {
            (status, "") => bank_status(status),
            ("", code) => bank_code(code),
            (status, code) => bank_status(status).refined_by(bank_code(code)),
        }
    }

    #[test]
    fn every_documented_word_has_its_class() {
        for (status, code, class) in [
            ("VALID", "ACCOUNT_IS_VALID", Class::Valid),
            ("INVALID", "INVALID_ACCOUNT_FAIL", Class::Invalid),
            ("INVALID", "INVALID_IFSC_FAIL", Class::Invalid),
            ("INVALID", "ACCOUNT_BLOCKED", Class::Invalid),
            ("INVALID", "NRE_ACCOUNT_FAIL", Class::Invalid),
            ("INVALID", "INVALID_BANK_ACCOUNT", Class::Invalid),
            ("INVALID", "INVALID_IFSC", Class::Invalid),
            ("INVALID", "NRE_ACCOUNT", Class::Invalid),
            ("FAILED", "DEST_LIMIT_REACHED", Class::Inconclusive),
            ("FAILED", "INVALID_MODE_FAIL", Class::Inconclusive),
            ("UNABLE_TO_VALIDATE", "", Class::Inconclusive),
            (
                "UNABLE_TO_VALIDATE",
                "SOURCE_BANK_DECLINED",
                Class::Retryable,
            ),
            ("INVALID", "FRAUD_ACCOUNT", Class::Review),
            ("INVALID", "BAV_BLOCKED", Class::Review),
            ("RECEIVED", "VALIDATION_IN_PROGRESS", Class::Pending),
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
            // Every status by itself.
            ("VALID", "", Class::Valid),
            ("INVALID", "", Class::Invalid),
            ("RECEIVED", "", Class::Pending),
            ("IN_PROCESS", "", Class::Pending),
            ("PROCESSING", "", Class::Pending),
            ("APPROVAL_PENDING", "", Class::Pending),
            ("PARTIALLY_APPROVED", "", Class::Pending),
            ("FAILED", "", Class::Retryable),
            ("REJECTED", "", Class::Misconfigured),
            ("CANCELLED", "", Class::Inconclusive),
            ("MANUALLY_REJECTED", "", Class::Inconclusive),
        ] {
            for (status, code) in [
                (status.to_owned(), code.to_owned()),
                (status.to_lowercase(), code.to_lowercase()),
            ] {
                let meaning = bank(&status, &code);
                assert_eq!(meaning.class(), class, "{status} {code}");
                assert_ne!(meaning, Meaning::Unlisted, "{status} {code}");
            }
        }
        for (status, class) in [
            ("VALID", Class::Valid),
            ("NPCI_NAME_INCORRECT", Class::Valid),
            ("INVALID", Class::Invalid),
            ("EXPIRED", Class::Retryable),
        ] {
            assert_eq!(upi(status).class(), class, "{status}");
        }
    }

    #[test]
    fn the_status_decides_where_the_code_is_in_no_table() {
        let unknown = "A_CODE_OF_NEXT_YEAR";
        for (status, class) in [
            ("VALID", Class::Valid),
            ("INVALID", Class::Invalid),
            ("FAILED", Class::Retryable),
            ("RECEIVED", Class::Pending),
        ] {
            let meaning = bank(status, unknown);
            assert_eq!(meaning.class(), class, "{status}");
            assert!(
                meaning.response(unknown).unlisted,
                "{status}: still counted"
            );
        }
    }

    #[test]
    fn words_that_contradict_each_other_do_not_count() {
        for (status, code) in [
            ("VALID", "INVALID_ACCOUNT_FAIL"),
            ("INVALID", "ACCOUNT_IS_VALID"),
            ("VALID", "NPCI_UNAVAILABLE"),
            ("INVALID", "FAILED_AT_BANK"),
            ("FAILED", "INVALID_ACCOUNT_FAIL"),
        ] {
            assert_eq!(
                bank(status, code),
                Meaning::Contradictory,
                "{status} {code}"
            );
        }
        assert_eq!(bank("RECEIVED", "ACCOUNT_IS_VALID").class(), Class::Pending);
    }

    #[test]
    fn a_word_in_no_table_is_unlisted() {
        for (status, code) in [
            ("MYSTERY", "A_CODE_OF_NEXT_YEAR"),
            ("MYSTERY", ""),
            ("", "A_CODE_OF_NEXT_YEAR"),
            // A status in the place of the code.
            ("", "VALID"),
        ] {
            assert_eq!(bank(status, code), Meaning::Unlisted, "{status} {code}");
        }
        assert_eq!(upi("MYSTERY"), Meaning::Unlisted);
        assert_eq!(error(422, "mystery"), Some(Meaning::Unlisted));
        for status in [402, 405, 418, 451] {
            assert_eq!(error(status, ""), Some(Meaning::Unlisted), "{status}");
        }
    }

    #[test]
    fn an_invalid_account_always_has_a_failure_code() {
        for code in [
            "INVALID_ACCOUNT_FAIL",
            "INVALID_IFSC_FAIL",
            "ACCOUNT_BLOCKED",
            "NRE_ACCOUNT_FAIL",
            "FRAUD_ACCOUNT",
        ] {
            assert!(
                bank("INVALID", code).response(code).failure.is_some(),
                "{code}"
            );
        }
        assert!(upi("INVALID").response("INVALID").failure.is_some());
    }

    #[test]
    fn our_own_faults_are_never_the_payees() {
        for status in 400..500 {
            for code in [
                "",
                "insufficient_balance",
                "verification_failed",
                "account_is_valid",
                "invalid_bank_account",
                "invalid_ifsc",
                "nre_account",
                "fraud_account",
            ] {
                let class = error(status, code).map(Meaning::class);
                assert!(
                    !matches!(class, Some(Class::Invalid | Class::Valid | Class::Review)),
                    "{status} {code}"
                );
            }
        }
        let class = |status, code| error(status, code).map(Meaning::class);
        assert_eq!(
            class(422, "insufficient_balance"),
            Some(Class::Misconfigured)
        );
        assert_eq!(class(422, "npci_unavailable"), Some(Class::Retryable));
        for lost in [302, 408, 409, 500, 503] {
            assert_eq!(class(lost, ""), None, "{lost}");
        }
    }
}
