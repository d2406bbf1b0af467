//! Meaning of Decentro's words.

use khata_domain::Class;
use khata_domain::validation::FailureCode;

use crate::meaning::Meaning;

/// Returns the meaning of `data.account_status`, which alone decides: `api_status` is the status of the call, not of the
/// account.
pub(super) fn account(status: &str) -> Meaning {
    match status.to_ascii_uppercase().as_str() {
        "VALID" => Meaning::of(Class::Valid),
        "INVALID" => Meaning::invalid(FailureCode::InvalidAccount),
        // The second spelling occurs in replies.
        "NRE" | "NRE_ACCOUNT" => Meaning::invalid(FailureCode::NreAccount),
        "INCONCLUSIVE" => Meaning::of(Class::Inconclusive),
        "PENDING" => Meaning::of(Class::Pending),
        _ => Meaning::Unlisted,
    }
}

/// Returns the meaning of a rejected call, by the HTTP status and `response_key` (empty if there is none); `None` if Decentro
/// may have acted on the call, so that it must be looked up. Decentro rejects with status 200 too, so a known key decides.
/// Source of the keys: Decentro's "Response keys" pages, and keys that all its modules share; it publishes none for this
/// call alone.
pub(super) fn rejection(status: u16, key: &str) -> Option<Meaning> {
    if !matches!(status, 200 | 400..=499) {
        return None;
    }
    match key.to_ascii_lowercase().as_str() {
        // An earlier call had this reference, and its outcome exists. And errors of a provider behind Decentro, which may
        // have failed after it sent the rupee.
        "error_duplicate_reference_id" | "error_provider_error" | "error_internal_server_error" => {
            None
        }
        "error_insufficient_account_balance"
        | "error_insufficient_commission_balance"
        | "error_insufficient_prepaid_credits"
        | "error_module_credits_exhausted"
        | "error_missing_configuration"
        | "error_unauthorized_module"
        | "error_unauthorized_feature"
        | "error_module_access_expired"
        | "error_no_subscription_found"
        | "error_provider_feature_unavailable"
        | "error_empty_module_secret"
        | "error_empty_consumer_urn" => Some(Meaning::of(Class::Misconfigured)),
        // Decentro rejects the form of the details; another gateway may accept them.
        "error_unsanitized_values"
        | "error_invalid_data_type"
        | "error_null_or_empty_value"
        | "error_unsupported_value"
        | "error_invalid_account_number_length" => Some(Meaning::of(Class::Inconclusive)),
        key => by_status(status, key),
    }
}

fn by_status(status: u16, key: &str) -> Option<Meaning> {
    match status {
        // Credentials; balance; IP allow-list, module; an unknown URL.
        401..=404 => Some(Meaning::of(Class::Misconfigured)),
        429 => Some(Meaning::of(Class::Retryable)),
        // Time-out, conflict with a call under way, too early. And a failure without a key.
        408 | 409 | 425 => None,
        200 if key.is_empty() => None,
        400 | 422 if key.is_empty() => Some(Meaning::of(Class::Inconclusive)),
        _ => Some(Meaning::Unlisted),
    }
}

/// Whether the `response_key` of a lookup says that there is no such call. Decentro documents `api_status` FAILURE for this
/// case and not the key, so all keys that its other pages suggest count. Any other key leaves the call open, so that nothing
/// is paid twice.
pub(super) fn is_never_seen(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let missing =
        key.ends_with("_not_found") || (key.starts_with("error_no_") && key.ends_with("_found"));
    let things = ["transaction", "txn", "reference", "request", "record"];
    missing && things.iter().any(|thing| key.contains(thing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_status_of_the_account_decides() {
        for (status, meaning) in [
            ("VALID", Meaning::of(Class::Valid)),
            ("Valid", Meaning::of(Class::Valid)),
            ("INVALID", Meaning::invalid(FailureCode::InvalidAccount)),
            ("NRE", Meaning::invalid(FailureCode::NreAccount)),
            ("NRE_ACCOUNT", Meaning::invalid(FailureCode::NreAccount)),
            ("INCONCLUSIVE", Meaning::of(Class::Inconclusive)),
            ("PENDING", Meaning::of(Class::Pending)),
            ("SUCCESS", Meaning::Unlisted),
            ("FAILURE", Meaning::Unlisted),
            ("", Meaning::Unlisted),
        ] {
            assert_eq!(account(status), meaning, "{status}");
        }
    }

    #[test]
    fn our_own_faults_are_never_the_payees() {
        let of = |class| Some(Meaning::of(class));
        let misconfigured = of(Class::Misconfigured);
        for (status, key, expected) in [
            (401, "", misconfigured),
            (403, "error_of_next_year", misconfigured),
            (404, "", misconfigured),
            (200, "error_insufficient_prepaid_credits", misconfigured),
            (400, "error_insufficient_account_balance", misconfigured),
            (400, "ERROR_MODULE_CREDITS_EXHAUSTED", misconfigured),
            (429, "", of(Class::Retryable)),
            (429, "error_of_next_year", of(Class::Retryable)),
            (400, "error_unsanitized_values", of(Class::Inconclusive)),
            (400, "", of(Class::Inconclusive)),
            (400, "error_of_next_year", Some(Meaning::Unlisted)),
            (200, "error_of_next_year", Some(Meaning::Unlisted)),
            (418, "", Some(Meaning::Unlisted)),
        ] {
            assert_eq!(rejection(status, key), expected, "{status} {key}");
        }
    }

    #[test]
    fn a_call_that_may_have_paid_stays_open() {
        for (status, key) in [
            (200, ""),
            (200, "error_duplicate_reference_id"),
            (400, "error_duplicate_reference_id"),
            (403, "error_duplicate_reference_id"),
            (400, "error_provider_error"),
            (408, ""),
            (409, "error_of_next_year"),
            (302, ""),
            (500, "error_unsanitized_values"),
            (503, "error_insufficient_account_balance"),
        ] {
            assert_eq!(rejection(status, key), None, "{status} {key}");
        }
    }

    #[test]
    fn only_a_missing_call_is_never_seen() {
        for key in [
            "error_transaction_not_found",
            "error_no_transaction_found",
            "error_reference_id_not_found",
            "ERROR_RECORD_NOT_FOUND",
        ] {
            assert!(is_never_seen(key), "{key}");
        }
        for key in [
            "",
            "error_account_not_found",
            "error_no_subscription_found",
            "error_invalid_reference_id",
            "error_duplicate_reference_id",
            "success_transaction_found",
            "not_found",
        ] {
            assert!(!is_never_seen(key), "{key}");
        }
    }
}
