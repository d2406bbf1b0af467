//! Authentication: HTTP Basic with the API key as user name and an empty password; and what the key may do.

use std::time::{Duration, Instant};

use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use khata_crypto::{ApiKey, ApiKeyHash, Keyring};
use khata_domain::KeyId;
use khata_store::keys::KeyScope;
use khata_store::merchants::{self, Merchant, ValidKey};
use zeroize::Zeroizing;

use crate::database::{Database, RecentRows};
use crate::error::{ApiError, INVALID_KEY};
use crate::metrics::{AuthenticationFailure, Metrics};

const NO_KEY: &str = "The request has no API key: send the Authorization header of HTTP Basic, with the API key as user name and an empty password.";
const OTHER_SCHEME: &str = "The Authorization header has another scheme than Basic: send HTTP Basic, with the API key as user name and an empty password, not Bearer.";
const LIVE_KEY: &str = "The API key is a live key, and this service is in sandbox mode: send a key that begins with kh_test_.";
const TEST_KEY: &str = "The API key is a test key, and this service is not in sandbox mode: send a key that begins with kh_live_.";

/// Checks API keys. Caches valid and invalid keys alike, so that the time of a reply says nothing about the key.
pub(crate) struct Authenticator {
    /// A revoked key works until its row is read again. A key that expires stops at once.
    keys: RecentRows<ApiKeyHash, Option<KnownKey>>,
    sandbox_mode: bool,
}

/// A key that was valid when its row was read.
#[derive(Clone)]
struct KnownKey {
    id: KeyId,
    merchant: Merchant,
    scope: KeyScope,
    expires_at: Option<Instant>,
}

impl KnownKey {
    fn new(key: ValidKey) -> Self {
        let rest = key
            .expires_in
            .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)));
        // A time that no clock reaches is no expiry.
        let expires_at = rest.and_then(|rest| Instant::now().checked_add(rest.ok()?));
        Self {
            id: key.id,
            merchant: key.merchant,
            scope: key.scope,
            expires_at,
        }
    }

    fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= Instant::now())
    }
}

/// An authenticated key.
pub(crate) struct Caller {
    pub(crate) key: ApiKeyHash,
    pub(crate) key_id: KeyId,
    pub(crate) merchant: Merchant,
    scope: KeyScope,
}

impl Caller {
    /// Checks that the key's scope includes a call with this method to this route.
    pub(crate) fn check_scope(&self, method: &Method, route: &str) -> Result<(), ApiError> {
        let needed = scope_of(method, route);
        if self.scope.includes(needed) {
            Ok(())
        } else {
            Err(ApiError::InsufficientScope(needed))
        }
    }
}

/// Returns the scope that a call needs. A POST to an account itself deletes it, and one to webhook endpoints decides where the
/// merchant's data goes.
pub(crate) fn scope_of(method: &Method, route: &str) -> KeyScope {
    let is_guarded = route.ends_with("/{account_id}") || route.starts_with("/webhook-endpoints");
    match *method {
        Method::GET | Method::HEAD => KeyScope::Read,
        Method::POST if !is_guarded => KeyScope::Create,
        _ => KeyScope::Admin,
    }
}

impl Authenticator {
    pub(crate) fn new(sandbox_mode: bool) -> Self {
        Self {
            keys: RecentRows::new(),
            sandbox_mode,
        }
    }

    /// Returns the caller that a request's key names.
    pub(crate) async fn authenticate(
        &self,
        database: &Database,
        keyring: &Keyring,
        metrics: &Metrics,
        headers: &HeaderMap,
    ) -> Result<Caller, ApiError> {
        // A missing, malformed or foreign key takes the same way as one that cannot exist, and therefore the same time.
        let (key, failure, reason) = match self.key(headers) {
            Ok(key) => (Some(key), AuthenticationFailure::UnknownKey, INVALID_KEY),
            Err((failure, reason)) => (ApiKey::parse("-"), failure, reason),
        };
        let key = key.ok_or(ApiError::Unauthorized(reason))?;
        let hash = keyring.hash_api_key(&key);
        let read = database.read("find key", move |connection| {
            let key = merchants::authenticate(connection, &hash)?;
            Ok(key.map(KnownKey::new))
        });
        let known = self.keys.get_or(hash, read).await?;
        let Some(known) = known.filter(|known| !known.has_expired()) else {
            metrics.authentication_failed(failure);
            return Err(ApiError::Unauthorized(reason));
        };
        Ok(Caller {
            key: hash,
            key_id: known.id,
            merchant: known.merchant,
            scope: known.scope,
        })
    }

