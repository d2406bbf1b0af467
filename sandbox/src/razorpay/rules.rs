//! Razorpay's field rules (RazorpayX, composite account validation, request parameters; payout
//! idempotency) and its refusals (Razorpay, about errors; RazorpayX, error codes).

use serde_json::{Value, json};

use crate::body::Shape;
use crate::profile::{Refusal, RefusalRow};
use crate::rules::Check::{Given, Holds, Length, Matches, OneOf, Present};
use crate::rules::{Rule, alphanumeric, ifsc, rule, vpa};

/// The only account that the rupee can be taken from. Razorpay's samples have this number.
pub const SOURCE_ACCOUNT_NUMBER: &str = "7878780080316316";

const INPUT: &str = "input_validation_failed";

pub(super) const MALFORMED: RefusalRow<'static> =
    (400, INPUT, "The request body is not in the expected format");
pub(super) const UNKNOWN_ID: RefusalRow<'static> = (400, INPUT, "The id provided does not exist");
pub(super) const INSUFFICIENT_FUNDS: RefusalRow<'static> = (
    400,
    "insufficient_funds",
    "Your account does not have enough balance to carry out this operation",
);
/// RazorpayX, API error reasons.
pub(super) const IP: RefusalRow<'static> = (
    400,
    "NA",
    "Transactions from this IP are not allowed. Contact support for help.",
);
/// The payment gateway's refusal of an address (Razorpay, common errors).
pub(super) const ACCESS_DENIED: RefusalRow<'static> = (400, "NA", "Access Denied");
pub(super) const CREDENTIALS: RefusalRow<'static> =
    (401, "authentication_failed", "Authentication failed");
/// The path does not exist, or its feature is off for this account.
pub(super) const NO_SUCH_URL: RefusalRow<'static> = (
    404,
    "url_not_found",
    "The requested URL was not found on the server",
);
pub(super) const TOO_MANY_CALLS: RefusalRow<'static> = (
    429,
    "too_many_requests",
    "Request failed. Please try after sometime",
);
/// Razorpay's own fault, which says nothing of the account.
pub(super) const SERVER_ERROR: RefusalRow<'static> = (
    500,
    "server_error",
    "We are facing some trouble completing your request at the moment. Please try again shortly",
);
/// The bank or network that Razorpay called did not reply.
pub(super) const GATEWAY_ERROR: RefusalRow<'static> = (
    502,
    "gateway_technical_error",
    "The gateway request timed out",
);

/// Makes a refusal: `{"error": {…}}`.
pub(super) fn refusal((status, reason, description): RefusalRow<'_>) -> Refusal {
    let (code, source) = match status {
        500 => ("SERVER_ERROR", "internal"),
        502 => ("GATEWAY_ERROR", "internal"),
        _ => ("BAD_REQUEST_ERROR", "business"),
    };
    // `step` and `metadata` are about a payment, and there is none.
    let error = json!({
        "code": code, "description": description, "source": source, "step": null,
        "reason": reason, "metadata": {},
    });
    Refusal::new(status, json!({"error": error}))
}

/// Makes the refusal of a field that breaches a rule. Razorpay names the field without its object.
pub(super) fn rule_refusal(rule: &Rule) -> Refusal {
    let name = rule.field.rsplit('.').next().unwrap_or(rule.field);
    field_refusal(name, &rule.message(name))
}

/// Makes the refusal of an idempotency key that was used for another request.
pub(super) fn key_used_for_another_body() -> Refusal {
    field_refusal(
        KEY,
        "Different request body sent with the same idempotency key",
    )
}

fn field_refusal(field: &str, description: &str) -> Refusal {
    let mut refusal = refusal((400, INPUT, description));
    refusal.body["error"]["field"] = field.into();
    refusal
}

pub(super) const VALIDATION_SHAPE: Shape = Shape {
    objects: &[
        "notes",
        "fund_account",
        "fund_account.bank_account",
        "fund_account.vpa",
        "fund_account.contact",
        "fund_account.contact.notes",
    ],
    texts: &[
        "source_account_number",
        "validation_type",
        "reference_id",
        "fund_account.account_type",
        "fund_account.bank_account.name",
        "fund_account.bank_account.ifsc",
        "fund_account.bank_account.account_number",
        "fund_account.vpa.address",
        "fund_account.contact.name",
        "fund_account.contact.email",
        "fund_account.contact.contact",
        "fund_account.contact.type",
        "fund_account.contact.reference_id",
    ],
    flags: &[],
};

pub(super) const VPA_LOOKUP_SHAPE: Shape = Shape {
    objects: &[],
    texts: &["vpa"],
    flags: &[],
};

