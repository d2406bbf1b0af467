//! What Cashfree lets in: each field's length and alphabet (Cashfree, request parameters of bank
//! account verification v2, UPI verification v2 and UPI penny drop). A field outside is refused with
//! 400 and a code made of the field's name.

use chrono::DateTime;

use crate::cashfree::refusal::Refusal;
use crate::cashfree::wire::UserConsent;

/// The version the UPI penny drop is published under (header `x-api-version`).
const PENNY_DROP_VERSION: &str = "2024-12-01";

/// `bank_account`: required, 6–40 letters and digits.
pub(super) fn bank_account(sent: Option<&str>) -> Result<&str, Refusal> {
    let value = present("bank_account", sent)?;
    within("bank_account", value, 6, 40)?;
    spelt("bank_account", value, "be alphanumeric", |byte| {
        byte.is_ascii_alphanumeric()
    })?;
    Ok(value)
}

/// `ifsc`: required, four capitals, a zero, six capitals or digits.
pub(super) fn ifsc(sent: Option<&str>) -> Result<&str, Refusal> {
    let value = present("ifsc", sent)?;
    let well_formed = value.len() == 11
        && value.bytes().enumerate().all(|(place, byte)| match place {
            0..=3 => byte.is_ascii_uppercase(),
            4 => byte == b'0',
            _ => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        });
    if !well_formed {
        return Err(Refusal::input(
            "ifsc_value_invalid",
            "ifsc should be of 11 characters and 5th character should be 0.",
        ));
    }
    Ok(value)
}

/// `name`: optional, at most 100 characters; blank counts as absent.
pub(super) fn name(sent: Option<&str>) -> Result<Option<&str>, Refusal> {
    let Some(value) = sent.map(str::trim).filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    within("name", value, 1, 100)?;
    Ok(Some(value))
}

/// `phone`: optional, 8–13 digits.
pub(super) fn phone(sent: Option<&str>) -> Result<(), Refusal> {
    let Some(value) = sent.filter(|phone| !phone.is_empty()) else {
        return Ok(());
    };
    within("phone", value, 8, 13)?;
    spelt("phone", value, "be numeric", |byte| byte.is_ascii_digit())
}

/// `user_id`: optional, at most 40 letters, digits and underscores.
pub(super) fn user_id(sent: Option<&str>) -> Result<Option<&str>, Refusal> {
    let Some(value) = sent.filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    within("user_id", value, 1, 40)?;
    spelt(
        "user_id",
        value,
        "contain only alphanumeric and underscore characters",
        |byte| byte.is_ascii_alphanumeric() || byte == b'_',
    )?;
    Ok(Some(value))
}

/// `verification_id`: required, at most 50 letters, digits, dots, hyphens and underscores.
pub(super) fn verification_id(sent: Option<&str>) -> Result<&str, Refusal> {
    let value = present("verification_id", sent)?;
    within("verification_id", value, 1, 50)?;
    spelt(
        "verification_id",
        value,
        "include only alphanum, dot, hyphen and underscores",
        |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'),
    )?;
    Ok(value)
}

/// `vpa`: required, a user part and a handle around one `@`.
pub(super) fn vpa(sent: Option<&str>) -> Result<&str, Refusal> {
    let value = present("vpa", sent)?;
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    match value.split_once('@') {
        Some((user, handle)) if word(user) && word(handle) => Ok(value),
        _ => Err(Refusal::input("vpa_value_invalid", "vpa should be valid.")),
    }
}

/// `user_consent`: required for a UPI penny drop; obtained, explicit, with a time (RFC 3339) and a
/// purpose.
pub(super) fn user_consent(sent: Option<&UserConsent>) -> Result<(), Refusal> {
    let Some(consent) = sent else {
        return Err(missing("user_consent"));
    };
    if consent.obtained != Some(true) {
        return Err(invalid(
            "user_consent.obtained",
            "user_consent.obtained should be true.",
        ));
    }
    if consent.kind.as_deref() != Some("EXPLICIT") {
        return Err(invalid(
            "user_consent.type",
            "user_consent.type should be EXPLICIT.",
        ));
    }
    let timestamp = present("user_consent.timestamp", consent.timestamp.as_deref())?;
    if DateTime::parse_from_rfc3339(timestamp).is_err() {
        return Err(invalid(
            "user_consent.timestamp",
            "user_consent.timestamp should be a valid timestamp.",
        ));
    }
    present("user_consent.purpose", consent.purpose.as_deref()).map(|_| ())
}

