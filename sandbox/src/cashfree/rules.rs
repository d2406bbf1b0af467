//! Cashfree's field rules (request parameters of bank account verification v2, UPI verification v2 and
//! UPI penny drop) and its refusals (HTTP errors of the verification APIs).

use chrono::DateTime;
use serde_json::json;

use crate::refusal::{Refusal, RefusalRow, refusals};
use crate::rules::Check::{
    AtLeast, AtMost, Given, Is, Matches, Present, Sent, Text, TrimmedAtMost, True,
};
use crate::rules::{NO_REFUSAL, Rule, alphanumeric, ifsc, rules, vpa};

refusals! {
    CREDENTIALS = 401, "authentication_failed", "Invalid clientId and clientSecret combination";
    IP = 403, "ip_validation_failed", "IP not whitelisted your current ip is 127.0.0.1";
    BAD_REQUEST = 400, "bad_request", "Bad request, please check API documentation";
    NO_ID = 400, "reference_id_missing", "Please provide reference_id or user_id";
    REFERENCE_ID_UNKNOWN = 404, "reference_id_not_found", "reference_id does not exist.";
    USER_ID_UNKNOWN = 404, "user_id_not_found", "user_id does not exist.";
    VERIFICATION_ID_UNKNOWN = 404, "verification_id_not_found",
        "verification_id does not exist.";
    VERIFICATION_ID_USED = 409, "verification_id_already_exists",
        "verification ID already exists";
    INSUFFICIENT_BALANCE = 422, "insufficient_balance",
        "Insufficient balance to process this request";
    /// An outcome that Cashfree returns as an error, with its code in small letters.
    BANK_DECLINED = 422, "bene_bank_declined", "Beneficiary bank declined the request";
    TOO_MANY_CALLS = 429, "too_many_requests",
        "Too many requests from the IP. Check back in sometime";
    INTERNAL_ERROR = 500, "internal_error", "something went wrong, please try after some time";
    /// The bank or network that Cashfree called did not reply.
    BAD_GATEWAY = 502, "verification_failed", "verification attempt failed";
    MISSING = 400, "{}_missing", "{} is missing in the request.";
    TOO_LONG = 400, "{}_length_exceeded", "{} can include a maximum of {most} characters.";
    TOO_SHORT = 400, "{}_length_short", "{} should include a minimum of {least} characters.";
    NOT_ALPHANUMERIC = 400, "{}_value_invalid", "{} should be alphanumeric.";
    NOT_NUMERIC = 400, "{}_value_invalid", "{} should be numeric.";
    NOT_A_NUMBER = 400, "{}_value_invalid", "{} should be a number.";
    NOT_AN_IFSC = 400, "{}_value_invalid",
        "{} should be of 11 characters and 5th character should be 0.";
    NOT_A_USER_ID = 400, "{}_value_invalid",
        "{} should contain only alphanumeric and underscore characters.";
    NOT_A_VERIFICATION_ID = 400, "{}_value_invalid",
        "{} should include only alphanum, dot, hyphen and underscores.";
    NOT_A_VPA = 400, "{}_value_invalid", "{} should be valid.";
    NOT_TRUE = 400, "{}_value_invalid", "{} should be true.";
    NOT_EXPLICIT = 400, "{}_value_invalid", "{} should be EXPLICIT.";
    NOT_A_TIME = 400, "{}_value_invalid", "{} should be a valid timestamp.";
    OTHER_VERSION = 400, "{}_value_invalid", "{} should be 2024-12-01.";
}

/// Makes a refusal: `{type, code, message}`.
pub(super) fn refusal((status, code, message): RefusalRow<'_>) -> Refusal {
    let kind = match status {
        401 | 403 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        500.. => "internal_error",
        _ => "validation_error",
    };
    Refusal::new(
        status,
        json!({"type": kind, "code": code, "message": message}),
    )
}

rules! {
    BANK {
        "bank_account": Present => MISSING;
        "bank_account": AtMost(40) => TOO_LONG;
        "bank_account": AtLeast(6) => TOO_SHORT;
        "bank_account": Matches(alphanumeric) => NOT_ALPHANUMERIC;
        "ifsc": Present => MISSING;
        "ifsc": Matches(ifsc) => NOT_AN_IFSC;
        "name": TrimmedAtMost(100) => TOO_LONG;
        "phone": AtMost(13) => TOO_LONG;
        "phone": AtLeast(8) => TOO_SHORT;
        "phone": Matches(is_numeric) => NOT_NUMERIC;
        // A field of the async call, whose rules are apart.
        "user_id": Text => NO_REFUSAL;
    }
    USER_ID {
        "user_id": AtMost(40) => TOO_LONG;
        "user_id": Matches(is_user_id) => NOT_A_USER_ID;
    }
    REFERENCE_ID {
        "reference_id": Matches(is_number) => NOT_A_NUMBER;
    }
    VERIFICATION_ID {
        "verification_id": Present => MISSING;
        "verification_id": AtMost(50) => TOO_LONG;
        "verification_id": Matches(is_verification_id) => NOT_A_VERIFICATION_ID;
    }
    VPA {
        "vpa": Present => MISSING;
        "vpa": Matches(is_vpa) => NOT_A_VPA;
        "name": TrimmedAtMost(100) => TOO_LONG;
    }
    /// The payee's consent, which NPCI demands before a UPI penny drop.
    USER_CONSENT {
        "user_consent": Given => MISSING;
        "user_consent.obtained": True => NOT_TRUE;
        "user_consent.type": Is("EXPLICIT") => NOT_EXPLICIT;
        "user_consent.timestamp": Present => MISSING;
        "user_consent.timestamp": Matches(is_time) => NOT_A_TIME;
        "user_consent.purpose": Present => MISSING;
    }
    /// The version under which the UPI penny drop is published, a header.
    API_VERSION {
        "x-api-version": Sent => MISSING;
        "x-api-version": Is("2024-12-01") => OTHER_VERSION;
    }
}