const KEY: &str = "X-Payout-Idempotency";
const CONTACT_NAME: &str = "fund_account.contact.name";
const NUMBER: &str = "fund_account.bank_account.account_number";
const IFSC: &str = "fund_account.bank_account.ifsc";
const NAME: &str = "fund_account.bank_account.name";
const ADDRESS: &str = "fund_account.vpa.address";

const fn required(field: &'static str) -> Rule {
    rule(field, Present, INPUT, "The {} field is required.")
}

const fn given(field: &'static str) -> Rule {
    rule(field, Given, INPUT, "The {} field is required.")
}

const fn few_notes(field: &'static str) -> Rule {
    let message = "Number of fields in notes should be less than or equal to 15";
    rule(field, Holds(has_15_notes_at_most), INPUT, message)
}

const fn short_notes(field: &'static str) -> Rule {
    let message = "Each of the notes should be text of at most 256 characters.";
    rule(field, Holds(has_short_notes), INPUT, message)
}

const fn vpa_length(field: &'static str) -> Rule {
    let message = "The {} must be between 3 and 100 characters.";
    rule(field, Length(3, 100), INPUT, message)
}

const fn vpa_format(field: &'static str) -> Rule {
    let message = "Invalid VPA. Please enter a valid Virtual Payment Address";
    rule(field, Matches(is_vpa), INPUT, message)
}

/// The header of the idempotency key.
pub(super) const IDEMPOTENCY_KEY: &[Rule] = &[rule(
    KEY,
    Matches(is_key),
    INPUT,
    "Idempotency key must be of 4 to 36 letters, digits, hyphens, underscores and spaces.",
)];

/// The fields that both kinds of validation have.
pub(super) const COMMON: &[Rule] = &[
    required("source_account_number"),
    rule(
        "source_account_number",
        OneOf(&[SOURCE_ACCOUNT_NUMBER]),
        INPUT,
        "The RazorpayX Account number is invalid.",
    ),
    rule(
        "reference_id",
        Length(1, 40),
        INPUT,
        "The {} must be between 1 and 40 characters.",
    ),
    few_notes("notes"),
    short_notes("notes"),
    given("fund_account"),
    given("fund_account.contact"),
    required(CONTACT_NAME),
    rule(
        CONTACT_NAME,
        Length(3, 50),
        INPUT,
        "The {} must be between 3 and 50 characters.",
    ),
    few_notes("fund_account.contact.notes"),
    short_notes("fund_account.contact.notes"),
    rule(
        "fund_account.account_type",
        Holds(is_account_type),
        INPUT,
        "The selected account type is invalid.",
    ),
];

pub(super) const BANK: &[Rule] = &[
    given("fund_account.bank_account"),
    required(NUMBER),
    rule(
        NUMBER,
        Length(5, 35),
        INPUT,
        "The {} must be between 5 and 35 characters.",
    ),
    rule(
        NUMBER,
        Matches(alphanumeric),
        INPUT,
        "The account number format is invalid.",
    ),
    required(IFSC),
    rule(IFSC, Matches(ifsc), INPUT, "The ifsc format is invalid."),
    rule(
        NAME,
        Length(3, 120),
        INPUT,
        "The {} must be between 3 and 120 characters.",
    ),
];

pub(super) const VPA: &[Rule] = &[required(ADDRESS), vpa_length(ADDRESS), vpa_format(ADDRESS)];

/// The payment gateway's lookup.
pub(super) const VPA_LOOKUP: &[Rule] = &[required("vpa"), vpa_length("vpa"), vpa_format("vpa")];

/// A bank account without a type is validated by penny drop.
pub(super) const BANK_VALIDATION_TYPE: &[Rule] =
    &[validation_type(&["pennydrop", "penniless", "optimized"])];

/// A VPA is validated by penny drop only.
pub(super) const VPA_VALIDATION_TYPE: &[Rule] = &[validation_type(&["pennydrop"])];

const fn validation_type(allowed: &'static [&'static str]) -> Rule {
    rule(
        "validation_type",
        OneOf(allowed),
        INPUT,
        "The selected validation type is invalid.",
    )
}

fn is_account_type(value: &Value) -> bool {
    *value == "bank_account" || *value == "vpa"
}

fn is_vpa(text: &str) -> bool {
    vpa(text, b".-_", b".")
}

fn is_key(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b' ');
    (4..=36).contains(&text.len()) && text.bytes().all(allowed)
}

fn has_15_notes_at_most(notes: &Value) -> bool {
    notes.as_object().is_none_or(|notes| notes.len() <= 15)
}

