//! What Decentro lets in: each field's length and alphabet (Decentro, "Validate Bank Account (V3)").

use crate::decentro::refusal::Refusal;
use crate::decentro::wire::{BankRequest, ValidationType};
use crate::decentro::{CONSUMER_URN, LIMITED_CONSUMER_URN};

/// Characters that are not allowed in a reference or a purpose.
const SPECIAL: &str = ".@#$%^&*!;:'\"~`?=+)(";

/// A request that keeps to the limits.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) validation_type: ValidationType,
    pub(super) account: &'a str,
    pub(super) ifsc: &'a str,
    /// The name sent.
    pub(super) name: Option<&'a str>,
    pub(super) perform_name_match: bool,
    /// Whether the velocity limits apply to this consumer.
    pub(super) limited: bool,
}

/// `reference_id`: required, no special characters.
pub(super) fn reference_id(sent: Option<&str>) -> Result<&str, Refusal> {
    let value = present(sent).ok_or_else(|| {
        Refusal::input(
            "error_missing_reference_id",
            "Request reference id cannot be null or empty. Hint: reference_id (string).",
        )
    })?;
    sanitized("reference_id", value)
}

/// Everything but `reference_id`.
pub(super) fn wanted(request: &BankRequest) -> Result<Wanted<'_>, Refusal> {
    purpose_message(request.purpose_message.as_deref())?;
    let limited = consumer_urn(request.consumer_urn.as_deref())?;
    let validation_type = validation_type(request.validation_type.as_deref())?;
    let beneficiary = request.beneficiary_details.as_ref().ok_or_else(|| {
        Refusal::input(
            "error_missing_beneficiary_details",
            "Beneficiary details cannot be null or empty. Hint: beneficiary_details (object).",
        )
    })?;
    let account = account_number(beneficiary.account_number.as_deref())?;
    let ifsc = ifsc(beneficiary.ifsc.as_deref())?;
    let name = present(beneficiary.name.as_deref());
    let perform_name_match = request.perform_name_match.unwrap_or(false);
    if perform_name_match && name.is_none() {
        return Err(Refusal::input(
            "error_empty_name",
            "Name cannot be null or empty. Hint: name (string).",
        ));
    }
    Ok(Wanted {
        validation_type,
        account,
        ifsc,
        name,
        perform_name_match,
        limited,
    })
}

/// `purpose_message`: required, 5–255 characters, no special ones.
fn purpose_message(sent: Option<&str>) -> Result<(), Refusal> {
    let value = present(sent).ok_or_else(|| {
        Refusal::input(
            "error_invalid_purpose_message",
            "Purpose message cannot be null or empty. Hint: purpose_message (string).",
        )
    })?;
    if !(5..=255).contains(&value.chars().count()) {
        return Err(Refusal::input(
            "error_invalid_purpose_message_length",
            "Purpose message should have 5 to 255 characters.",
        ));
    }
    sanitized("purpose_message", value).map(|_| ())
}

/// `consumer_urn`: required, one of the two consumers there are. Whether it is the limited one.
fn consumer_urn(sent: Option<&str>) -> Result<bool, Refusal> {
    match present(sent) {
        Some(CONSUMER_URN) => Ok(false),
        Some(LIMITED_CONSUMER_URN) => Ok(true),
        Some(_) => Err(Refusal::input(
            "error_invalid_consumer_urn",
            "Consumer URN is invalid.",
        )),
        None => Err(Refusal::input(
            "error_empty_consumer_urn",
            "Consumer URN cannot be null or empty. Hint: consumer_urn (string).",
        )),
    }
}

/// `validation_type`: required, one of three.
fn validation_type(sent: Option<&str>) -> Result<ValidationType, Refusal> {
    match present(sent) {
        Some("penniless") => Ok(ValidationType::Penniless),
        Some("pennydrop") => Ok(ValidationType::Pennydrop),
        Some("hybrid") => Ok(ValidationType::Hybrid),
        Some(_) => Err(Refusal::input(
            "error_invalid_validation_type",
            "Invalid value entered for validation_type. It can be penniless, pennydrop or hybrid.",
        )),
        None => Err(Refusal::input(
            "error_validation_type_empty",
            "Validation type is empty.",
        )),
    }
}

