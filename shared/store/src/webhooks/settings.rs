//! The secrets of an endpoint, bound to its URL: a change of the URL in the database sends nothing elsewhere.

use std::fmt;

use chrono::{DateTime, Utc};
use khata_crypto::{DecryptError, Keyring, Purpose};
use khata_domain::events::EndpointKey;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

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
