//! Credentials of gateway accounts, bound to the addresses that they may be sent to: a change of an address in the database
//! makes the gateway account unusable and sends no secret elsewhere.
//!
//! The addresses are in the encrypted value, before the credentials, so that a key rotation need not know them:
//! format byte, length (4 bytes, big-endian), addresses, credentials.

use std::collections::BTreeMap;

use khata_crypto::{Keyring, Purpose};
use khata_domain::MerchantId;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{GatewayAccount, NewGatewayAccount};

/// The format byte. Credentials that are not bound begin with `{`, as they are a JSON object.
const BOUND: u8 = 1;

const UNDECRYPTABLE: &str = "encrypted with a key that is not in the keyring";
const ADDRESS_CHANGED: &str = "entered for another gateway, base_url or …_url setting than the database holds now: the \
    address was changed without `khata gateway set`: enter address and credentials again with `khata gateway set`";

impl NewGatewayAccount<'_> {
    /// Encrypts credentials for this gateway account, bound to its gateway and its addresses.
    pub fn seal(&self, keyring: &Keyring, merchant: MerchantId, credentials: &[u8]) -> Vec<u8> {
        let addresses = addresses(self.gateway_id, self.base_url, self.settings);
        let length = u32::try_from(addresses.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        let parts: [&[u8]; 4] = [&[BOUND], &length, addresses.as_bytes(), credentials];
        // The capacity is enough: a vector that grows leaves copies of the credentials in memory.
        let mut bound = Zeroizing::new(Vec::with_capacity(
            parts.iter().map(|part| part.len()).sum(),
        ));
        for part in parts {
            bound.extend_from_slice(part);
        }
        keyring.encrypt(merchant, self.id.0, Purpose::Credentials, &bound)
    }
}

impl GatewayAccount {
    /// Decrypts the credentials. `Err` says what is wrong with them.
    pub fn credentials(
        &self,
        keyring: &Keyring,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, &'static str> {
        let Some(sealed) = &self.sealed_credentials else {
            return Ok(None);
        };
        let bound = keyring
            .decrypt(self.merchant, self.id.0, Purpose::Credentials, sealed)
            .map_err(|_| UNDECRYPTABLE)?;
        let addresses = addresses(self.gateway_id, self.base_url.as_deref(), &self.settings);
        unbind(&bound, &addresses).map(Some).ok_or(ADDRESS_CHANGED)
    }
}

/// Returns the credentials if they are bound to these addresses. Credentials of a release that bound none are for the gateway's
/// public addresses only.
fn unbind(bound: &[u8], addresses: &str) -> Option<Zeroizing<Vec<u8>>> {
    let credentials = if bound.first() == Some(&BOUND) {
        let (length, rest) = bound[1..].split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (own, credentials) = rest.split_at_checked(length)?;
        (own == addresses.as_bytes()).then_some(credentials)
    } else {
        names_no_address(addresses).then_some(bound)
    };
    credentials.map(|credentials| Zeroizing::new(credentials.to_vec()))
}

/// Returns the gateway and all addresses of a gateway account as JSON, sorted by name: `base_url`, and the settings whose names
/// end in `_url`.
fn addresses(gateway_id: i16, base_url: Option<&str>, settings: &Value) -> String {
    let mut addresses = BTreeMap::from([("gateway_id", json!(gateway_id))]);
    let settings = settings.as_object().into_iter().flatten();
    let urls = settings.filter(|(name, _)| name.ends_with("_url"));
    addresses.extend(urls.map(|(name, value)| (name.as_str(), value.clone())));
    addresses.extend(base_url.map(|url| ("base_url", json!(url))));
    json!(addresses).to_string()
}

fn names_no_address(addresses: &str) -> bool {
    !addresses.contains("_url\":")
}

#[cfg(test)]
mod tests {
    use khata_crypto::KeyringFile;
    use khata_domain::GatewayAccountId;

    use super::*;

    const CREDENTIALS: &[u8] = br#"{"client_id":"a","client_secret":"b"}"#;

    fn stored(keyring: &Keyring, base_url: Option<&str>, settings: &Value) -> GatewayAccount {
        let (merchant, id) = (MerchantId::new(), GatewayAccountId::new());
        let new = NewGatewayAccount {
            id,
            gateway_id: 70,
            reference_id: "main",
            priority: 1,
            pinned_only: false,
            base_url,
            settings,
        };
        GatewayAccount {
            merchant,
            id,
            gateway_id: 70,
            reference_id: "main".into(),
            priority: 1,
            pinned_only: false,
            enabled: true,
            base_url: base_url.map(str::to_owned),
            sealed_credentials: Some(new.seal(keyring, merchant, CREDENTIALS)),
            settings: settings.clone(),
        }
    }

    #[test]
    fn credentials_are_decrypted_for_the_addresses_that_they_were_entered_with() {
        let keyring = Keyring::from(&KeyringFile::generate());
        for base_url in [None, Some("https://one.example")] {
            for settings in [
                json!({}),
                json!({"payout_url": "https://two.example", "poll_ms": [1]}),
            ] {
                let account = stored(&keyring, base_url, &settings);
                let credentials = account.credentials(&keyring).unwrap().unwrap();
                assert_eq!(credentials.as_slice(), CREDENTIALS);
                let changes: [fn(&mut GatewayAccount); 5] = [
                    |account| account.base_url = Some("https://thief.example".into()),
                    |account| account.settings["payout_url"] = "https://thief.example".into(),
                    |account| account.settings["other_url"] = "https://thief.example".into(),
                    |account| account.settings["payout_url"] = json!(["https://thief.example"]),
                    |account| account.gateway_id = 23,
                ];
                for change in changes {
                    let mut tampered = account.clone();
                    change(&mut tampered);
                    assert_eq!(
                        tampered.credentials(&keyring),
                        Err(ADDRESS_CHANGED),
                        "{tampered:?}"
                    );
                }
                let mut slower = account.clone();
                slower.settings["calls_per_minute"] = 1.into();
                assert!(slower.credentials(&keyring).is_ok());
                let mut without = account.clone();
                (without.base_url, without.settings) = (None, json!({}));
                let is_same = base_url.is_none() && settings == json!({});
                assert_eq!(without.credentials(&keyring).is_ok(), is_same);
            }
        }
    }

    #[test]
    fn credentials_of_an_older_release_are_for_the_public_addresses_only() {
        let keyring = Keyring::from(&KeyringFile::generate());
        let mut account = stored(&keyring, None, &json!({"poll_ms": [1]}));
        let purpose = Purpose::Credentials;
        let unbound = keyring.encrypt(account.merchant, account.id.0, purpose, CREDENTIALS);
        account.sealed_credentials = Some(unbound);
        let credentials = account.credentials(&keyring).unwrap().unwrap();
        assert_eq!(credentials.as_slice(), CREDENTIALS);
        account.base_url = Some("https://one.example".into());
        assert_eq!(account.credentials(&keyring), Err(ADDRESS_CHANGED));
        account.base_url = None;
        account.settings = json!({"info_url": "https://one.example"});
        assert_eq!(account.credentials(&keyring), Err(ADDRESS_CHANGED));
    }

    #[test]
    fn malformed_values_are_refused() {
        for bound in [
            &[][..],
            &[BOUND],
            &[BOUND, 0, 0, 0],
            &[BOUND, 0, 0, 0, 9, b'{'],
        ] {
            let own = addresses(70, Some("https://one.example"), &json!({}));
            assert_eq!(unbind(bound, &own), None, "{bound:?}");
        }
    }
}