fn has_short_notes(notes: &Value) -> bool {
    let short = |note: &Value| match note {
        Value::String(text) => text.chars().count() <= 256,
        Value::Number(_) | Value::Bool(_) | Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    };
    notes
        .as_object()
        .is_none_or(|notes| notes.values().all(short))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::first_breach;

    /// Returns the field of the refusal; "" if the request is accepted.
    fn refused(rules: &[Rule], pointer: &str, value: Value) -> String {
        let mut request = json!({
            "X-Payout-Idempotency": "abcd", "validation_type": "pennydrop",
            "fund_account": {
                "bank_account": {
                    "account_number": "12345", "ifsc": "HDFC0000001", "name": "Asha Rao",
                },
                "vpa": {"address": "a@b"},
            },
        });
        if let Some(member) = request.pointer_mut(pointer) {
            *member = value;
        }
        let breach = first_breach(rules, &request).map(rule_refusal);
        let field = breach.map(|refusal| refusal.body["error"]["field"].clone());
        field.map_or_else(String::new, |field| {
            field.as_str().unwrap_or("?").to_owned()
        })
    }

    #[test]
    fn each_field_keeps_its_limits() {
        const NUMBER: &str = "/fund_account/bank_account/account_number";
        const IFSC: &str = "/fund_account/bank_account/ifsc";
        const NAME: &str = "/fund_account/bank_account/name";
        const ADDRESS: &str = "/fund_account/vpa/address";
        const KEY: &str = "/X-Payout-Idempotency";
        const TYPE: &str = "/validation_type";
        let long_vpa = format!("{}@upi", "a".repeat(97));
        for (rules, pointer, value, field) in [
            (BANK, NUMBER, json!("AbC12"), ""),
            (BANK, NUMBER, json!("9".repeat(35)), ""),
            (BANK, NUMBER, json!("1234"), "account_number"),
            (BANK, NUMBER, json!("1234-5"), "account_number"),
            (BANK, NUMBER, json!(""), "account_number"),
            (BANK, NUMBER, json!("9".repeat(36)), "account_number"),
            (BANK, IFSC, json!("HDFC1000001"), "ifsc"),
            (BANK, IFSC, json!("hdfc0000001"), "ifsc"),
            (BANK, NAME, Value::Null, ""),
            (BANK, NAME, json!("ab"), "name"),
            (BANK, NAME, json!("a".repeat(121)), "name"),
            (
                BANK,
                "/fund_account/bank_account",
                Value::Null,
                "bank_account",
            ),
            (VPA, ADDRESS, json!("asha.rao-1_2@okhdfcbank"), ""),
            (VPA, ADDRESS, Value::Null, "address"),
            (VPA, ADDRESS, json!("a@"), "address"),
            (VPA, ADDRESS, json!("asha"), "address"),
            (VPA, ADDRESS, json!("a@b@c"), "address"),
            (VPA, ADDRESS, json!("a b@upi"), "address"),
            (VPA, ADDRESS, json!(long_vpa), "address"),
            (VPA_VALIDATION_TYPE, TYPE, Value::Null, ""),
            (VPA_VALIDATION_TYPE, TYPE, json!("pennydrop"), ""),
            (
                VPA_VALIDATION_TYPE,
                TYPE,
                json!("penniless"),
                "validation_type",
            ),
            (BANK_VALIDATION_TYPE, TYPE, json!("penniless"), ""),
            (BANK_VALIDATION_TYPE, TYPE, json!("optimized"), ""),
            (
                BANK_VALIDATION_TYPE,
                TYPE,
                json!("guess"),
                "validation_type",
            ),
            (IDEMPOTENCY_KEY, KEY, json!("a b_c-9"), ""),
            (IDEMPOTENCY_KEY, KEY, json!("k".repeat(36)), ""),
            (IDEMPOTENCY_KEY, KEY, json!("abc"), "X-Payout-Idempotency"),
            (IDEMPOTENCY_KEY, KEY, json!(""), "X-Payout-Idempotency"),
            (IDEMPOTENCY_KEY, KEY, json!("ab/cd"), "X-Payout-Idempotency"),
            (IDEMPOTENCY_KEY, KEY, json!("ключ"), "X-Payout-Idempotency"),
            (
                IDEMPOTENCY_KEY,
                KEY,
                json!("k".repeat(37)),
                "X-Payout-Idempotency",
            ),
        ] {
            let label = format!("{pointer}: {value}");
            assert_eq!(refused(rules, pointer, value), field, "{label}");
        }
    }
}
