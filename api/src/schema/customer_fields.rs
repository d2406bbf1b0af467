//! The request fields and bodies of the customer calls.

use khata_domain::account::ValueError;
use khata_domain::ids::{CustomerRef, ObjectReferenceId};
use khata_domain::text::{
    MAIL_ADDRESS_PATTERN, ProseError, is_placeholder_address, is_placeholder_id, mail_address,
    prose, trim,
};
use khata_domain::trimmed;
use khata_present::named_schema;
use serde_json::{Value, json};
use utoipa::openapi::{RefOr, Schema};

use super::account_fields::REFERENCE;
use super::field::{
    Encoding::Json, Field, Member, Rule, TextField, fields, object, optional, required,
};

const MAX_EMAIL: usize = 128;
const MAX_NAME: usize = 64;

fields! {
    MOBILE_NUMBER: String = "mobile_number", Rule::Pattern(r"^(?:\s*[0-9]{1,10}|[0-9]{11,16})\s*$", None),
        "Without the country code.", "9876543210", mobile_number;
    MOBILE_COUNTRY_CODE: String = "mobile_country_code", Rule::Pattern(trimmed!("[0-9]{1,4}"), None),
        "Without `+`; default 91.", "91", |text| digits(text, 4, "must be 1 to 4 digits, without +");
    EMAIL_ADDRESS: String = "email_address", Rule::MayBeEmpty(MAIL_ADDRESS_PATTERN, Some(MAX_EMAIL)),
        "It may be empty.", "asha@example.com", email_address;
    FIRST_NAME: String = "first_name", Rule::Length(0..=MAX_NAME),
        "At most 64 characters after trimming, without control characters. It may be empty.", "Asha", person_name;
    LAST_NAME: String = "last_name", Rule::Length(0..=MAX_NAME),
        "At most 64 characters after trimming, without control characters. It may be empty.", "Rao", person_name;
    OBJECT_REFERENCE_ID: ObjectReferenceId = "object_reference_id", Rule::Pattern(REFERENCE, None),
        "Your own name for the customer; unique among your customers.", "customer_1122", reference;
    IGNORED_ID = "id", Rule::Ignored, "Ignored: the path names the customer. Juspay's Python client sends it.";
    IGNORED_REFERENCE_ID = "object_reference_id", Rule::Ignored, "Ignored: an update does not change it.";
    IGNORED_CLIENT_TOKEN = "options.get_client_auth_token", Rule::Ignored,
        "Ignored: Khata issues no client auth tokens. Juspay's API has it; in JSON also `{\"options\":{\"get_client_auth_token\":true}}`.";
}

/// The fields of *create customer*.
pub(crate) static CUSTOMER_FIELDS: [&Field; 7] = [
    &OBJECT_REFERENCE_ID.field,
    &MOBILE_NUMBER.field,
    &MOBILE_COUNTRY_CODE.field,
    &EMAIL_ADDRESS.field,
    &FIRST_NAME.field,
    &LAST_NAME.field,
    &IGNORED_CLIENT_TOKEN,
];
/// The fields of *update customer*.
pub(crate) static CONTACT_FIELDS: [&Field; 8] = [
    &MOBILE_NUMBER.field,
    &MOBILE_COUNTRY_CODE.field,
    &EMAIL_ADDRESS.field,
    &FIRST_NAME.field,
    &LAST_NAME.field,
    &IGNORED_ID,
    &IGNORED_REFERENCE_ID,
    &IGNORED_CLIENT_TOKEN,
];

fn update() -> RefOr<Schema> {
    let members = CONTACT_FIELDS.map(optional);
    object(
        Json,
        "Contact data of a customer.",
        Some(contact_example()),
        &members,
    )
}

fn create() -> RefOr<Schema> {
    let [reference, contact @ ..] = &CUSTOMER_FIELDS;
    let contact = contact.iter().map(|field| optional(field));
    let members: Vec<Member> = std::iter::once(required(reference))
        .chain(contact)
        .collect();
    let mut example = contact_example();
    example["object_reference_id"] = json!("customer_1122");
    object(Json, "A customer.", Some(example), &members)
}

fn contact_example() -> Value {
    json!({
        "mobile_number": "9876543210",
        "mobile_country_code": "91",
        "email_address": "asha@example.com",
        "first_name": "Asha",
        "last_name": "Rao",
    })
}

