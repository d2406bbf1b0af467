//! `GET /.well-known/webhooks/{endpoint_id}/jwks.json`: the public keys of a webhook endpoint, without an API key. The reply holds
//! nothing else of the endpoint or its merchant. An endpoint's id has 74 random bits; an unknown id, an endpoint without public keys and a
//! deleted one get the same reply.

use actix_web::HttpResponse;
use actix_web::http::header::{CacheControl, CacheDirective};
use actix_web::web::{Bytes, Data, Path};
use chrono::{DateTime, Utc};
use khata_crypto::Keyring;
use khata_domain::MerchantId;
use khata_domain::events::EndpointId;
use khata_store::webhooks::{self, Endpoint};
use khata_webhooks::WebhookSecret;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::context::State;
use crate::error::{ApiError, Envelope};
use crate::webhook_endpoints::open;
use crate::{reply, schema};

/// Seconds for which receivers may keep the reply. A receiver may accept a key for this time after the merchant replaced it at once.
const MAX_AGE: u32 = 5 * 60;

const NO_KEYS: ApiError =
    ApiError::NotFound("No such webhook endpoint, or it does not sign by v1a.");

/// Public keys of an endpoint: a JSON Web Key Set (RFC 7517, section 5).
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookKeys {
    /// The newest key first; while a key pair is replaced, also the one before.
    keys: Vec<PublicKey>,
}

/// An Ed25519 public key (RFC 8037).
#[derive(Serialize, ToSchema)]
struct PublicKey {
    #[schema(example = "OKP")]
    kty: &'static str,
    #[schema(example = "Ed25519")]
    crv: &'static str,
    /// The 32 bytes of the key, as base64url.
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    x: String,
    /// Thumbprint of the key (RFC 7638).
    #[schema(example = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")]
    kid: String,
    #[schema(example = "sig")]
    r#use: &'static str,
    #[schema(example = "EdDSA")]
    alg: &'static str,
}

/// Get the public keys of a webhook endpoint
///
/// The keys that verify signatures `v1a`, as a JSON Web Key Set; without an API key. Keep the reply for 5 minutes at most. A webhook is
/// genuine if one of its signatures `v1a` matches one of the keys.
#[utoipa::path(get, path = "/.well-known/webhooks/{endpoint_id}/jwks.json", operation_id = "getWebhookKeys",
    tag = "Webhook endpoints", params(schema::EndpointPath),
    responses((status = 200, description = "The keys.", body = WebhookKeys, content_type = "application/jwk-set+json"),
        (status = 404, description = "No such webhook endpoint, or it does not sign by `v1a`.", body = Envelope<'static>)))]
pub(crate) async fn get(state: Data<State>, path: Path<String>) -> Result<HttpResponse, ApiError> {
    let id = EndpointId::parse(&path).ok_or(NO_KEYS)?;
    // The caller needs no key: these queries share the connections of one merchant, and not those that look up API keys.
    let database = state.database.of(MerchantId(Uuid::nil()));
    let read = database.read("find endpoint", move |connection| {
        webhooks::find_by_id(connection, id)
    });
    let body = async {
        let endpoint = read.await?;
        let now = state.metrics.database_time();
        endpoint.map_or(Ok(None), |endpoint| body(&state.keyring, &endpoint, now))
    };
    let body = state.webhook_keys.get_or(id, body).await?.ok_or(NO_KEYS)?;
    Ok(HttpResponse::Ok()
        .insert_header(CacheControl(vec![
            CacheDirective::Public,
            CacheDirective::MaxAge(MAX_AGE),
        ]))
        .content_type("application/jwk-set+json")
        .body(body))
}

/// Returns the reply about an endpoint; `None` if it does not sign by Ed25519.
fn body(
    keyring: &Keyring,
    endpoint: &Endpoint,
    now: DateTime<Utc>,
) -> Result<Option<Bytes>, ApiError> {
    let settings = open(keyring, endpoint)?;
    let previous = settings.previous_signing_key.as_ref();
    let previous = previous.filter(|previous| now < previous.until);
    let texts = settings.signing_key.iter();
    let keys: Vec<PublicKey> = texts
        .chain(previous.map(|previous| &previous.secret))
        .filter_map(|text| WebhookSecret::parse(text).ok()?.web_key())
        .map(|key| PublicKey {
            kty: "OKP",
            crv: "Ed25519",
            x: key.x,
            kid: key.kid,
            r#use: "sig",
            alg: "EdDSA",
        })
        .collect();
    if keys.is_empty() {
        return Ok(None);
    }
    Ok(Some(reply::to_json(&WebhookKeys { keys })?.into()))
}
