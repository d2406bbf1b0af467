//! What Decentro's words mean.

use khata_domain::Class;
use khata_domain::validation::FailureCode;

use crate::meaning::Meaning;

/// `data.account_status`, the only word that decides: `api_status` says how the call went, not the account.
pub(super) fn account(status: &str) -> Meaning {
    match status.to_ascii_uppercase().as_str() {
        "VALID" => Meaning::of(Class::Valid),
        "INVALID" => Meaning::invalid(FailureCode::InvalidAccount),
        // The second spelling is seen in use.
        "NRE" | "NRE_ACCOUNT" => Meaning::invalid(FailureCode::NreAccount),
        "INCONCLUSIVE" => Meaning::of(Class::Inconclusive),
        "PENDING" => Meaning::of(Class::Pending),
        _ => Meaning::Unlisted,
    }
}

/// What it means that a call was turned away, by the HTTP status and `response_key` (empty where there is none); `None`
/// where it may have been acted upon and must be looked up. Decentro says no with 200 as well, so that the key decides
/// where it is known. Keys: its "Response keys" pages, and such as all its modules share; nothing is published for this
/// call alone.
pub(super) fn refusal(status: u16, key: &str) -> Option<Meaning> {
    if !matches!(status, 200 | 400..=499) {
        return None;
    }
    match key.to_ascii_lowercase().as_str() {
        // The call was made before, under this reference: its outcome is there. And errors that say only that somebody
        // behind Decentro failed, perhaps after the rupee had left.
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
        // The details are not to its liking; another gateway may take them.
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
        // Credentials; balance; list of IP addresses, module; a URL that is not there.
        401..=404 => Some(Meaning::of(Class::Misconfigured)),
        429 => Some(Meaning::of(Class::Retryable)),
        // Not answered in time, a conflict with something that is under way, too early. And a failure without a word.
        408 | 409 | 425 => None,
        200 if key.is_empty() => None,
        400 | 422 if key.is_empty() => Some(Meaning::of(Class::Inconclusive)),
        _ => Some(Meaning::Unlisted),
    }
}

/// Whether a look's `response_key` says, in Decentro's own words, that there is no such call. Its page tells that
/// `api_status` is FAILURE then and not the key, so that all that its other pages would lead to are taken. What is not
/// recognised leaves the call open, which pays nobody twice.
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
    fn only_the_accounts_own_status_decides() {
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
            assert_eq!(refusal(status, key), expected, "{status} {key}");
        }
    }

    #[test]
    fn what_may_have_paid_somebody_stays_open() {
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
            assert_eq!(refusal(status, key), None, "{status} {key}");
        }
    }

    #[test]
    fn never_seen_is_said_of_calls_and_of_nothing_else() {
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
