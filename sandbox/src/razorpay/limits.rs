//! What Razorpay lets in: each field's length and alphabet (RazorpayX, composite account validation,
//! request parameters; payout idempotency). A field outside is refused with 400 and its name.

use serde_json::{Map, Value};

use crate::razorpay::SOURCE_ACCOUNT_NUMBER;
use crate::razorpay::refusal::Refusal;
use crate::razorpay::wire::{BankAccountSent, ContactSent, ValidationRequest};

/// How an account is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    PennyDrop,
    Penniless,
    /// Penniless if that tells, else a penny drop.
    Optimized,
}

/// `validation_type`: a penny drop unless it says otherwise; a VPA knows nothing else.
pub(super) fn method(sent: Option<&str>, is_vpa: bool) -> Result<Method, Refusal> {
    match sent {
        None | Some("pennydrop") => Ok(Method::PennyDrop),
        Some("penniless") if !is_vpa => Ok(Method::Penniless),
        Some("optimized") if !is_vpa => Ok(Method::Optimized),
        Some(_) => Err(Refusal::input(
            "validation_type",
            "The selected validation type is invalid.",
        )),
    }
}

/// What both kinds of validation send beside the account: whence the rupee, `reference_id` of at most
/// 40 characters, at most 15 `notes` of 256.
pub(super) fn common(request: &ValidationRequest) -> Result<(), Refusal> {
    let source = present(
        "source_account_number",
        request.source_account_number.as_deref(),
    )?;
    if source != SOURCE_ACCOUNT_NUMBER {
        return Err(Refusal::input(
            "source_account_number",
            "The RazorpayX Account number is invalid.",
        ));
    }
    if let Some(reference_id) = &request.reference_id {
        within("reference_id", reference_id, 1, 40)?;
    }
    notes(request.notes.as_ref())
}

/// `contact`: a name of 3–50 characters.
pub(super) fn contact(sent: Option<&ContactSent>) -> Result<&ContactSent, Refusal> {
    let contact = sent.ok_or_else(|| missing("contact"))?;
    within("name", present("name", contact.name.as_deref())?, 3, 50)?;
    notes(contact.notes.as_ref())?;
    Ok(contact)
}

/// `bank_account`: a number of 5–35 letters and digits, an IFSC, and a name of 3–120 characters if any.
pub(super) fn bank_account(
    sent: Option<&BankAccountSent>,
) -> Result<(&str, &str, Option<&str>), Refusal> {
    let account = sent.ok_or_else(|| missing("bank_account"))?;
    let number = present("account_number", account.account_number.as_deref())?;
    within("account_number", number, 5, 35)?;
    if !number.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Refusal::input(
            "account_number",
            "The account number format is invalid.",
        ));
    }
    let ifsc = present("ifsc", account.ifsc.as_deref())?;
    let well_formed = ifsc.len() == 11
        && ifsc.bytes().enumerate().all(|(place, byte)| match place {
            0..=3 => byte.is_ascii_uppercase(),
            4 => byte == b'0',
            _ => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
        });
    if !well_formed {
        return Err(Refusal::input("ifsc", "The ifsc format is invalid."));
    }
    let name = account.name.as_deref();
    if let Some(name) = name {
        within("name", name, 3, 120)?;
    }
    Ok((number, ifsc, name))
}

/// A VPA: 3–100 characters, a user part and a handle around one `@`.
pub(super) fn vpa<'a>(field: &'static str, sent: Option<&'a str>) -> Result<&'a str, Refusal> {
    let value = present(field, sent)?;
    within(field, value, 3, 100)?;
    let word = |part: &str, more: &[u8]| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    match value.split_once('@') {
        Some((user, handle)) if word(user, b".-_") && word(handle, b".") => Ok(value),
        _ => Err(Refusal::input(
            field,
            "Invalid VPA. Please enter a valid Virtual Payment Address",
        )),
    }
}

/// The header `X-Payout-Idempotency`: 4–36 letters, digits, hyphens, underscores and spaces.
pub(super) fn idempotency_key(sent: &str) -> Result<&str, Refusal> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b' ');
    if (4..=36).contains(&sent.len()) && sent.bytes().all(allowed) {
        Ok(sent)
    } else {
        Err(Refusal::input(
            "X-Payout-Idempotency",
            "Idempotency key must be of 4 to 36 letters, digits, hyphens, underscores and spaces.",
        ))
    }
}