/// `account_number`: required, letters and digits. No length is documented.
fn account_number(sent: Option<&str>) -> Result<&str, Refusal> {
    let value = present(sent).ok_or_else(|| {
        Refusal::input(
            "error_missing_account_number",
            "Account number cannot be null or empty. Hint: account_number (string).",
        )
    })?;
    if value.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(value)
    } else {
        Err(Refusal::unsanitized("account_number"))
    }
}

/// `ifsc`: required, four letters, a zero, six letters or digits.
fn ifsc(sent: Option<&str>) -> Result<&str, Refusal> {
    let value = present(sent).ok_or_else(|| {
        Refusal::input(
            "error_missing_ifsc",
            "IFSC cannot be null or empty. Hint: ifsc (string).",
        )
    })?;
    let well_formed = value.len() == 11
        && value.bytes().enumerate().all(|(place, byte)| match place {
            0..=3 => byte.is_ascii_alphabetic(),
            4 => byte == b'0',
            _ => byte.is_ascii_alphanumeric(),
        });
    if well_formed {
        Ok(value)
    } else {
        Err(Refusal::input(
            "error_invalid_ifsc",
            "IFSC is not in valid format.",
        ))
    }
}

fn present(sent: Option<&str>) -> Option<&str> {
    sent.filter(|value| !value.trim().is_empty())
}

fn sanitized<'a>(field: &str, value: &'a str) -> Result<&'a str, Refusal> {
    if value.is_ascii() && !value.contains(|letter| SPECIAL.contains(letter)) {
        Ok(value)
    } else {
        Err(Refusal::unsanitized(field))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn good() -> Value {
        json!({
            "reference_id": "att-1",
            "purpose_message": "Account check",
            "consumer_urn": CONSUMER_URN,
            "validation_type": "pennydrop",
            "perform_name_match": true,
            "beneficiary_details": {
                "account_number": "121416119212", "ifsc": "SBIN0001077", "name": "Asha Rao",
            },
        })
    }

    fn key(body: Value) -> &'static str {
        let request: BankRequest = serde_json::from_value(body).unwrap();
        match reference_id(request.reference_id.as_deref()).and_then(|_| wanted(&request)) {
            Ok(_) => "let in",
            Err(refusal) => refusal.response_key(),
        }
    }

    #[test]
    fn each_field_has_its_limits() {
        assert_eq!(key(good()), "let in");
        for (pointer, value, expected) in [
            ("/reference_id", json!(""), "error_missing_reference_id"),
            ("/reference_id", json!("a.b"), "error_unsanitized_values"),
            ("/reference_id", json!("a_b-C9"), "let in"),
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
            ("/purpose_message", json!("abcde"), "let in"),
            ("/purpose_message", json!("a".repeat(255)), "let in"),
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
                json!("somebody"),
                "error_invalid_consumer_urn",
            ),
            ("/consumer_urn", json!(LIMITED_CONSUMER_URN), "let in"),
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
            ("/validation_type", json!("hybrid"), "let in"),
            (
                "/beneficiary_details",
                Value::Null,
                "error_missing_beneficiary_details",
            ),
            (
                "/beneficiary_details/account_number",
                Value::Null,
                "error_missing_account_number",
            ),
            (
                "/beneficiary_details/account_number",
                json!("12-34"),
                "error_unsanitized_values",
            ),
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
            let mut body = good();
            *body.pointer_mut(pointer).unwrap() = value;
            assert_eq!(key(body), expected, "{pointer}");
        }
        let mut unmatched = good();
        unmatched["perform_name_match"] = Value::Null;
        unmatched["beneficiary_details"]["name"] = Value::Null;
        assert_eq!(key(unmatched), "let in");
    }
}