named_schema! {
    pub(crate) Contact = update();
    pub(crate) CreateCustomer = create();
}

fn reference(text: &str) -> Result<ObjectReferenceId, ValueError> {
    let text = trim(text);
    if is_placeholder_id(text) {
        return Err(ValueError::PLACEHOLDER);
    }
    match CustomerRef::parse(text) {
        // A later call would read it as an id and never find this customer.
        Some(CustomerRef::Id(_)) => Err(ValueError::Form(
            "must not have the form of a Khata customer id",
        )),
        Some(CustomerRef::Reference(_)) | None => {
            ObjectReferenceId::parse(text).ok_or(ValueError::Form(ObjectReferenceId::MESSAGE))
        }
    }
}

/// Accepts a number without country code. A form's `+` is a blank: `+919876543210` must not be read as a number of twelve digits.
fn mobile_number(text: &str) -> Result<String, ValueError> {
    let number = digits(text, 16, "must be 1 to 16 digits, without the country code")?;
    let before = text.split(&*number).next().unwrap_or_default();
    if number.len() > 10 && before.contains(char::is_whitespace) {
        return Err(ValueError::Form(
            "has a blank, as which a form reads +, before a country code: send the number without + and the country code",
        ));
    }
    Ok(number)
}

fn digits(text: &str, most: usize, reason: &'static str) -> Result<String, ValueError> {
    let text = trim(text);
    let valid = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    valid
        .then(|| text.to_owned())
        .ok_or_else(|| ValueError::of(text, reason))
}

/// Accepts an e-mail address, or an empty text. The length is that of the whole text, as published.
fn email_address(text: &str) -> Result<String, ValueError> {
    let address = if text.is_empty() {
        Some(text)
    } else {
        mail_address(text)
    };
    if is_placeholder_address(text) {
        return Err(ValueError::PLACEHOLDER);
    }
    let address = address.filter(|_| text.chars().count() <= MAX_EMAIL);
    address.map(str::to_owned).ok_or(ValueError::Form(
        "must be an e-mail address of at most 128 characters",
    ))
}

fn person_name(text: &str) -> Result<String, ValueError> {
    let name = prose(text, 0, MAX_NAME);
    name.map(str::to_owned).map_err(|error| match error {
        ProseError::Length | ProseError::Controls => ValueError::Form(
            "must be at most 64 characters without control characters, and not blank",
        ),
        other => other.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_fields_accept_only_their_form() {
        let accepts = |field: &TextField<String>, text: &str| (field.parse)(text).is_ok();
        for valid in ["9876543210", "1", "0123456789012345"] {
            assert!(accepts(&MOBILE_NUMBER, valid), "{valid}");
        }
        for invalid in [
            "",
            "undefined",
            "+919876543210",
            "98765 43210",
            "९८७६५४३२१०",
            "01234567890123456",
        ] {
            assert!(!accepts(&MOBILE_NUMBER, invalid), "{invalid}");
        }
        // A form's `+91…`, and blanks around a number alone.
        for (text, valid) in [
            (" 919876543210", false),
            ("\u{a0}919876543210", false),
            ("\u{feff}919876543210 ", true),
            (" 9876543210 ", true),
        ] {
            assert_eq!(accepts(&MOBILE_NUMBER, text), valid, "{text:?}");
        }
        assert!(accepts(&MOBILE_COUNTRY_CODE, "91") && !accepts(&MOBILE_COUNTRY_CODE, "+91"));
        for valid in ["", "asha@example.com", "आशा@example.com", "a.b+c@x"] {
            assert!(accepts(&EMAIL_ADDRESS, valid), "{valid}");
        }
        for invalid in [
            "asha",
            "@x",
            "a@",
            "a@b@c",
            "a b@c",
            &format!("{}@x", "a".repeat(127)),
        ] {
            assert!(!accepts(&EMAIL_ADDRESS, invalid), "{invalid}");
        }
        for valid in ["", "Asha", " आशा ", "O'Neil-Rao (Jr.)", "Null"] {
            assert!(accepts(&FIRST_NAME, valid), "{valid}");
        }
        for invalid in [
            "a\nb",
            "  ",
            "\u{200b}",
            "undefined",
            "null",
            &"x".repeat(65),
        ] {
            assert!(!accepts(&LAST_NAME, invalid), "{invalid:?}");
        }
    }
}
