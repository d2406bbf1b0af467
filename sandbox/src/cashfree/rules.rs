//! Cashfree's field rules (request parameters of bank account verification v2, UPI verification v2 and
//! UPI penny drop) and its refusals (HTTP errors of the verification APIs).

use chrono::DateTime;
use serde_json::{Value, json};

use crate::body::Shape;
use crate::profile::{Refusal, RefusalRow};
use crate::rules::Check::{AtLeast, AtMost, Given, Holds, Is, Matches, Present, TrimmedAtMost};
use crate::rules::{Rule, alphanumeric, ifsc, rule, vpa};

pub(super) const CREDENTIALS: RefusalRow<'static> = (
    401,
    "authentication_failed",
    "Invalid clientId and clientSecret combination",
);
pub(super) const IP: RefusalRow<'static> = (
    403,
    "ip_validation_failed",
    "IP not whitelisted your current ip is 127.0.0.1",
);
pub(super) const BAD_REQUEST: RefusalRow<'static> = (
    400,
    "bad_request",
    "Bad request, please check API documentation",
);
pub(super) const REFERENCE_ID_MISSING: RefusalRow<'static> = (
    400,
    "reference_id_missing",
    "Please provide reference_id or user_id",
);
pub(super) const REFERENCE_ID_UNKNOWN: RefusalRow<'static> = (
    404,
    "reference_id_not_found",
    "reference_id does not exist.",
);
pub(super) const USER_ID_UNKNOWN: RefusalRow<'static> =
    (404, "user_id_not_found", "user_id does not exist.");
pub(super) const VERIFICATION_ID_UNKNOWN: RefusalRow<'static> = (
    404,
    "verification_id_not_found",
    "verification_id does not exist.",
);
pub(super) const VERIFICATION_ID_USED: RefusalRow<'static> = (
    409,
    "verification_id_already_exists",
    "verification ID already exists",
);
pub(super) const INSUFFICIENT_BALANCE: RefusalRow<'static> = (
    422,
    "insufficient_balance",
    "Insufficient balance to process this request",
);
/// An outcome that Cashfree returns as an error, with its code in small letters.
pub(super) const BANK_DECLINED: RefusalRow<'static> = (
    422,
    "bene_bank_declined",
    "Beneficiary bank declined the request",
);
pub(super) const TOO_MANY_CALLS: RefusalRow<'static> = (
    429,
    "too_many_requests",
    "Too many requests from the IP. Check back in sometime",
);
/// Cashfree's own fault, which says nothing of the account.
pub(super) const INTERNAL_ERROR: RefusalRow<'static> = (
    500,
    "internal_error",
    "something went wrong, please try after some time",
);
/// The bank or network that Cashfree called did not reply.
pub(super) const BAD_GATEWAY: RefusalRow<'static> =
    (502, "verification_failed", "verification attempt failed");

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

/// Makes the refusal of a field that breaches a rule.
pub(super) fn rule_refusal(rule: &Rule) -> Refusal {
    refusal((400, &rule.code(rule.field), &rule.message(rule.field)))
}

pub(super) const BANK_SHAPE: Shape = Shape {
    objects: &[],
    texts: &["bank_account", "ifsc", "name", "phone", "user_id"],
    flags: &[],
};

pub(super) const UPI_SHAPE: Shape = Shape {
    objects: &["user_consent"],
    texts: &[
        "verification_id",
        "vpa",
        "name",
        "user_consent.type",
        "user_consent.timestamp",
        "user_consent.purpose",
    ],
    flags: &["user_consent.obtained"],
};

const MISSING: (&str, &str) = ("{}_missing", "{} is missing in the request.");
const TOO_LONG: &str = "{}_length_exceeded";
const TOO_SHORT: &str = "{}_length_short";
const INVALID: &str = "{}_value_invalid";

const NAME: Rule = rule(
    "name",
    TrimmedAtMost(100),
    TOO_LONG,
    "{} can include a maximum of 100 characters.",
);

