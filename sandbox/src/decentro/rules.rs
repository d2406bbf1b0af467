//! Decentro's field rules ("Validate Bank Account (V3)") and its refusals: `api_status` FAILURE with a
//! `response_key` and no data. The keys are from Decentro's lists of response keys where one of its calls
//! has a similar one; the keys marked as ours, and the keys of the account's own fields, are made alike.
//! The HTTP statuses are not documented.

use serde_json::json;

use crate::decentro::replies::txn_id;
use crate::refusal::{Refusal, RefusalRow, refusals};
use crate::rules::Check::{Flag, Given, Length, Matches, OneOf, Present, When};
use crate::rules::{NO_REFUSAL, Rule, alphanumeric, ifsc_in_any_case, rules};

/// The `consumer_urn` of the published simulation data.
pub const CONSUMER_URN: &str = "4ac34260a0e34e4f82069e85b4a881fd";

/// The `consumer_urn` with velocity limits: 3 validations of one account a minute, 4 an hour, 5 a day.
pub const LIMITED_CONSUMER_URN: &str = "00000000000000000000000000000345";

refusals! {
    MALFORMED = 400, "error_malformed_request", "Malformed JSON request.";
    DUPLICATE_REFERENCE = 400, "error_duplicate_reference_id",
        "Duplicate Request Reference ID.";
    NO_ID = 400, "error_missing_reference_id",
        "Either decentro_txn_id or reference_id is needed.";
    INSUFFICIENT_CREDITS = 400, "error_insufficient_prepaid_credits",
        "Insufficient prepaid credits.";
    /// The key is ours.
    CREDENTIALS = 401, "error_unauthorized",
        "Authentication failed. Invalid client_id or client_secret.";
    /// The key is ours.
    IP = 403, "error_ip_not_whitelisted", "IP address is not whitelisted.";
    /// The key is ours.
    UNKNOWN = 404, "error_transaction_not_found", "Transaction not found.";
    /// This account was validated too often. The key is ours.
    VELOCITY = 429, "error_velocity_limit_exceeded",
        "Velocity limit exceeded: 3 a minute, 4 an hour, 5 a day.";
    /// There were too many calls of any kind. The key is ours.
    TOO_MANY_CALLS = 429, "error_too_many_requests",
        "Too many requests. Kindly retry after sometime.";
    DECENTRO_ERROR = 500, "error_decentro_error",
        "Internal Server Error. Kindly retry the transaction after sometime";
    /// The fault of the bank or network that Decentro called.
    PROVIDER_ERROR = 500, "error_provider_error",
        "Unexpected response received from underlying provider.";
    UNSANITIZED = 400, "error_unsanitized_values",
        "Unsanitized values detected for key(s): {last}. Kindly sanitize the corresponding values \
         by removing special characters and retry.";
    NO_REFERENCE = 400, "error_missing_reference_id",
        "Request reference id cannot be null or empty. Hint: reference_id (string).";
    NO_PURPOSE = 400, "error_invalid_purpose_message",
        "Purpose message cannot be null or empty. Hint: purpose_message (string).";
    PURPOSE_LENGTH = 400, "error_invalid_purpose_message_length",
        "Purpose message should have {least} to {most} characters.";
    NO_CONSUMER = 400, "error_empty_consumer_urn",
        "Consumer URN cannot be null or empty. Hint: consumer_urn (string).";
    CONSUMER = 400, "error_invalid_consumer_urn", "Consumer URN is invalid.";
    NO_TYPE = 400, "error_validation_type_empty", "Validation type is empty.";
    TYPE = 400, "error_invalid_validation_type",
        "Invalid value entered for validation_type. It can be penniless, pennydrop or hybrid.";
    NO_BENEFICIARY = 400, "error_missing_beneficiary_details",
        "Beneficiary details cannot be null or empty. Hint: beneficiary_details (object).";
    NO_NUMBER = 400, "error_missing_account_number",
        "Account number cannot be null or empty. Hint: account_number (string).";
    NO_IFSC = 400, "error_missing_ifsc", "IFSC cannot be null or empty. Hint: ifsc (string).";
    IFSC = 400, "error_invalid_ifsc", "IFSC is not in valid format.";
    NO_NAME = 400, "error_empty_name", "Name cannot be null or empty. Hint: name (string).";
}

/// Makes a refusal.
pub(super) fn refusal((status, response_key, message): RefusalRow<'_>) -> Refusal {
    let body = json!({
        "decentro_txn_id": txn_id(), "api_status": "FAILURE", "response_key": response_key,
        "message": message,
    });
    Refusal::new(status, body)
}

