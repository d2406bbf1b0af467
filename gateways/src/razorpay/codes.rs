//! Meaning of Razorpay's words. Words that are in no table are `Inconclusive`: the payee does not fail, and Khata calls
//! another gateway. Case does not matter.

use std::time::Duration;

use khata_domain::Class;
use khata_domain::validation::FailureCode;

use crate::meaning::{Meaning, contains_any};

/// Delay before a retry after a bank, PSP or network failed (RazorpayX, *Payout status details*: retry after 30 min).
pub(super) const RETRY_DELAY: Duration = Duration::from_mins(30);

/// Parts of the sentences about a feature that is off, an IP address that is not on the allow-list, an empty account.
const OUR_FAULTS: [&str; 6] = [
    "requested url was not found",
    "this ip",
    "access denied",
    "insufficient balance",
    "insufficient funds",
    "enough balance",
];

/// Returns the meaning of `account_status` of a completed validation; `default` is the failure if Razorpay gives no
/// reason. Completed means that the bank was asked, not that the account is valid. `active` and `invalid` are documented,
/// samples show the others; `null` and `""` both mean that the bank did not find the account.
pub(super) fn completed(account_status: &str, default: FailureCode) -> Meaning {
    match account_status.to_ascii_lowercase().as_str() {
        "active" | "valid" => Meaning::of(Class::Valid),
        "invalid" | "inactive" | "" => Meaning::invalid(default),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of `status_details.reason` of a failed validation. Failure is technical, but some reasons also
/// decide about the account (RazorpayX, *Account validation error reasons*). `retried` says whether an earlier attempt has
/// asked about the same address: PSPs call addresses invalid that exist, so the first such reply is retried.
pub(super) fn failed(reason: &str, retried: bool) -> Meaning {
    match reason.to_ascii_lowercase().as_str() {
        "beneficiary_vpa_invalid" if retried => Meaning::invalid(FailureCode::InvalidVpa),
        "beneficiary_vpa_invalid"
        | "gateway_technical_error"
        | "gateway_timeout"
        | "gateway_down"
        | "beneficiary_bank_offline"
        | "beneficiary_bank_failure"
        | "beneficiary_bank_technical_error"
        | "beneficiary_psp_offline"
        | "npci_beneficiary_timeout"
        | "server_error_temporary"
        // The classic shape gives no reason: a technical failure.
        | "" => Meaning::of(Class::Retryable),
        "bank_account_invalid" | "beneficiary_account_invalid" => {
            Meaning::invalid(FailureCode::InvalidAccount)
        }
        "bank_account_closed" => Meaning::invalid(FailureCode::AccountClosed),
        "bank_account_frozen" => Meaning::invalid(FailureCode::AccountFrozen),
        "beneficiary_account_dormant" => Meaning::invalid(FailureCode::AccountDormant),
        "invalid_ifsc_code" => Meaning::invalid(FailureCode::InvalidIfsc),
        "imps_not_allowed" => Meaning::inconclusive(FailureCode::ImpsNotEnabled),
        "beneficiary_bank_rejected" | "server_error" => Meaning::of(Class::Inconclusive),
        "insufficient_funds" => Meaning::of(Class::Misconfigured),
        _ => Meaning::Unlisted,
    }
}

/// Whether the meaning of this reason depends on the number of the attempt.
pub(super) fn depends_on_attempt(reason: &str) -> bool {
    reason.eq_ignore_ascii_case("beneficiary_vpa_invalid")
}

/// Returns the meaning of an error reply to a UPI lookup, otherwise as [`error`]. Razorpay documents only `success`;
/// programs that call the lookup show that an unknown address can also be an error with this reason.
pub(super) fn vpa_error(status: u16, reason: &str, description: &str) -> Option<Meaning> {
    if status == 400
        && (reason == "invalid_vpa" || description.to_ascii_lowercase().starts_with("invalid vpa"))
    {
        return Some(Meaning::invalid(FailureCode::InvalidVpa));
    }
    error(status, reason, description)
}

/// Returns the meaning of an error reply to a validating call; `None` if Razorpay may have acted on the call. The
/// descriptions are from RazorpayX, *API error reasons and next steps*, and from Razorpay, *Common errors* ("Access Denied":
/// the caller's IP address is not on the allow-list).
pub(super) fn error(status: u16, reason: &str, description: &str) -> Option<Meaning> {
    match status {
        // 409: the first call under the idempotency key is still under way. A proxy's 408 says no more than a time-out.
        ..=399 | 408 | 409 | 500.. => None,
        // "Different request body sent for the same Idempotency Header": the settings changed between two calls under
        // one reference. Razorpay knows the first one.
        400 if contains_any(description, &["idempotency"]) => None,
        401 | 403 | 404 => Some(Meaning::of(Class::Misconfigured)),
        429 => Some(Meaning::of(Class::Retryable)),
        400 if contains_any(description, &OUR_FAULTS)
            || matches!(reason, "authentication_failed" | "insufficient_funds") =>
        {
            Some(Meaning::of(Class::Misconfigured))
        }
        // Razorpay rejects the form of the details; the bank has not decided, and another gateway may accept them.
        400 => Some(Meaning::of(Class::Inconclusive)),
        _ => Some(Meaning::Unlisted),
    }
}

/// Whether Razorpay says that there is no such id, as it does only to its own merchants.
pub(super) fn is_unknown_id(status: u16, description: &str) -> bool {
    let words = [
        "id provided does not exist",
        "is not a valid id",
        "no db records found",
    ];
    matches!(status, 400 | 404) && contains_any(description, &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: FailureCode = FailureCode::InvalidAccount;

    #[test]
    fn completed_is_not_valid() {
        for (status, class) in [
            ("active", Class::Valid),
            ("valid", Class::Valid),
            ("ACTIVE", Class::Valid),
            ("invalid", Class::Invalid),
            ("inactive", Class::Invalid),
            ("", Class::Invalid),
        ] {
            let meaning = completed(status, DEFAULT);
            assert_eq!(meaning.class(), class, "{status:?}");
            assert_ne!(meaning, Meaning::Unlisted);
        }
        assert_eq!(completed("mystery", DEFAULT), Meaning::Unlisted);
    }

    #[test]
    fn every_documented_reason_has_its_class() {
        for reason in [
            "gateway_technical_error",
            "gateway_timeout",
            "gateway_down",
            "beneficiary_bank_offline",
            "beneficiary_bank_failure",
            "beneficiary_bank_technical_error",
            "beneficiary_psp_offline",
            "npci_beneficiary_timeout",
            "server_error_temporary",
            "",
            "GATEWAY_DOWN",
        ] {
            assert_eq!(
                failed(reason, true),
                Meaning::of(Class::Retryable),
                "{reason}"
            );
        }
        for (reason, failure) in [
            ("bank_account_invalid", FailureCode::InvalidAccount),
            ("bank_account_closed", FailureCode::AccountClosed),
            ("bank_account_frozen", FailureCode::AccountFrozen),
            ("beneficiary_account_dormant", FailureCode::AccountDormant),
            ("invalid_ifsc_code", FailureCode::InvalidIfsc),
            ("beneficiary_account_invalid", FailureCode::InvalidAccount),
        ] {
            assert_eq!(failed(reason, false), Meaning::invalid(failure), "{reason}");
        }
        assert_eq!(
            failed("imps_not_allowed", true),
            Meaning::inconclusive(FailureCode::ImpsNotEnabled)
        );
        for reason in ["beneficiary_bank_rejected", "server_error"] {
            assert_eq!(
                failed(reason, true),
                Meaning::of(Class::Inconclusive),
                "{reason}"
            );
        }
        assert_eq!(
            failed("insufficient_funds", false),
            Meaning::of(Class::Misconfigured)
        );
        assert_eq!(failed("mystery", false), Meaning::Unlisted);
    }

    #[test]
    fn an_address_is_invalid_only_after_a_retry() {
        let reason = "beneficiary_vpa_invalid";
        assert_eq!(failed(reason, false), Meaning::of(Class::Retryable));
        assert_eq!(
            failed(reason, true),
            Meaning::invalid(FailureCode::InvalidVpa)
        );
    }

    #[test]
    fn an_error_reply_may_mean_an_unknown_address() {
        let unknown = Some(Meaning::invalid(FailureCode::InvalidVpa));
        let description = "Invalid VPA. Please enter a valid Virtual Payment Address";
        assert_eq!(vpa_error(400, "invalid_vpa", ""), unknown);
        assert_eq!(vpa_error(400, "", description), unknown);
        assert_ne!(
            error(400, "invalid_vpa", description),
            unknown,
            "only in a lookup"
        );
        for status in [401, 403, 404, 429, 500] {
            assert_eq!(
                vpa_error(status, "", description),
                error(status, "", description)
            );
        }
    }

    #[test]
    fn our_own_faults_are_never_the_payees() {
        for status in 400..500 {
            for reason in ["", "input_validation_failed", "bank_account_invalid"] {
                let class = error(status, reason, "").map(Meaning::class);
                assert!(
                    !matches!(class, Some(Class::Invalid | Class::Valid | Class::Review)),
                    "{status} {reason}"
                );
            }
        }
    }

    #[test]
    fn a_rejection_differs_from_a_call_that_razorpay_may_have_acted_on() {
        let misconfigured = Some(Meaning::of(Class::Misconfigured));
        for (status, reason, description) in [
            (401, "", "Authentication failed"),
            (403, "", ""),
            (400, "", "The requested URL was not found on the server."),
            (404, "", "The requested URL was not found on the server."),
            (
                400,
                "",
                "Transactions from this IP are not allowed. Contact support for help.",
            ),
            (400, "na", "Access Denied"),
            (
                400,
                "",
                "Your account does not have enough balance to carry out the payout.",
            ),
            (400, "insufficient_funds", ""),
            (400, "authentication_failed", ""),
        ] {
            assert_eq!(
                error(status, reason, description),
                misconfigured,
                "{description}"
            );
        }
        let different = "Different request body sent for the same Idempotency Header.";
        for (status, description) in [
            (400, different),
            (409, ""),
            (408, ""),
            (302, ""),
            (500, ""),
            (503, ""),
        ] {
            assert_eq!(error(status, "", description), None, "{status}");
        }
        assert_eq!(error(418, "", ""), Some(Meaning::Unlisted));
        assert_eq!(error(429, "", ""), Some(Meaning::of(Class::Retryable)));
        let field = "The account number format is invalid.";
        assert_eq!(
            error(400, "input_validation_failed", field),
            Some(Meaning::of(Class::Inconclusive))
        );
    }

    #[test]
    fn an_unknown_id_differs_from_an_unknown_path() {
        assert!(is_unknown_id(400, "The id provided does not exist"));
        assert!(is_unknown_id(400, "fav_0 is not a valid id"));
        for (status, description) in [
            (404, "The requested URL was not found on the server."),
            (401, "The id provided does not exist"),
            (400, ""),
        ] {
            assert!(
                !is_unknown_id(status, description),
                "{status} {description}"
            );
        }
    }
}