    /// The key that a request carries; otherwise the failure, and a reason for the merchant that says nothing about a key. A key of the other mode is invalid, even if both share a database.
    fn key(&self, headers: &HeaderMap) -> Result<ApiKey, (AuthenticationFailure, &'static str)> {
        let header = headers
            .get(AUTHORIZATION)
            .filter(|header| !header.is_empty())
            .ok_or((AuthenticationFailure::NoKey, NO_KEY))?;
        if !is_basic(header.as_bytes()) {
            return Err((AuthenticationFailure::Malformed, OTHER_SCHEME));
        }
        let key = basic_user(header.as_bytes()).and_then(|key| ApiKey::parse(&key));
        let key = key.ok_or((AuthenticationFailure::Malformed, INVALID_KEY))?;
        if key.is_for_other_than(self.sandbox_mode) {
            let reason = if self.sandbox_mode {
                LIVE_KEY
            } else {
                TEST_KEY
            };
            return Err((AuthenticationFailure::OtherMode, reason));
        }
        Ok(key)
    }
}

/// Whether the header's scheme is Basic.
fn is_basic(header: &[u8]) -> bool {
    let scheme = header.split(|byte| *byte == b' ').next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Basic"))
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
    fn each_call_needs_the_least_scope_that_it_can_do_with() {
        let accounts = "/customers/{customer_id}/accounts";
        let account = "/customers/{customer_id}/customer-accounts/{account_id}";
        for (method, route, scope) in [
            (Method::GET, account, KeyScope::Read),
            (Method::HEAD, account, KeyScope::Read),
            (Method::POST, "/customers", KeyScope::Create),
            (Method::POST, accounts, KeyScope::Create),
            (
                Method::POST,
                &format!("{account}/validate"),
                KeyScope::Create,
            ),
            (Method::POST, account, KeyScope::Admin),
            (Method::GET, "/events", KeyScope::Read),
            (Method::POST, "/events/{event_id}/replay", KeyScope::Create),
            (Method::GET, "/webhook-endpoints", KeyScope::Read),
            (Method::POST, "/webhook-endpoints", KeyScope::Admin),
            (
                Method::POST,
                "/webhook-endpoints/{endpoint_id}/rotate-secret",
                KeyScope::Admin,
            ),
            (Method::DELETE, accounts, KeyScope::Admin),
        ] {
            assert_eq!(scope_of(&method, route), scope, "{method} {route}");
        }
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

    #[test]
    fn a_refused_header_says_what_it_lacks_but_nothing_about_a_key() {
        let reason = |sandbox_mode: bool, header: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(AUTHORIZATION, header.parse().unwrap());
            }
            let key = Authenticator::new(sandbox_mode).key(&headers);
            key.err().map(|(_, reason)| reason)
        };
        let basic = |user: &str| format!("Basic {}", BASE64.encode(user));
        let (test, live) = (basic("kh_test_0123456789:"), basic("kh_live_0123456789:"));
        for (sandbox_mode, header, expected) in [
            (true, None, Some(NO_KEY)),
            (true, Some(""), Some(NO_KEY)),
            (true, Some("Bearer kh_test_x"), Some(OTHER_SCHEME)),
            (true, Some("kh_test_x"), Some(OTHER_SCHEME)),
            (true, Some("Basic"), Some(INVALID_KEY)),
            (true, Some("Basic !!!"), Some(INVALID_KEY)),
            (true, Some(live.as_str()), Some(LIVE_KEY)),
            (true, Some(test.as_str()), None),
            (false, Some(test.as_str()), Some(TEST_KEY)),
            (false, Some(live.as_str()), None),
        ] {
            assert_eq!(reason(sandbox_mode, header), expected, "{header:?}");
        }
    }
}