/// The header `x-api-version`: required for a UPI penny drop, and only one version is known.
pub(super) fn api_version(sent: Option<&str>) -> Result<(), Refusal> {
    match sent {
        Some(PENNY_DROP_VERSION) => Ok(()),
        Some(_) => Err(invalid(
            "x-api-version",
            "x-api-version should be 2024-12-01.",
        )),
        None => Err(missing("x-api-version")),
    }
}

/// `reference_id` of a status look-up: a number.
pub(super) fn reference_id(sent: &str) -> Result<u64, Refusal> {
    sent.parse()
        .map_err(|_| invalid("reference_id", "reference_id should be a number."))
}

fn present<'a>(field: &'static str, sent: Option<&'a str>) -> Result<&'a str, Refusal> {
    sent.filter(|value| !value.trim().is_empty())
        .ok_or_else(|| missing(field))
}

fn within(field: &'static str, value: &str, least: usize, most: usize) -> Result<(), Refusal> {
    let length = value.chars().count();
    if length > most {
        return Err(Refusal::input(
            format!("{field}_length_exceeded"),
            format!("{field} can include a maximum of {most} characters."),
        ));
    }
    if length < least {
        return Err(Refusal::input(
            format!("{field}_length_short"),
            format!("{field} should include a minimum of {least} characters."),
        ));
    }
    Ok(())
}

fn spelt(
    field: &'static str,
    value: &str,
    rule: &str,
    allowed: impl Fn(u8) -> bool,
) -> Result<(), Refusal> {
    if value.bytes().all(allowed) {
        Ok(())
    } else {
        Err(Refusal::input(
            format!("{field}_value_invalid"),
            format!("{field} should {rule}."),
        ))
    }
}

fn missing(field: &'static str) -> Refusal {
    Refusal::input(
        format!("{field}_missing"),
        format!("{field} is missing in the request."),
    )
}

