//! A customer's contact data: kept sealed, as one value.

use khata_crypto::secret_buf as wiped;
use khata_crypto::{Keyring, Purpose};
use khata_domain::MerchantId;
use khata_domain::account::Fault;
use khata_store::customers::Customer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::decode::Fields;
use crate::error::ApiError;

/// What Juspay takes for the country where none is given.
pub(super) const INDIA: &str = "91";
const MAX_EMAIL: usize = 128;
const MAX_NAME: usize = 64;

/// `None` where the merchant has given nothing.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Contact {
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(super) mobile_number: Option<Zeroizing<String>>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(super) mobile_country_code: Option<Zeroizing<String>>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(super) email_address: Option<Zeroizing<String>>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(super) first_name: Option<Zeroizing<String>>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(super) last_name: Option<Zeroizing<String>>,
}

impl Contact {
    /// Reads what a call gives; faults are noted in `fields`.
    pub(super) fn change(&mut self, fields: &mut Fields<'_>) {
        *self = Self {
            mobile_number: fields.optional("mobile_number", mobile_number),
            mobile_country_code: fields.optional("mobile_country_code", country_code),
            email_address: fields.optional("email_address", email_address),
            first_name: fields.optional("first_name", name),
            last_name: fields.optional("last_name", name),
        };
    }

    /// What the other one gives takes the place of what stands here.
    pub(super) fn merge(&mut self, other: Self) {
        let over = |mine: &mut Option<_>, given: Option<_>| {
            if given.is_some() {
                *mine = given;
            }
        };
        over(&mut self.mobile_number, other.mobile_number);
        over(&mut self.mobile_country_code, other.mobile_country_code);
        over(&mut self.email_address, other.email_address);
        over(&mut self.first_name, other.first_name);
        over(&mut self.last_name, other.last_name);
    }

    /// Opens what is stored; nothing is, for a customer that was registered on the fly.
    pub(super) fn open(
        keyring: &Keyring,
        merchant: MerchantId,
        row: &Customer,
    ) -> Result<Self, ApiError> {
        let Some(sealed) = &row.sealed_contact else {
            return Ok(Self::default());
        };
        let opened = keyring
            .decrypt(merchant, row.id.0, Purpose::Contact, sealed)
            .ok()
            .and_then(|plain| serde_json::from_slice(&plain).ok());
        opened.ok_or_else(|| {
            tracing::error!(customer_id = %row.id, "sealed contact does not open: is a key missing in the keyring?");
            ApiError::Internal
        })
    }

    /// The plaintext to seal.
    pub(super) fn to_plaintext(&self) -> Zeroizing<Vec<u8>> {
        wiped::json(self)
    }
}

type Text = Result<Zeroizing<String>, Fault>;

fn digits(text: &str, most: usize, reason: &'static str) -> Text {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if fits {
        Ok(Zeroizing::new(text.to_owned()))
    } else {
        Err(Fault(reason))
    }
}

fn mobile_number(text: &str) -> Text {
    digits(text, 16, "must be 1 to 16 digits, without the country code")
}

fn country_code(text: &str) -> Text {
    digits(text, 4, "must be 1 to 4 digits, without +")
}

/// A text around one `@`, or none at all: whether it can be written to, only writing to it tells.
fn email_address(text: &str) -> Text {
    let parts = text.split_once('@');
    let is_address = parts
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    let fits = (is_address || text.is_empty())
        && text.len() <= MAX_EMAIL
        && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    if fits {
        Ok(Zeroizing::new(text.to_owned()))
    } else {
        Err(Fault("must be an e-mail address of at most 128 characters"))
    }
}

fn name(text: &str) -> Text {
    let name = text.trim();
    let fits = name.chars().count() <= MAX_NAME && !name.chars().any(char::is_control);
    if fits {
        Ok(Zeroizing::new(name.to_owned()))
    } else {
        Err(Fault(
            "must be at most 64 characters without control characters",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_data_is_held_to_its_form() {
        for good in ["9876543210", "1", "0123456789012345"] {
            assert!(mobile_number(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "+919876543210",
            "98765 43210",
            "९८७६५४३२१०",
            "01234567890123456",
        ] {
            assert!(mobile_number(bad).is_err(), "{bad}");
        }
        assert!(country_code("91").is_ok() && country_code("+91").is_err());
        for good in ["", "asha@example.com", "आशा@example.com", "a.b+c@x"] {
            assert!(email_address(good).is_ok(), "{good}");
        }
        for bad in [
            "asha",
            "@x",
            "a@",
            "a@b@c",
            "a b@c",
            &format!("{}@x", "a".repeat(127)),
        ] {
            assert!(email_address(bad).is_err(), "{bad}");
        }
        for good in ["", "Asha", " आशा ", "O'Neil-Rao (Jr.)"] {
            assert!(name(good).is_ok(), "{good}");
        }
        assert!(name("a\nb").is_err() && name(&"x".repeat(65)).is_err());
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let text = |text: &str| Some(Zeroizing::new(text.to_owned()));
        let mut contact = Contact {
            first_name: text("Asha"),
            last_name: text("Rao"),
            ..Contact::default()
        };
        contact.merge(Contact {
            last_name: text(""),
            mobile_number: text("9876543210"),
            ..Contact::default()
        });
        let read: Contact = serde_json::from_slice(&contact.to_plaintext()).unwrap();
        assert_eq!(read.first_name, text("Asha"));
        assert_eq!(read.last_name, text(""));
        assert_eq!(read.mobile_number, text("9876543210"));
        assert_eq!(read.email_address, None);
    }
}
