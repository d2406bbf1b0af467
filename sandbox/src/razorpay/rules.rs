//! Razorpay's field rules (RazorpayX, composite account validation, request parameters; payout
//! idempotency) and its refusals (Razorpay, about errors; RazorpayX, error codes and API error reasons).

use serde_json::{Map, Value, json};

use crate::refusal::{Refusal, RefusalRow, refusals};
use crate::rules::Check::{Given, Length, Matches, Object, OneOf, Present, Text};
use crate::rules::{NO_REFUSAL, Rule, alphanumeric, ifsc, rules, vpa};

/// The only account that the rupee can be taken from. Razorpay's samples have this number.
pub const SOURCE_ACCOUNT_NUMBER: &str = "7878780080316316";

const INPUT: &str = "input_validation_failed";

refusals! {
    MALFORMED = 400, INPUT, "The request body is not in the expected format";
    UNKNOWN_ID = 400, INPUT, "The id provided does not exist";
    KEY_USED = 400, INPUT, "Different request body sent with the same idempotency key";
    INSUFFICIENT_FUNDS = 400, "insufficient_funds",
        "Your account does not have enough balance to carry out this operation";
    IP = 400, "NA", "Transactions from this IP are not allowed. Contact support for help.";
    /// The payment gateway's refusal of an address (Razorpay, common errors).
    ACCESS_DENIED = 400, "NA", "Access Denied";
    CREDENTIALS = 401, "authentication_failed", "Authentication failed";
    /// The path does not exist, or its feature is off for this account.
    NO_SUCH_URL = 404, "url_not_found", "The requested URL was not found on the server";
    TOO_MANY_CALLS = 429, "too_many_requests", "Request failed. Please try after sometime";
    SERVER_ERROR = 500, "server_error",
        "We are facing some trouble completing your request at the moment. Please try again shortly";
    /// The bank or network that Razorpay called did not reply.
    GATEWAY_ERROR = 502, "gateway_technical_error", "The gateway request timed out";
    REQUIRED = 400, INPUT, "The {last} field is required.";
    LENGTH = 400, INPUT, "The {last} must be between {least} and {most} characters.";
    SOURCE = 400, INPUT, "The RazorpayX Account number is invalid.";
    MANY_NOTES = 400, INPUT, "Number of fields in notes should be less than or equal to 15";
    LONG_NOTE = 400, INPUT, "Each of the notes should be text of at most 256 characters.";
    ACCOUNT_TYPE = 400, INPUT, "The selected account type is invalid.";
    NUMBER_FORMAT = 400, INPUT, "The account number format is invalid.";
    IFSC_FORMAT = 400, INPUT, "The ifsc format is invalid.";
    VPA_FORMAT = 400, INPUT, "Invalid VPA. Please enter a valid Virtual Payment Address";
    VALIDATION_TYPE = 400, INPUT, "The selected validation type is invalid.";
    KEY_FORMAT = 400, INPUT,
        "Idempotency key must be of 4 to 36 letters, digits, hyphens, underscores and spaces.";
}

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

/// Makes the refusal of a field. Razorpay names the field without its object.
pub(super) fn field_refusal(field: &str, row: RefusalRow<'_>) -> Refusal {
    let mut refusal = refusal(row);
    refusal.body["error"]["field"] = field.into();
    refusal
}

/// Checks a request against a table of rules.
pub(super) fn check(rules: &'static [Rule], request: &Value) -> Result<(), Refusal> {
    crate::rules::check(rules, request).map_err(|breach| field_refusal(breach.name, breach.row()))
}