pub(super) const BANK: &[Rule] = &[
    rule("bank_account", Present, MISSING.0, MISSING.1),
    rule(
        "bank_account",
        AtMost(40),
        TOO_LONG,
        "{} can include a maximum of 40 characters.",
    ),
    rule(
        "bank_account",
        AtLeast(6),
        TOO_SHORT,
        "{} should include a minimum of 6 characters.",
    ),
    rule(
        "bank_account",
        Matches(alphanumeric),
        INVALID,
        "{} should be alphanumeric.",
    ),
    rule("ifsc", Present, MISSING.0, MISSING.1),
    rule(
        "ifsc",
        Matches(ifsc),
        INVALID,
        "{} should be of 11 characters and 5th character should be 0.",
    ),
    NAME,
    rule(
        "phone",
        AtMost(13),
        TOO_LONG,
        "{} can include a maximum of 13 characters.",
    ),
    rule(
        "phone",
        AtLeast(8),
        TOO_SHORT,
        "{} should include a minimum of 8 characters.",
    ),
    rule("phone", Matches(digits), INVALID, "{} should be numeric."),
];

pub(super) const USER_ID: &[Rule] = &[
    rule(
        "user_id",
        AtMost(40),
        TOO_LONG,
        "{} can include a maximum of 40 characters.",
    ),
    rule(
        "user_id",
        Matches(letters_digits_underscores),
        INVALID,
        "{} should contain only alphanumeric and underscore characters.",
    ),
];

pub(super) const REFERENCE_ID: &[Rule] = &[rule(
    "reference_id",
    Matches(number),
    INVALID,
    "{} should be a number.",
)];

pub(super) const VERIFICATION_ID: &[Rule] = &[
    rule("verification_id", Present, MISSING.0, MISSING.1),
    rule(
        "verification_id",
        AtMost(50),
        TOO_LONG,
        "{} can include a maximum of 50 characters.",
    ),
    rule(
        "verification_id",
        Matches(letters_digits_marks),
        INVALID,
        "{} should include only alphanum, dot, hyphen and underscores.",
    ),
];

pub(super) const VPA: &[Rule] = &[
    rule("vpa", Present, MISSING.0, MISSING.1),
    rule("vpa", Matches(is_vpa), INVALID, "{} should be valid."),
    NAME,
];

/// The payee's consent, which NPCI demands before a UPI penny drop.
pub(super) const USER_CONSENT: &[Rule] = &[
    rule("user_consent", Given, MISSING.0, MISSING.1),
    rule(
        "user_consent.obtained",
        Holds(is_true),
        INVALID,
        "{} should be true.",
    ),
    rule(
        "user_consent.type",
        Is("EXPLICIT"),
        INVALID,
        "{} should be EXPLICIT.",
    ),
    rule("user_consent.timestamp", Present, MISSING.0, MISSING.1),
    rule(
        "user_consent.timestamp",
        Matches(timestamp),
        INVALID,
        "{} should be a valid timestamp.",
    ),
    rule("user_consent.purpose", Present, MISSING.0, MISSING.1),
];

/// The header of the UPI penny drop, which is published under this version.
pub(super) const API_VERSION: &[Rule] = &[
    rule("x-api-version", Given, MISSING.0, MISSING.1),
    rule(
        "x-api-version",
        Is("2024-12-01"),
        INVALID,
        "{} should be 2024-12-01.",
    ),
];

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

fn letters_digits_underscores(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn letters_digits_marks(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn is_vpa(text: &str) -> bool {
    vpa(text, b".-_", b".-_")
}

fn timestamp(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
}

fn is_true(value: &Value) -> bool {
    *value == true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::first_breach;

    /// Returns the code of the refusal; "" if the request is accepted.
    fn code(rules: &[Rule], field: &str, value: &Value) -> String {
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
        first_breach(rules, &request).map_or_else(String::new, |rule| rule.code(rule.field))
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
