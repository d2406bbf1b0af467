//! Who calls: HTTP Basic, the API key as user name, no password.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use khata_crypto::{ApiKey, ApiKeyHash};
use khata_store::merchants::{self, Merchant};
use zeroize::Zeroizing;

use crate::error::ApiError;
use crate::state::State;

/// A revoked key stops working everywhere after this.
const FRESH: Duration = Duration::from_secs(5);
const KEYS: u64 = 10_000;

/// Keys seen lately, good and bad: what a key costs does not tell which it is.
#[derive(Debug)]
pub(crate) struct KeyCache(moka::sync::Cache<ApiKeyHash, Option<Merchant>>);

impl KeyCache {
    pub(crate) fn new() -> Self {
        Self(
            moka::sync::Cache::builder()
                .max_capacity(KEYS)
                .time_to_live(FRESH)
                .build(),
        )
    }
}

/// The merchant that a request's key belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Merchant);

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let state = request.app_data::<web::Data<State>>().cloned();
        let request = request.clone();
        let key = request
            .headers()
            .get(header::AUTHORIZATION)
            .map(|value| basic_user(value.as_bytes()));
        Box::pin(async move {
            let state = state.ok_or(ApiError::Internal)?;
            // What is missing or malformed is looked up too, as a key that cannot exist.
            let key = key.flatten().unwrap_or_else(|| Zeroizing::new("-".into()));
            let (hash, merchant) = authenticate(&state, &key)
                .await?
                .ok_or(ApiError::Unauthorized)?;
            tracing::Span::current()
                .record("khata.merchant_id", tracing::field::display(merchant.id));
            let (standing, taken) = state.limits.take(hash, merchant.requests_per_second());
            request.extensions_mut().insert(standing);
            request.extensions_mut().insert(merchant.id);
            taken?;
            Ok(Self(merchant))
        })
    }
}

async fn authenticate(
    state: &State,
    key: &str,
) -> Result<Option<(ApiKeyHash, Merchant)>, ApiError> {
    // A key of the other environment is none here, also where both should share a database: it is looked up as one that
    // cannot exist.
    let key = ApiKey::parse(key).filter(|key| !key.is_for_other_than(state.sandbox_mode));
    let Some(key) = key.or_else(|| ApiKey::parse("-")) else {
        return Ok(None);
    };
    let hash = state.keyring.hash_api_key(&key);
    if let Some(known) = state.keys.0.get(&hash) {
        return Ok(known.map(|merchant| (hash, merchant)));
    }
    let merchant = state
        .read("find key", move |connection| {
            merchants::authenticate(connection, &hash)
        })
        .await?;
    state.keys.0.insert(hash, merchant.clone());
    Ok(merchant.map(|merchant| (hash, merchant)))
}

/// The user of a Basic credential whose password is empty; `None` if it is anything else.
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
