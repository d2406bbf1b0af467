//! The request fields and bodies of the customer calls.

use khata_domain::account::Fault;
use khata_domain::ids::{CustomerRef, ObjectReferenceId};

use super::field::{
    Encoding, Field, Member, Rule, TextField, all_of, named_schema, object, optional, required,
};

const MAX_EMAIL: usize = 128;
const MAX_NAME: usize = 64;

macro_rules! contact_field {
    ($field:ident, $name:literal, $rule:expr, $description:literal, $example:literal, $parse:expr) => {
        pub(crate) static $field: TextField<String> = TextField {
            field: Field {
                name: $name,
                rule: $rule,
                description: $description,
                example: $example,
            },
            parse: $parse,
        };
    };
}

contact_field!(
    MOBILE_NUMBER,
    "mobile_number",
    Rule::Pattern("^[0-9]{1,16}$"),
    "Without the country code.",
    "9876543210",
    |text| digits(text, 16, "must be 1 to 16 digits, without the country code")
);
contact_field!(
    MOBILE_COUNTRY_CODE,
    "mobile_country_code",
    Rule::Pattern("^[0-9]{1,4}$"),
    "Without `+`; default 91.",
    "91",
    |text| digits(text, 4, "must be 1 to 4 digits, without +")
);
contact_field!(
    EMAIL_ADDRESS,
    "email_address",
    Rule::Length(0..=MAX_EMAIL),
    "",
    "asha@example.com",
    email_address
);
contact_field!(
    FIRST_NAME,
    "first_name",
    Rule::Length(0..=MAX_NAME),
    "",
    "Asha",
    person_name
);
contact_field!(
    LAST_NAME,
    "last_name",
    Rule::Length(0..=MAX_NAME),
    "",
    "Rao",
    person_name
);

pub(crate) static OBJECT_REFERENCE_ID: TextField<ObjectReferenceId> = TextField {
    field: Field {
        name: "object_reference_id",
        rule: Rule::Pattern("^[!-~]{1,128}$"),
        description: "Your own name for the customer; unique among your customers.",
        example: "customer_1122",
    },
    parse: |text| match CustomerRef::parse(text) {
        // A later call would read it as an id and never find this customer.
        Some(CustomerRef::Id(_)) => Err(Fault("must not have the form of a Khata customer id")),
        Some(CustomerRef::Reference(_)) | None => {
            ObjectReferenceId::parse(text).ok_or(Fault("must be 1 to 128 visible ASCII characters"))
        }
    },
};

fn contact() -> Vec<Member> {
    vec![
        optional(&MOBILE_NUMBER),
        optional(&MOBILE_COUNTRY_CODE),
        optional(&EMAIL_ADDRESS),
        optional(&FIRST_NAME),
        optional(&LAST_NAME),
    ]
}

const CONTACT: &str = "Contact data of a customer.";

named_schema!(Contact, object(Encoding::Json, CONTACT, None, &contact()));
named_schema!(
    CreateCustomer,
    all_of(
        "A customer.",
        [
            object(Encoding::Json, CONTACT, None, &contact()),
            object(
                Encoding::Json,
                "Your reference.",
                None,
                &[required(&OBJECT_REFERENCE_ID)]
            ),
        ]
    )
);

fn digits(text: &str, most: usize, reason: &'static str) -> Result<String, Fault> {
    let valid = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| text.to_owned()).ok_or(Fault(reason))
}

/// Accepts text around one `@`, or an empty text. Only sending a mail can prove more.
fn email_address(text: &str) -> Result<String, Fault> {
    let parts = text.split_once('@');
    let is_address = parts
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    let valid = (is_address || text.is_empty())
        && text.len() <= MAX_EMAIL
        && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    valid
        .then(|| text.to_owned())
        .ok_or(Fault("must be an e-mail address of at most 128 characters"))
}

fn person_name(text: &str) -> Result<String, Fault> {
    let name = text.trim();
    let valid = name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    valid.then(|| name.to_owned()).ok_or(Fault(
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