fn is_numeric(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

fn is_user_id(text: &str) -> bool {
    alphanumeric(&text.replace('_', ""))
}

fn is_verification_id(text: &str) -> bool {
    alphanumeric(&text.replace(['.', '-', '_'], ""))
}

fn is_vpa(text: &str) -> bool {
    vpa(text, b".-_", b".-_")
}

fn is_time(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rules::check;

    /// Returns the code of the refusal; "" if the request is accepted.
    fn code(rules: &'static [Rule], field: &str, value: &Value) -> String {
        let mut request = json!({
            "bank_account": "123456", "ifsc": "YESB0000262", "name": null, "phone": null,
            "user_id": null, "verification_id": "a", "vpa": "asha@upi", "reference_id": "1",
            "x-api-version": "2024-12-01",
            "user_consent": {
                "obtained": true, "type": "EXPLICIT", "timestamp": "2025-10-27T09:24:36Z",
                "purpose": "payout",
            },
        });
        match field.split_once('.') {
            Some((object, member)) => request[object][member] = value.clone(),
            None => request[field] = value.clone(),
        }
        let breach = check(rules, &request).err();
        breach.map_or_else(String::new, |breach| breach.row().1.to_owned())
    }

    #[test]
    fn each_field_keeps_its_limits() {
        for (rules, field, value, expected) in [
            (BANK, "bank_account", json!("AbC123"), ""),
            (BANK, "bank_account", json!("9".repeat(40)), ""),
            (BANK, "bank_account", Value::Null, "_missing"),
            (BANK, "bank_account", json!(""), "_missing"),
            (BANK, "bank_account", json!("12345"), "_length_short"),
            (
                BANK,
                "bank_account",
                json!("9".repeat(41)),
                "_length_exceeded",
            ),
            (BANK, "bank_account", json!("1234 56"), "_value_invalid"),
            (BANK, "bank_account", json!("12345-6"), "_value_invalid"),
            (BANK, "bank_account", json!("१२३४५६"), "_value_invalid"),
            (BANK, "ifsc", json!("ABCD0A1B2C3"), ""),
            (BANK, "ifsc", Value::Null, "_missing"),
            (BANK, "ifsc", json!("yesb0000262"), "_value_invalid"),
            (BANK, "name", json!("  "), ""),
            (BANK, "name", json!("श".repeat(100)), ""),
            (BANK, "name", json!("a".repeat(101)), "_length_exceeded"),
            (BANK, "phone", json!(""), ""),
            (BANK, "phone", json!("99999999"), ""),
            (BANK, "phone", json!("9199999999999"), ""),
            (BANK, "phone", json!("9999999"), "_length_short"),
            (BANK, "phone", json!("99999999999999"), "_length_exceeded"),
            (BANK, "phone", json!("+919999999"), "_value_invalid"),
            (USER_ID, "user_id", json!("att_1"), ""),
            (USER_ID, "user_id", json!("att-1"), "_value_invalid"),
            (
                USER_ID,
                "user_id",
                json!("a".repeat(41)),
                "_length_exceeded",
            ),
            (REFERENCE_ID, "reference_id", json!("12"), ""),
            (REFERENCE_ID, "reference_id", json!("12a"), "_value_invalid"),
            (VERIFICATION_ID, "verification_id", json!("a.b-c_1"), ""),
            (VERIFICATION_ID, "verification_id", Value::Null, "_missing"),
            (
                VERIFICATION_ID,
                "verification_id",
                json!("a/b"),
                "_value_invalid",
            ),
            (
                VERIFICATION_ID,
                "verification_id",
                json!("a".repeat(51)),
                "_length_exceeded",
            ),
            (VPA, "vpa", json!("a.b-c_d@okhdfcbank"), ""),
            (VPA, "vpa", Value::Null, "_missing"),
            (VPA, "vpa", json!("a@b@c"), "_value_invalid"),
            (API_VERSION, "x-api-version", Value::Null, "_missing"),
            (
                API_VERSION,
                "x-api-version",
                json!("2023-12-18"),
                "_value_invalid",
            ),
            (USER_CONSENT, "user_consent", Value::Null, "_missing"),
            (
                USER_CONSENT,
                "user_consent.obtained",
                json!(false),
                "_value_invalid",
            ),
            (
                USER_CONSENT,
                "user_consent.type",
                json!("IMPLICIT"),
                "_value_invalid",
            ),
            (
                USER_CONSENT,
                "user_consent.timestamp",
                Value::Null,
                "_missing",
            ),
            (
                USER_CONSENT,
                "user_consent.timestamp",
                json!("today"),
                "_value_invalid",
            ),
            (USER_CONSENT, "user_consent.purpose", json!(" "), "_missing"),
            (USER_CONSENT, "user_consent.purpose", json!("payout"), ""),
        ] {
            let expected = match expected {
                "" => String::new(),
                suffix => format!("{field}{suffix}"),
            };
            assert_eq!(code(rules, field, &value), expected, "{field}: {value}");
        }
    }
}
