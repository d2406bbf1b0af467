//! Fuzz targets. Each function takes any bytes and panics if the code breaks one of its own guarantees.
//!
//! `make fuzz` lets libFuzzer search for such bytes. `tests/seeds.rs` runs the seeds; every input that libFuzzer found is one.

mod gateway;

pub use gateway::gateway;

use std::fmt::Debug;

use anyhow::Context;
use khata_domain::account::ValueError;
use khata_domain::ids::{self, ObjectReferenceId, ValidationId};
use khata_domain::text::trim;
use khata_domain::{
    AccountId, AccountNumber, BankAccount, BankCode, BeneficiaryName, CustomerId, CustomerRef,
    Details, Ifsc, MerchantId, Vpa,
};

/// Runs the files named on the command line, without libFuzzer: reproduces an input that libFuzzer found.
pub fn run_files(target: fn(&[u8])) -> anyhow::Result<()> {
    for file in std::env::args_os().skip(1) {
        let data =
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        target(&data);
    }
    Ok(())
}

/// Reads a body of *create accounts*. The first line is the content type; an empty line means none. Without a line end the
/// whole input is a form.
pub fn body(data: &[u8]) {
    let (content_type, body) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (std::str::from_utf8(&data[..end]).ok(), &data[end + 1..]),
        None => (Some("application/x-www-form-urlencoded"), data),
    };
    khata_api::fuzz_create_body(content_type.filter(|line| !line.is_empty()), body);
}

/// Parses every value of an account from the same text. A parsed value, printed and parsed again, must be equal.
pub fn account(data: &[u8]) {
    check_plaintext(Details::from_plaintext(data));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let ifsc = round_trip(text, Ifsc::parse, |ifsc| ifsc.as_str().to_owned());
    let number = round_trip(text, AccountNumber::parse, |number| {
        number.expose().to_owned()
    });
    let name = round_trip(text, BeneficiaryName::parse, |name| {
        name.expose().to_owned()
    });
    let vpa = round_trip(text, Vpa::parse, |vpa| vpa.expose().to_owned());
    round_trip(text, BankCode::parse, |code| code.as_str().to_owned());
    if let Some(number) = &number {
        let (masked, whole) = (number.masked(), number.expose());
        let visible = masked.strip_prefix("XXXXXXX").unwrap_or(whole);
        assert!(
            whole.ends_with(visible) && visible.len() <= 4 && visible.len() * 2 < whole.len(),
            "the mask shows more than the last four characters, or half of a short number"
        );
    }
    if let Some(vpa) = &vpa {
        assert_eq!(trim(text).to_ascii_lowercase(), vpa.expose());
        assert!(
            !format!("{vpa:?}").contains(vpa.expose()),
            "Debug shows a UPI address"
        );
    }
    // Values that the text does not parse as are replaced with valid ones, so that the others are checked too.
    check_plaintext(Some(Details::Bank(BankAccount {
        ifsc: ifsc.unwrap_or_else(|| known("AABF0008032", Ifsc::parse)),
        account_number: number.unwrap_or_else(|| known("026291800001191", AccountNumber::parse)),
        beneficiary_name: name,
    })));
    check_plaintext(vpa.map(Details::Upi));
    identifiers(text);
}

/// Parses, prints and parses again. Both values must be equal.
fn round_trip<T: PartialEq + Debug>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, ValueError>,
    print: impl Fn(&T) -> String,
) -> Option<T> {
    let value = parse(text).ok()?;
    let printed = print(&value);
    assert_eq!(parse(&printed).as_ref(), Ok(&value), "{printed:?}");
    Some(value)
}

#[expect(clippy::panic, reason = "the texts are constants of this file")]
fn known<T>(text: &str, parse: impl Fn(&str) -> Result<T, ValueError>) -> T {
    parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

/// Checks that details read back from their plaintext are equal and have the same identity.
fn check_plaintext(details: Option<Details>) {
    if let Some(details) = details {
        let opened = Details::from_plaintext(&details.to_plaintext());
        assert_eq!(
            opened.as_ref().map(Details::identity),
            Some(details.identity())
        );
        assert_eq!(opened, Some(details));
    }
}

/// Checks that an id has one text only, and that a customer reference never has the form of an id.
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
