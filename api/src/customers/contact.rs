//! A customer's contact data, encrypted as one value.

use khata_crypto::{Keyring, Purpose};
use khata_domain::MerchantId;
use khata_store::customers::Customer;
use serde::{Deserialize, Serialize};

use crate::decode::Fields;
use crate::error::ApiError;
use crate::schema::{EMAIL_ADDRESS, FIRST_NAME, LAST_NAME, MOBILE_COUNTRY_CODE, MOBILE_NUMBER};

/// Country code if the merchant sends none, as at Juspay.
pub(super) const DEFAULT_COUNTRY_CODE: &str = "91";

/// `None`: the merchant never sent the field.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Contact {
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(super) mobile_number: Option<String>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub(super) mobile_country_code: Option<String>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(super) email_address: Option<String>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(super) first_name: Option<String>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub(super) last_name: Option<String>,
}

impl Contact {
    /// Reads the contact fields of a call.
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            mobile_number: fields.optional(&MOBILE_NUMBER),
            mobile_country_code: fields.optional(&MOBILE_COUNTRY_CODE),
            email_address: fields.optional(&EMAIL_ADDRESS),
            first_name: fields.optional(&FIRST_NAME),
            last_name: fields.optional(&LAST_NAME),
        }
    }

    /// Takes over every field that the changes have.
    pub(super) fn merge(&mut self, changes: Self) {
        let merge = |current: &mut Option<_>, change: Option<_>| {
            if change.is_some() {
                *current = change;
            }
        };
        merge(&mut self.mobile_number, changes.mobile_number);
        merge(&mut self.mobile_country_code, changes.mobile_country_code);
        merge(&mut self.email_address, changes.email_address);
        merge(&mut self.first_name, changes.first_name);
        merge(&mut self.last_name, changes.last_name);
    }

    /// Decrypts the stored contact. A customer that *create accounts* registered has none.
    pub(super) fn decrypt(
        keyring: &Keyring,
        merchant: MerchantId,
        row: &Customer,
    ) -> Result<Self, ApiError> {
        let Some(sealed) = &row.sealed_contact else {
            return Ok(Self::default());
        };
        let contact = keyring
            .decrypt(merchant, row.id.0, Purpose::Contact, sealed)
            .ok()
            .and_then(|plain| serde_json::from_slice(&plain).ok());
        contact.ok_or_else(|| {
            tracing::error!(customer_id = %row.id, "cannot decrypt a customer's contact; check that the keyring holds its key");
            ApiError::Internal
        })
    }

    /// The plaintext to encrypt.
    pub(super) fn to_plaintext(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_keeps_fields_that_it_does_not_send() {
        let text = |text: &str| Some(text.to_owned());
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