fn invalid(field: &'static str, message: &'static str) -> Refusal {
    Refusal::input(format!("{field}_value_invalid"), message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        result.unwrap_err().code().to_owned()
    }

    #[test]
    fn bank_account_is_6_to_40_letters_and_digits() {
        for good in ["123456", "AbC123", &"9".repeat(40)] {
            assert_eq!(bank_account(Some(good)).unwrap(), good);
        }
        assert_eq!(code(bank_account(None)), "bank_account_missing");
        assert_eq!(code(bank_account(Some(""))), "bank_account_missing");
        assert_eq!(
            code(bank_account(Some("12345"))),
            "bank_account_length_short"
        );
        assert_eq!(
            code(bank_account(Some(&"9".repeat(41)))),
            "bank_account_length_exceeded"
        );
        for bad in ["1234 56", "12345-6", "१२३४५६"] {
            assert_eq!(code(bank_account(Some(bad))), "bank_account_value_invalid");
        }
    }

    #[test]
    fn ifsc_is_four_letters_zero_six() {
        for good in ["YESB0000262", "CNRR0002640", "ABCD0A1B2C3"] {
            assert_eq!(ifsc(Some(good)).unwrap(), good);
        }
        assert_eq!(code(ifsc(None)), "ifsc_missing");
        for bad in [
            "YESB000026",
            "YESB00002622",
            "YESB1000262",
            "yesb0000262",
            "YES10000262",
            "YESB0000 62",
        ] {
            assert_eq!(code(ifsc(Some(bad))), "ifsc_value_invalid", "{bad}");
        }
    }

    #[test]
    fn name_is_at_most_100_characters_and_may_be_blank() {
        assert_eq!(name(None).unwrap(), None);
        assert_eq!(name(Some("  ")).unwrap(), None);
        assert_eq!(name(Some(" Asha Rao ")).unwrap(), Some("Asha Rao"));
        assert!(name(Some(&"श".repeat(100))).is_ok());
        assert_eq!(code(name(Some(&"a".repeat(101)))), "name_length_exceeded");
    }

    #[test]
    fn phone_is_8_to_13_digits() {
        for good in [None, Some(""), Some("99999999"), Some("9199999999999")] {
            assert!(phone(good).is_ok());
        }
        assert_eq!(code(phone(Some("9999999"))), "phone_length_short");
        assert_eq!(code(phone(Some("99999999999999"))), "phone_length_exceeded");
        assert_eq!(code(phone(Some("+919999999"))), "phone_value_invalid");
    }

    #[test]
    fn ids_keep_to_their_alphabets() {
        assert_eq!(user_id(None).unwrap(), None);
        assert_eq!(user_id(Some("att_1")).unwrap(), Some("att_1"));
        assert_eq!(code(user_id(Some("att-1"))), "user_id_value_invalid");
        assert_eq!(
            code(user_id(Some(&"a".repeat(41)))),
            "user_id_length_exceeded"
        );
        assert_eq!(verification_id(Some("a.b-c_1")).unwrap(), "a.b-c_1");
        assert_eq!(code(verification_id(None)), "verification_id_missing");
        assert_eq!(
            code(verification_id(Some("a/b"))),
            "verification_id_value_invalid"
        );
        assert_eq!(
            code(verification_id(Some(&"a".repeat(51)))),
            "verification_id_length_exceeded"
        );
        assert_eq!(reference_id("12").unwrap(), 12);
        assert_eq!(code(reference_id("12a")), "reference_id_value_invalid");
    }

    #[test]
    fn vpa_has_one_at_between_two_words() {
        assert_eq!(
            vpa(Some("a.b-c_d@okhdfcbank")).unwrap(),
            "a.b-c_d@okhdfcbank"
        );
        assert_eq!(code(vpa(None)), "vpa_missing");
        for bad in ["asha", "@upi", "asha@", "a@b@c", "a b@upi"] {
            assert_eq!(code(vpa(Some(bad))), "vpa_value_invalid", "{bad}");
        }
    }

    #[test]
    fn consent_is_obtained_explicit_dated_and_for_a_purpose() {
        let consent = |json: &str| {
            let sent: UserConsent = serde_json::from_str(json).unwrap();
            user_consent(Some(&sent))
        };
        assert!(
            consent(
                r#"{"obtained":true,"type":"EXPLICIT","timestamp":"2025-10-27T09:24:36Z","purpose":"payout"}"#
            )
            .is_ok()
        );
        assert_eq!(code(user_consent(None)), "user_consent_missing");
        for (json, expected) in [
            (
                r#"{"obtained":false,"type":"EXPLICIT","timestamp":"2025-10-27T09:24:36Z","purpose":"p"}"#,
                "user_consent.obtained_value_invalid",
            ),
            (
                r#"{"obtained":true,"type":"IMPLICIT","timestamp":"2025-10-27T09:24:36Z","purpose":"p"}"#,
                "user_consent.type_value_invalid",
            ),
            (
                r#"{"obtained":true,"type":"EXPLICIT","purpose":"p"}"#,
                "user_consent.timestamp_missing",
            ),
            (
                r#"{"obtained":true,"type":"EXPLICIT","timestamp":"today","purpose":"p"}"#,
                "user_consent.timestamp_value_invalid",
            ),
            (
                r#"{"obtained":true,"type":"EXPLICIT","timestamp":"2025-10-27T09:24:36Z","purpose":" "}"#,
                "user_consent.purpose_missing",
            ),
        ] {
            assert_eq!(code(consent(json)), expected);
        }
    }

    #[test]
    fn only_the_published_version_is_known() {
        assert!(api_version(Some("2024-12-01")).is_ok());
        assert_eq!(code(api_version(None)), "x-api-version_missing");
        assert_eq!(
            code(api_version(Some("2023-12-18"))),
            "x-api-version_value_invalid"
        );
    }
}
