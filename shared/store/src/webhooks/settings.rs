//! The secrets of an endpoint, bound to its URL, and the URLs of accounts, bound to their endpoints: a change of a URL in the database
//! sends nothing elsewhere.

use std::fmt;

use chrono::{DateTime, Utc};
use khata_crypto::{DecryptError, Keyring, Purpose};
use khata_domain::events::{EndpointId, EndpointKey};
use khata_domain::{AccountId, MerchantId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of an endpoint's id before the URL.
const ID_LENGTH: usize = 16;

/// The URL, secrets and credentials of an endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSettings {
    pub url: String,
    /// `whsec_…`: signs by HMAC-SHA256.
    pub secret: String,
    /// The secret before, which also signs until this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
    /// `whsk_…`: signs by Ed25519 too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<String>,
    /// The signing key before, which also signs until this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_signing_key: Option<PreviousSecret>,
    /// For Basic authentication at the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// A secret or signing key that was replaced.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSecret {
    pub secret: String,
    pub until: DateTime<Utc>,
}

/// User name and password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for EndpointSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointSettings").finish_non_exhaustive()
    }
}

impl Drop for EndpointSettings {
    fn drop(&mut self) {
        self.secret.zeroize();
        self.signing_key.zeroize();
        if let Some(credentials) = &mut self.credentials {
            credentials.password.zeroize();
        }
    }
}

impl Drop for PreviousSecret {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl EndpointSettings {
    /// Replaces the secret. The one before signs until this time; `None`: no longer.
    pub fn replace_secret(&mut self, secret: String, until: Option<DateTime<Utc>>) {
        let secret = std::mem::replace(&mut self.secret, secret);
        self.previous = previous(secret, until);
    }

    /// Replaces the signing key. The one before signs until this time; `None`: no longer.
    pub fn replace_signing_key(&mut self, key: Option<String>, until: Option<DateTime<Utc>>) {
        let before = std::mem::replace(&mut self.signing_key, key);
        self.previous_signing_key = before.and_then(|before| previous(before, until));
    }

    /// Encrypts the settings for this endpoint.
    pub fn seal(&self, keyring: &Keyring, endpoint: EndpointKey) -> Vec<u8> {
        let plain = Zeroizing::new(serde_json::to_vec(self).unwrap_or_default());
        keyring.encrypt(endpoint.merchant, endpoint.id.0, Purpose::Endpoint, &plain)
    }

    /// Decrypts the settings of this endpoint.
    pub(super) fn open(
        keyring: &Keyring,
        endpoint: EndpointKey,
        sealed: &[u8],
    ) -> Result<Self, DecryptError> {
        let plain = keyring.decrypt(endpoint.merchant, endpoint.id.0, Purpose::Endpoint, sealed)?;
        serde_json::from_slice(&plain).map_err(|_| DecryptError)
    }
}

fn previous(mut secret: String, until: Option<DateTime<Utc>>) -> Option<PreviousSecret> {
    if until.is_none() {
        secret.zeroize();
    }
    until.map(|until| PreviousSecret { secret, until })
}

/// The URL that the events of one account go to, in place of the URL of one endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountUrl {
    pub endpoint: EndpointId,
    pub url: String,
}

impl fmt::Debug for AccountUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AccountUrl");
        debug
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl AccountUrl {
    /// Encrypts the URL for this account.
    pub fn seal(&self, keyring: &Keyring, merchant: MerchantId, account: AccountId) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(ID_LENGTH + self.url.len()));
        plain.extend_from_slice(self.endpoint.0.as_bytes());
        plain.extend_from_slice(self.url.as_bytes());
        keyring.encrypt(merchant, account.0, Purpose::AccountUrl, &plain)
    }

    /// Decrypts the URL of this account.
    pub fn open(
        keyring: &Keyring,
        merchant: MerchantId,
        account: AccountId,
        sealed: &[u8],
    ) -> Result<Self, DecryptError> {
        let plain = keyring.decrypt(merchant, account.0, Purpose::AccountUrl, sealed)?;
        let (id, url) = plain.split_first_chunk::<ID_LENGTH>().ok_or(DecryptError)?;
        let url = std::str::from_utf8(url).map_err(|_| DecryptError)?;
        Ok(Self {
            endpoint: EndpointId(Uuid::from_bytes(*id)),
            url: url.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use khata_crypto::KeyringFile;

    use super::*;

    #[test]
    fn a_url_is_bound_to_its_account_and_merchant() {
        let keyring = Keyring::from(&KeyringFile::generate());
        let (merchant, account) = (MerchantId::new(), AccountId::new());
        let url = AccountUrl {
            endpoint: EndpointId::new(),
            url: "https://hooks.example/orders/42?token=a".to_owned(),
        };
        let sealed = url.seal(&keyring, merchant, account);
        let opened = AccountUrl::open(&keyring, merchant, account, &sealed);
        assert_eq!(opened.unwrap(), url);
        for (merchant, account) in [(merchant, AccountId::new()), (MerchantId::new(), account)] {
            assert!(AccountUrl::open(&keyring, merchant, account, &sealed).is_err());
        }
        let short = keyring.encrypt(merchant, account.0, Purpose::AccountUrl, b"short");
        assert!(AccountUrl::open(&keyring, merchant, account, &short).is_err());
        assert!(!format!("{url:?}").contains("hooks"));
    }
}
