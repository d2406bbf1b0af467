//! The request fields and bodies of the customer calls.

use khata_domain::account::ValueError;
use khata_domain::ids::{CustomerRef, ObjectReferenceId};
use utoipa::openapi::{RefOr, Schema};

use super::field::{
    Encoding::Json, Field, Member, Rule, TextField, all_of, fields, named_schema, object, optional,
    required,
};

const MAX_EMAIL: usize = 128;
const MAX_NAME: usize = 64;

fields! {
    MOBILE_NUMBER: String = "mobile_number", Rule::Pattern("^[0-9]{1,16}$", None),
        "Without the country code.", "9876543210",
        |text| digits(text, 16, "must be 1 to 16 digits, without the country code");
    MOBILE_COUNTRY_CODE: String = "mobile_country_code", Rule::Pattern("^[0-9]{1,4}$", None),
        "Without `+`; default 91.", "91", |text| digits(text, 4, "must be 1 to 4 digits, without +");
    EMAIL_ADDRESS: String = "email_address", Rule::Length(0..=MAX_EMAIL), "", "asha@example.com", email_address;
    FIRST_NAME: String = "first_name", Rule::Length(0..=MAX_NAME), "", "Asha", person_name;
    LAST_NAME: String = "last_name", Rule::Length(0..=MAX_NAME), "", "Rao", person_name;
    OBJECT_REFERENCE_ID: ObjectReferenceId = "object_reference_id", Rule::Pattern(ObjectReferenceId::PATTERN, None),
        "Your own name for the customer; unique among your customers.", "customer_1122", reference;
}

fn contact() -> RefOr<Schema> {
    let names = [&*FIRST_NAME, &*LAST_NAME];
    let fields = [&*MOBILE_NUMBER, &*MOBILE_COUNTRY_CODE, &*EMAIL_ADDRESS];
    let members: Vec<Member> = fields.into_iter().chain(names).map(optional).collect();
    object(Json, "Contact data of a customer.", None, &members)
}

fn own_reference() -> RefOr<Schema> {
    let members = [required(&OBJECT_REFERENCE_ID)];
    object(Json, "Your reference.", None, &members)
}

named_schema! {
    Contact = contact();
    CreateCustomer = all_of("A customer.", [contact(), own_reference()]);
}

fn reference(text: &str) -> Result<ObjectReferenceId, ValueError> {
    match CustomerRef::parse(text) {
        // A later call would read it as an id and never find this customer.
        Some(CustomerRef::Id(_)) => {
            Err(ValueError("must not have the form of a Khata customer id"))
        }
        Some(CustomerRef::Reference(_)) | None => {
            ObjectReferenceId::parse(text).ok_or(ValueError(ObjectReferenceId::MESSAGE))
        }
    }
}

fn digits(text: &str, most: usize, reason: &'static str) -> Result<String, ValueError> {
    let valid = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.to_owned()).ok_or(ValueError(reason))
}

/// Accepts text around one `@`, or an empty text. Only sending a mail can prove more.
fn email_address(text: &str) -> Result<String, ValueError> {
    let parts = text.split_once('@');
    let is_address = parts
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    let valid = (is_address || text.is_empty())
        && text.len() <= MAX_EMAIL
        && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    valid.then(|| text.to_owned()).ok_or(ValueError(
        "must be an e-mail address of at most 128 characters",
    ))
}

fn person_name(text: &str) -> Result<String, ValueError> {
    let name = text.trim();
    let valid = name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    valid.then(|| name.to_owned()).ok_or(ValueError(
        "must be at most 64 characters without control characters",
    ))
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
            "+919876543210",
            "98765 43210",
            "९८७६५४३२१०",
            "01234567890123456",
        ] {
            assert!(!accepts(&MOBILE_NUMBER, invalid), "{invalid}");
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
        for valid in ["", "Asha", " आशा ", "O'Neil-Rao (Jr.)"] {
            assert!(accepts(&FIRST_NAME, valid), "{valid}");
        }
        assert!(!accepts(&LAST_NAME, "a\nb") && !accepts(&LAST_NAME, &"x".repeat(65)));
    }
}
