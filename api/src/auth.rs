//! Authentication: HTTP Basic with the API key as user name and an empty password.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use khata_crypto::{ApiKey, ApiKeyHash, Keyring};
use khata_store::merchants::{self, Merchant};
use zeroize::Zeroizing;

use crate::database::{Database, RecentRows};
use crate::error::ApiError;
use crate::metrics::{AuthenticationFailure, Metrics};

/// Checks API keys. Caches valid and invalid keys alike, so that the time of a reply says nothing about the key.
pub(crate) struct Authenticator {
    /// A revoked key works until its row is read again.
    keys: RecentRows<ApiKeyHash, Option<Merchant>>,
    sandbox_mode: bool,
}

impl Authenticator {
    pub(crate) fn new(sandbox_mode: bool) -> Self {
        Self {
            keys: RecentRows::new(),
            sandbox_mode,
        }
    }

    /// Returns the hash and the merchant of a request's key.
    pub(crate) async fn authenticate(
        &self,
        database: &Database,
        keyring: &Keyring,
        metrics: &Metrics,
        headers: &HeaderMap,
    ) -> Result<(ApiKeyHash, Merchant), ApiError> {
        // A missing, malformed or foreign key takes the same way as one that cannot exist, and therefore the same time.
        let (key, failure) = match self.key(headers) {
            Ok(key) => (Some(key), AuthenticationFailure::UnknownKey),
            Err(failure) => (ApiKey::parse("-"), failure),
        };
        let key = key.ok_or(ApiError::Unauthorized)?;
        let hash = keyring.hash_api_key(&key);
        let read = database.read("find key", move |connection| {
            merchants::authenticate(connection, &hash)
        });
        let merchant = self.keys.get_or(hash, read).await?;
        let Some(merchant) = merchant else {
            metrics.authentication_failed(failure);
            return Err(ApiError::Unauthorized);
        };
        Ok((hash, merchant))
    }

    /// The key that a request carries. A key of the other mode is invalid, even if both share a database.
    fn key(&self, headers: &HeaderMap) -> Result<ApiKey, AuthenticationFailure> {
        let header = headers
            .get(AUTHORIZATION)
            .ok_or(AuthenticationFailure::NoKey)?;
        let key = basic_user(header.as_bytes()).and_then(|key| ApiKey::parse(&key));
        let key = key.ok_or(AuthenticationFailure::Malformed)?;
        if key.is_for_other_than(self.sandbox_mode) {
            return Err(AuthenticationFailure::OtherMode);
        }
        Ok(key)
    }
}

/// The user of a Basic credential with an empty password; `None` for anything else.
fn basic_user(header: &[u8]) -> Option<Zeroizing<String>> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = Zeroizing::new(BASE64.decode(encoded.trim_ascii()).ok()?);
    let text = std::str::from_utf8(&decoded).ok()?;
    let user = text.strip_suffix(':').unwrap_or(text);
    (!user.contains(':')).then(|| Zeroizing::new(user.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(credential: &str) -> Option<String> {
        basic_user(format!("Basic {}", BASE64.encode(credential)).as_bytes())
            .map(|user| user.to_string())
    }

    #[test]
    fn the_key_is_the_user_and_the_password_is_empty() {
        assert_eq!(user("kh_test_x:").as_deref(), Some("kh_test_x"));
        assert_eq!(user("kh_test_x").as_deref(), Some("kh_test_x"));
        assert_eq!(user("kh_test_x:secret"), None);
        assert_eq!(basic_user(b"Bearer abc"), None);
        assert_eq!(basic_user(b"Basic"), None);
        assert_eq!(basic_user(b"Basic \xff\xfe"), None);
        assert_eq!(basic_user(b"Basic !!!"), None);
    }
}