rules! {
    /// The reference is checked first: the call then uses it up.
    REFERENCE_ID {
        "reference_id": Present => NO_REFERENCE;
        "reference_id": Matches(is_sanitized) => UNSANITIZED;
    }
    OTHER_FIELDS {
        "purpose_message": Present => NO_PURPOSE;
        "purpose_message": Length(5, 255) => PURPOSE_LENGTH;
        "purpose_message": Matches(is_sanitized) => UNSANITIZED;
        "consumer_urn": Present => NO_CONSUMER;
        "consumer_urn": OneOf(&[CONSUMER_URN, LIMITED_CONSUMER_URN]) => CONSUMER;
        "validation_type": Present => NO_TYPE;
        "validation_type": OneOf(&["penniless", "pennydrop", "hybrid"]) => TYPE;
        "perform_name_match": Flag => NO_REFUSAL;
        "beneficiary_details": Given => NO_BENEFICIARY;
        "beneficiary_details.account_number": Present => NO_NUMBER;
        "beneficiary_details.account_number": Matches(alphanumeric) => UNSANITIZED;
        "beneficiary_details.ifsc": Present => NO_IFSC;
        "beneficiary_details.ifsc": Matches(ifsc_in_any_case) => IFSC;
        "beneficiary_details.name": When("perform_name_match", &Present) => NO_NAME;
    }
}

fn is_sanitized(text: &str) -> bool {
    text.is_ascii() && !text.contains(|letter| ".@#$%^&*!;:'\"~`?=+)(".contains(letter))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rules::check;

    fn key(request: &Value) -> String {
        let rules = [REFERENCE_ID, OTHER_FIELDS];
        let breach = rules.iter().find_map(|rules| check(rules, request).err());
        let key = breach.map(|breach| breach.row().1.to_owned());
        key.unwrap_or_else(|| "accepted".to_owned())
    }

    #[test]
    fn each_field_keeps_its_limits() {
        const NUMBER: &str = "/beneficiary_details/account_number";
        let good = json!({
            "reference_id": "att-1",
            "purpose_message": "Account check",
            "consumer_urn": CONSUMER_URN,
            "validation_type": "pennydrop",
            "perform_name_match": true,
            "beneficiary_details": {
                "account_number": "121416119212", "ifsc": "SBIN0001077", "name": "Asha Rao",
            },
        });
        assert_eq!(key(&good), "accepted");
        for (pointer, value, expected) in [
            ("/reference_id", json!(""), "error_missing_reference_id"),
            ("/reference_id", json!("a.b"), "error_unsanitized_values"),
            ("/reference_id", json!("a_b-C9"), "accepted"),
            (
                "/purpose_message",
                Value::Null,
                "error_invalid_purpose_message",
            ),
            (
                "/purpose_message",
                json!("abcd"),
                "error_invalid_purpose_message_length",
            ),
            ("/purpose_message", json!("abcde"), "accepted"),
            ("/purpose_message", json!("a".repeat(255)), "accepted"),
            (
                "/purpose_message",
                json!("a".repeat(256)),
                "error_invalid_purpose_message_length",
            ),
            (
                "/purpose_message",
                json!("why not?"),
                "error_unsanitized_values",
            ),
            ("/consumer_urn", Value::Null, "error_empty_consumer_urn"),
            (
                "/consumer_urn",
                json!("unknown"),
                "error_invalid_consumer_urn",
            ),
            ("/consumer_urn", json!(LIMITED_CONSUMER_URN), "accepted"),
            (
                "/validation_type",
                Value::Null,
                "error_validation_type_empty",
            ),
            (
                "/validation_type",
                json!("PENNYDROP"),
                "error_invalid_validation_type",
            ),
            ("/validation_type", json!("hybrid"), "accepted"),
            (
                "/beneficiary_details",
                Value::Null,
                "error_missing_beneficiary_details",
            ),
            (NUMBER, Value::Null, "error_missing_account_number"),
            (NUMBER, json!("12-34"), "error_unsanitized_values"),
            (
                "/beneficiary_details/ifsc",
                Value::Null,
                "error_missing_ifsc",
            ),
            (
                "/beneficiary_details/ifsc",
                json!("SBIN1001077"),
                "error_invalid_ifsc",
            ),
            ("/beneficiary_details/name", Value::Null, "error_empty_name"),
        ] {
            let mut request = good.clone();
            if let Some(member) = request.pointer_mut(pointer) {
                *member = value;
            }
            assert_eq!(key(&request), expected, "{pointer}");
        }
        let mut unmatched = good;
        unmatched["perform_name_match"] = Value::Null;
        unmatched["beneficiary_details"]["name"] = Value::Null;
        assert_eq!(key(&unmatched), "accepted");
    }
}
