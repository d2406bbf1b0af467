//! What is fuzzed: each function takes any bytes and panics when the code breaks a promise of its own.
//!
//! `make fuzz` lets libFuzzer look for such bytes; `tests/seeds.rs` runs the seeds, to which every find is added.

use std::fmt::Debug;

use anyhow::Context;
use khata_domain::account::ValueError;
use khata_domain::ids::{self, ObjectReferenceId, ValidationId};
use khata_domain::{
    AccountId, AccountNumber, BankAccount, BankCode, BeneficiaryName, CustomerId, CustomerRef,
    Details, Ifsc, MerchantId, Vpa,
};

/// Runs the files named on the command line: a find once more, without libFuzzer.
pub fn run_files(hold: fn(&[u8])) -> anyhow::Result<()> {
    for file in std::env::args_os().skip(1) {
        let data =
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hold(&data);
    }
    Ok(())
}

/// A body of *create accounts*. The first line is its content type, and an empty one means none; without a line end
/// the whole is a form.
pub fn body(data: &[u8]) {
    let (content_type, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (std::str::from_utf8(&data[..end]).ok(), &data[end + 1..]),
        None => (Some("application/x-www-form-urlencoded"), data),
    };
    khata_api::fuzz_create_body(content_type.filter(|line| !line.is_empty()), body);
}

/// Each value an account is made of, read from the same text: what was read prints to what reads to it again.
pub fn account(data: &[u8]) {
    sealed(Details::from_plaintext(data));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let ifsc = again(text, Ifsc::parse, |ifsc| ifsc.as_str().to_owned());
    let number = again(text, AccountNumber::parse, |number| {
        number.expose().to_owned()
    });
    let name = again(text, BeneficiaryName::parse, |name| {
        name.expose().to_owned()
    });
    let vpa = again(text, Vpa::parse, |vpa| vpa.expose().to_owned());
    again(text, BankCode::parse, |code| code.as_str().to_owned());
    if let Some(number) = &number {
        let masked = number.masked();
        let shown = masked.strip_prefix("XXXXXXX").unwrap_or(text);
        assert!(
            text.ends_with(shown) && shown.len() <= 4 && shown.len() * 2 < text.len(),
            "more than the last four characters show, or half of a short number"
        );
    }
    if let Some(vpa) = &vpa {
        assert_eq!(text.to_ascii_lowercase(), vpa.expose());
        assert!(
            !format!("{vpa:?}").contains(vpa.expose()),
            "a UPI address shows"
        );
    }
    // What this text is none of is an ordinary one, so that the others are sealed too.
    sealed(Some(Details::Bank(BankAccount {
        ifsc: ifsc.unwrap_or_else(|| known("AABF0008032", Ifsc::parse)),
        account_number: number.unwrap_or_else(|| known("026291800001191", AccountNumber::parse)),
        beneficiary_name: name,
    })));
    sealed(vpa.map(Details::Upi));
    identifiers(text);
}

/// Parses, prints and parses; both times it is the same value, or it was none at first.
fn again<T: PartialEq + Debug>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, ValueError>,
    print: impl Fn(&T) -> String,
) -> Option<T> {
    let value = parse(text).ok()?;
    let printed = print(&value);
    assert_eq!(parse(&printed).as_ref(), Ok(&value), "{printed:?}");
    Some(value)
}

#[expect(clippy::panic, reason = "a constant of this file")]
fn known<T>(text: &str, parse: impl Fn(&str) -> Result<T, ValueError>) -> T {
    parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

/// What is sealed in the database is read back as it was, and stays the same account.
fn sealed(details: Option<Details>) {
    if let Some(details) = details {
        let opened = Details::from_plaintext(&details.to_plaintext());
        assert_eq!(
            opened.as_ref().map(Details::identity),
            Some(details.identity())
        );
        assert_eq!(opened, Some(details));
    }
}

/// A text is an id in one form only; a customer is named by an id or by a reference that is no id.
fn identifiers(text: &str) {
    for printed in [
        AccountId::parse(text).map(|id| id.to_string()),
        CustomerId::parse(text).map(|id| id.to_string()),
        MerchantId::parse(text).map(|id| id.to_string()),
        ValidationId::parse(text).map(|id| id.to_string()),
        ids::decode(text).map(ids::encode),
        ObjectReferenceId::parse(text).map(|reference| reference.expose().to_owned()),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(printed, text);
    }
    match CustomerRef::parse(text) {
        Some(CustomerRef::Id(id)) => assert_eq!(id.to_string(), text),
        Some(CustomerRef::Reference(reference)) => {
            assert_eq!(reference.expose(), text);
            assert_eq!(CustomerId::parse(text), None);
        }
        None => assert_eq!(ObjectReferenceId::parse(text), None),
    }
}
