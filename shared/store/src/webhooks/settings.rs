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
    /// For Basic authentication at the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// A secret that was replaced.
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
        if let Some(previous) = &mut self.previous {
            previous.secret.zeroize();
        }
        if let Some(credentials) = &mut self.credentials {
            credentials.password.zeroize();
        }
    }
}

impl EndpointSettings {
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