fn notes(sent: Option<&Map<String, Value>>) -> Result<(), Refusal> {
    let Some(notes) = sent else {
        return Ok(());
    };
    if notes.len() > 15 {
        return Err(Refusal::input(
            "notes",
            "Number of fields in notes should be less than or equal to 15",
        ));
    }
    let short = |note: &Value| match note {
        Value::String(text) => text.chars().count() <= 256,
        Value::Number(_) | Value::Bool(_) | Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    };
    if notes.values().all(short) {
        Ok(())
    } else {
        Err(Refusal::input(
            "notes",
            "Each of the notes should be text of at most 256 characters.",
        ))
    }
}

fn present<'a>(field: &'static str, sent: Option<&'a str>) -> Result<&'a str, Refusal> {
    sent.filter(|value| !value.trim().is_empty())
        .ok_or_else(|| missing(field))
}

fn within(field: &'static str, value: &str, least: usize, most: usize) -> Result<(), Refusal> {
    if (least..=most).contains(&value.chars().count()) {
        Ok(())
    } else {
        Err(Refusal::input(
            field,
            format!("The {field} must be between {least} and {most} characters."),
        ))
    }
}

fn missing(field: &'static str) -> Refusal {
    Refusal::input(field, format!("The {field} field is required."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn field<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        result.unwrap_err().field().unwrap().to_owned()
    }

    fn account(number: &str, ifsc: &str, name: Option<&str>) -> BankAccountSent {
        BankAccountSent {
            name: name.map(str::to_owned),
            ifsc: Some(ifsc.to_owned()),
            account_number: Some(number.to_owned()),
        }
    }

    #[test]
    fn accounts_keep_to_their_limits() {
        for number in ["12345", "AbC12", &"9".repeat(35)] {
            let sent = account(number, "HDFC0000001", Some("Asha Rao"));
            assert_eq!(bank_account(Some(&sent)).unwrap().0, number);
        }
        for number in ["1234", "1234-5", "", &"9".repeat(36)] {
            let sent = account(number, "HDFC0000001", None);
            assert_eq!(field(bank_account(Some(&sent))), "account_number");
        }
        for ifsc in ["HDFC1000001", "hdfc0000001", "HDFC000001"] {
            let sent = account("12345", ifsc, None);
            assert_eq!(field(bank_account(Some(&sent))), "ifsc");
        }
        for name in ["ab", &"a".repeat(121)] {
            let sent = account("12345", "HDFC0000001", Some(name));
            assert_eq!(field(bank_account(Some(&sent))), "name");
        }
        assert_eq!(field(bank_account(None)), "bank_account");
    }

    #[test]
    fn vpas_keep_to_their_limits() {
        for good in ["a@b", "asha.rao-1_2@okhdfcbank"] {
            assert_eq!(vpa("address", Some(good)).unwrap(), good);
        }
        let long = format!("{}@upi", "a".repeat(97));
        for bad in [
            None,
            Some("a@"),
            Some("asha"),
            Some("a@b@c"),
            Some("a b@upi"),
            Some(&*long),
        ] {
            assert_eq!(field(vpa("address", bad)), "address", "{bad:?}");
        }
    }

    #[test]
    fn a_vpa_is_validated_by_penny_drop_alone() {
        assert_eq!(method(None, true).unwrap(), Method::PennyDrop);
        assert_eq!(method(Some("pennydrop"), true).unwrap(), Method::PennyDrop);
        assert_eq!(field(method(Some("penniless"), true)), "validation_type");
        assert_eq!(method(Some("penniless"), false).unwrap(), Method::Penniless);
        assert_eq!(method(Some("optimized"), false).unwrap(), Method::Optimized);
        assert_eq!(field(method(Some("guess"), false)), "validation_type");
    }

    #[test]
    fn keys_are_4_to_36_of_their_alphabet() {
        for good in ["abcd", "a b_c-9", &"k".repeat(36)] {
            assert!(idempotency_key(good).is_ok());
        }
        for bad in ["abc", "", "ab/cd", "ключ", &"k".repeat(37)] {
            assert_eq!(field(idempotency_key(bad)), "X-Payout-Idempotency");
        }
    }
}