/// The header of the idempotency key.
pub(super) const KEY: &str = "X-Payout-Idempotency";
rules! {
    IDEMPOTENCY_KEY {
        "X-Payout-Idempotency": Matches(is_key) => KEY_FORMAT;
    }
    /// The fields that both kinds of validation have.
    COMMON {
        "source_account_number": Present => REQUIRED;
        "source_account_number": OneOf(&[SOURCE_ACCOUNT_NUMBER]) => SOURCE;
        "reference_id": Length(1, 40) => LENGTH;
        "notes": Object(has_15_at_most) => MANY_NOTES;
        "notes": Object(are_short) => LONG_NOTE;
        "fund_account": Given => REQUIRED;
        "fund_account.contact": Given => REQUIRED;
        "fund_account.contact.name": Present => REQUIRED;
        "fund_account.contact.name": Length(3, 50) => LENGTH;
        "fund_account.contact.email": Text => NO_REFUSAL;
        "fund_account.contact.contact": Text => NO_REFUSAL;
        "fund_account.contact.type": Text => NO_REFUSAL;
        "fund_account.contact.reference_id": Text => NO_REFUSAL;
        "fund_account.contact.notes": Object(has_15_at_most) => MANY_NOTES;
        "fund_account.contact.notes": Object(are_short) => LONG_NOTE;
        "fund_account.account_type": Present => ACCOUNT_TYPE;
        "fund_account.account_type": OneOf(&["bank_account", "vpa"]) => ACCOUNT_TYPE;
    }
    /// A bank account without a validation type is validated by penny drop.
    BANK {
        "fund_account.bank_account": Given => REQUIRED;
        "fund_account.bank_account.account_number": Present => REQUIRED;
        "fund_account.bank_account.account_number": Length(5, 35) => LENGTH;
        "fund_account.bank_account.account_number": Matches(alphanumeric) => NUMBER_FORMAT;
        "fund_account.bank_account.ifsc": Present => REQUIRED;
        "fund_account.bank_account.ifsc": Matches(ifsc) => IFSC_FORMAT;
        "fund_account.bank_account.name": Length(3, 120) => LENGTH;
        "validation_type": OneOf(&["pennydrop", "penniless", "optimized"]) => VALIDATION_TYPE;
    }
    /// A VPA is validated by penny drop only.
    VPA {
        "fund_account.vpa.address": Present => REQUIRED;
        "fund_account.vpa.address": Length(3, 100) => LENGTH;
        "fund_account.vpa.address": Matches(is_vpa) => VPA_FORMAT;
        "validation_type": OneOf(&["pennydrop"]) => VALIDATION_TYPE;
    }
    /// The type of an object without rules of its own.
    VPA_OBJECT {
        "fund_account.vpa": Given => NO_REFUSAL;
    }
    /// The payment gateway's lookup.
    VPA_LOOKUP {
        "vpa": Present => REQUIRED;
        "vpa": Length(3, 100) => LENGTH;
        "vpa": Matches(is_vpa) => VPA_FORMAT;
    }
}

fn is_vpa(text: &str) -> bool {
    vpa(text, b".-_", b".")
}

fn is_key(text: &str) -> bool {
    (4..=36).contains(&text.len()) && alphanumeric(&text.replace(['-', '_', ' '], ""))
}

fn has_15_at_most(notes: &Map<String, Value>) -> bool {
    notes.len() <= 15
}

fn are_short(notes: &Map<String, Value>) -> bool {
    notes.values().all(|note| match note {
        Value::String(text) => text.chars().count() <= 256,
        Value::Number(_) | Value::Bool(_) | Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::check;

    /// Returns the field of the refusal; "" if the request is accepted.
    fn refused(rules: &'static [Rule], pointer: &str, value: Value) -> String {
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
        let breach = check(rules, &request).err();
        breach.map_or_else(String::new, |breach| breach.name.to_owned())
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
            (VPA, TYPE, Value::Null, ""),
            (VPA, TYPE, json!("pennydrop"), ""),
            (VPA, TYPE, json!("penniless"), "validation_type"),
            (BANK, TYPE, json!("penniless"), ""),
            (BANK, TYPE, json!("optimized"), ""),
            (BANK, TYPE, json!("guess"), "validation_type"),
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
