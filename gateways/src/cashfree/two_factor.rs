//! `x-cf-signature`, which replaces the IP allow-list: base64 of RSA-OAEP-SHA1(public key, "clientId.unixSeconds")
//! (Cashfree, *2FA API signature generation*). Only the public half of a key pair is held here, and nothing is ever
//! decrypted with it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use reqwest::header::HeaderValue;
use rsa::pkcs8::DecodePublicKey;
use rsa::{Oaep, PublicKey};
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::http::secret_header;

/// Maximum age of a signature. Cashfree accepts it for 360 s (Cashfree's SDKs); the last minute is left for the call itself
/// and for clocks that differ.
const MAX_AGE: Duration = Duration::from_mins(5);

/// Makes signatures and uses each one until it is too old.
pub(super) struct TwoFactor {
    client_id: Zeroizing<String>,
    key: PublicKey,
    last: Mutex<Option<(Instant, HeaderValue)>>,
}

impl TwoFactor {
    /// Returns `None` if this is no RSA public key in PEM, or one too short to sign for this client.
    pub(super) fn new(client_id: &Zeroizing<String>, public_key: &str) -> Option<Self> {
        let two_factor = Self {
            client_id: client_id.clone(),
            key: PublicKey::from_public_key_pem(public_key.trim()).ok()?,
            last: Mutex::default(),
        };
        two_factor
            .encrypted(i64::MAX)
            .is_some()
            .then_some(two_factor)
    }

    /// Returns the header's value for a call made now.
    pub(super) fn signature(&self, unix_seconds: i64) -> Option<HeaderValue> {
        self.signature_at(Instant::now(), unix_seconds)
    }

    fn signature_at(&self, now: Instant, unix_seconds: i64) -> Option<HeaderValue> {
        // A panic of another thread leaves a whole signature here, or none.
        let mut last = self
            .last
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((made_at, signature)) = last.as_ref()
            && now.saturating_duration_since(*made_at) < MAX_AGE
        {
            return Some(signature.clone());
        }
        let encrypted = self.encrypted(unix_seconds)?;
        let signature = secret_header(&Zeroizing::new(BASE64.encode(&encrypted)))?;
        *last = Some((now, signature.clone()));
        Some(signature)
    }

    fn encrypted(&self, unix_seconds: i64) -> Option<Vec<u8>> {
        let text = Zeroizing::new(format!("{}.{unix_seconds}", self.client_id.as_str()));
        let padding = Oaep::<Sha1>::new();
        self.key
            .encrypt(&mut rand::rng(), padding, text.as_bytes())
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use rsa::PrivateKey;
    use rsa::pkcs8::{EncodePublicKey, LineEnding};

    use super::*;

    #[test]
    fn a_signature_is_replaced_before_it_is_too_old() {
        let key = PrivateKey::new(&mut rand::rng(), 1024).unwrap();
        let pem = key
            .to_public_key()
            .to_public_key_pem(LineEnding::LF)
            .unwrap();
        let client = Zeroizing::new("client".to_owned());
        let two_factor = TwoFactor::new(&client, &pem).unwrap();
        let start = Instant::now();
        let at = |seconds| {
            let later = start + Duration::from_secs(seconds);
            two_factor.signature_at(later, 1_800_000_000).unwrap()
        };
        let first = at(0);
        assert!(first.is_sensitive(), "not for logs");
        assert_eq!(at(299), first);
        let second = at(300);
        assert_ne!(second, first);
        assert_eq!(at(599), second);
    }
}
