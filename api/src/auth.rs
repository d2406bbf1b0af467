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
const NOT_BASE64: &str = "The Authorization header of HTTP Basic is not Base64: send the Base64 of the API key and a colon, which the login of an HTTP client makes.";
const PASSWORD: &str = "The login of HTTP Basic has a password, which must be empty: send the API key as user name, and nothing behind the colon.";
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
        let malformed = |reason| (AuthenticationFailure::Malformed, reason);
        let user = basic_user(header.as_bytes()).map_err(malformed)?;
        let key = ApiKey::parse(&user).ok_or(malformed(INVALID_KEY))?;
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

/// The user of a Basic credential with an empty password; for anything else a reason, which is the same for every key.
fn basic_user(header: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    let encoded = header.get(b"Basic ".len()..).unwrap_or_default();
    let decoded = BASE64
        .decode(encoded.trim_ascii())
        .map_err(|_| NOT_BASE64)?;
    let decoded = Zeroizing::new(decoded);
    let text = std::str::from_utf8(&decoded).map_err(|_| INVALID_KEY)?;
    match text.split_once(':') {
        None | Some((_, "")) => {
            let user = text.strip_suffix(':').unwrap_or(text);
            Ok(Zeroizing::new(user.to_owned()))
        }
        Some(_) => Err(PASSWORD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(credential: &str) -> Result<String, &'static str> {
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
        assert_eq!(user("kh_test_x:").as_deref(), Ok("kh_test_x"));
        assert_eq!(user("kh_test_x").as_deref(), Ok("kh_test_x"));
        for login in ["kh_test_x:secret", ":kh_test_x", "x::", "no key:x"] {
            assert_eq!(user(login), Err(PASSWORD), "{login}");
        }
        assert_eq!(basic_user(b"Basic").as_deref().map(String::as_str), Ok(""));
        assert_eq!(basic_user(b"Basic \xff\xfe"), Err(NOT_BASE64));
        assert_eq!(basic_user(b"Basic kh_test_x"), Err(NOT_BASE64));
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
        let with_password = basic("kh_test_0123456789:secret");
        let (test, live) = (basic("kh_test_0123456789:"), basic("kh_live_0123456789:"));
        for (sandbox_mode, header, expected) in [
            (true, None, Some(NO_KEY)),
            (true, Some(""), Some(NO_KEY)),
            (true, Some("Bearer kh_test_x"), Some(OTHER_SCHEME)),
            (true, Some("kh_test_x"), Some(OTHER_SCHEME)),
            (true, Some("Basic"), Some(INVALID_KEY)),
            (true, Some("Basic !!!"), Some(NOT_BASE64)),
            (true, Some(with_password.as_str()), Some(PASSWORD)),
            (false, Some(with_password.as_str()), Some(PASSWORD)),
            (true, Some(live.as_str()), Some(LIVE_KEY)),
            (true, Some(test.as_str()), None),
            (false, Some(test.as_str()), Some(TEST_KEY)),
            (false, Some(live.as_str()), None),
        ] {
            assert_eq!(reason(sandbox_mode, header), expected, "{header:?}");
        }
    }
}
