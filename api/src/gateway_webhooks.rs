//! What gateways call back with: `POST /gateways/{gateway}/webhooks/{gateway_account_id}`. No API key; the connector
//! checks the signature on the bytes as they came. What is genuine is stored beside the validation it is about, and a worker
//! settles it; here nothing is decided.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use khata_crypto::Purpose;
use khata_domain::ids::AttemptReference;
use khata_domain::{Gateway, GatewayAccountId};
use khata_gateways::{AttemptName, Connector, WebhookError, WebhookMessage, WebhookRequest};
use khata_queue::Wakeup;
use khata_store::gateway_accounts;
use khata_store::gateway_health::GatewayKey;
use khata_store::gateway_webhooks::{self, FoundAttempt, Received};
use khata_telemetry as telemetry;
use serde::Serialize;
use tracing::{Instrument, Span, debug, field, info, warn};

use crate::accounts::not_allowed;
use crate::connectors::Connectors;
use crate::decode::Body;
use crate::error::ApiError;
use crate::state::State;

const NOBODY: ApiError = ApiError::NotFound("There is no such gateway account.");
/// A change of a gateway account's secrets is seen here after this.
const FRESH: Duration = Duration::from_secs(5);
const ACCOUNTS: u64 = 10_000;

/// A gateway account that may be called back for.
struct Callee {
    key: GatewayKey,
    gateway: Gateway,
    reference_id: String,
    connector: Box<dyn Connector>,
}

/// Gateway accounts that were called back for; also those that do not exist, so that a stranger's guesses cost one look
/// each.
pub(crate) struct Callees {
    http: reqwest::Client,
    known: moka::sync::Cache<GatewayAccountId, Option<Arc<Callee>>>,
}

impl Callees {
    pub(crate) fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            known: moka::sync::Cache::builder()
                .max_capacity(ACCOUNTS)
                .time_to_live(FRESH)
                .build(),
        }
    }
}

/// Adds the route.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::resource("/gateways/{gateway}/webhooks/{gateway_account_id}")
            .route(web::post().to(receive))
            .default_service(web::to(|| async { not_allowed("POST") })),
    );
}

#[derive(Serialize)]
struct Answer {
    status: &'static str,
}

async fn receive(
    state: Data<State>,
    path: Path<(String, String)>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let (gateway, account) = path.into_inner();
    let gateway = Gateway::parse(&gateway).ok_or(NOBODY)?;
    let heard = hear(&state, gateway, &account, &request, payload).await;
    let result = match &heard {
        Ok(status) => *status,
        Err(ApiError::Unavailable | ApiError::Internal) => "failed",
        Err(_) => "refused",
    };
    state.metrics.webhook_received(gateway, result);
    heard.map(|status| HttpResponse::Ok().json(Answer { status }))
}

/// Hears it, and answers what it is told: `received` or `ignored`.
async fn hear(
    state: &State,
    gateway: Gateway,
    account: &str,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<&'static str, ApiError> {
    let account = GatewayAccountId::parse(account).ok_or(NOBODY)?;
    let callee = callee(state, account)
        .await?
        .filter(|callee| callee.gateway == gateway)
        .ok_or(NOBODY)?;
    Span::current().record("khata.merchant_id", field::display(callee.key.merchant));
    let body = Body::receive(request, payload).await?;
    let Some(notice) = believe(&callee, request, body.bytes())? else {
        return Ok("ignored");
    };
    store(state, &callee, notice, body.bytes()).await
}

/// Reads it, if it really is the gateway's.
fn believe(
    callee: &Callee,
    request: &HttpRequest,
    body: &[u8],
) -> Result<Option<WebhookMessage>, ApiError> {
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let webhook = WebhookRequest {
        headers: &headers,
        body,
        received_at: Utc::now(),
    };
    callee.connector.webhook(&webhook).map_err(|fault| {
        warn!(
            merchant_id = %callee.key.merchant, gateway = callee.gateway.name(), gateway_account = callee.reference_id,
            %fault, "a call-back that is not believed: is the secret that the gateway signs with the one in the credentials?"
        );
        match fault {
            WebhookError::NotOffered => NOBODY,
            WebhookError::Malformed(what) => ApiError::field("body", what),
            WebhookError::NoSecret
            | WebhookError::Unsigned(_)
            | WebhookError::Forged
            | WebhookError::Stale => ApiError::NotSigned,
        }
    })
}

async fn store(
    state: &State,
    callee: &Callee,
    notice: WebhookMessage,
    body: &[u8],
) -> Result<&'static str, ApiError> {
    let key = callee.key;
    let found = match notice.about {
        AttemptName::Reference(reference) => match AttemptReference::parse(&reference) {
            Some(reference) => {
                state
                    .read("find attempt", move |connection| {
                        gateway_webhooks::by_our_reference(connection, key, &reference)
                    })
                    .await?
            }
            // The merchant uses the gateway for other things too.
            None => FoundAttempt::Ended,
        },
        AttemptName::GatewayReference(reference) => {
            let found = state
                .read("find attempt", move |connection| {
                    gateway_webhooks::by_their_reference(connection, key, &reference)
                })
                .await?;
            if found == FoundAttempt::Unknown {
                // It may be quicker than we are to write its id down: it is asked to come again.
                return Err(ApiError::NotFound("Nothing of this id is known yet."));
            }
            found
        }
    };
    let FoundAttempt::Open(attempt) = found else {
        debug!(
            gateway = callee.gateway.name(),
            "a call-back about what is over"
        );
        return Ok("ignored");
    };
    let validation = attempt.key.id;
    let sealed = notice.answer.as_ref().map(|answer| {
        let plaintext = answer.to_plaintext();
        state
            .keyring
            .encrypt(key.merchant, validation.0, Purpose::Webhook, &plaintext)
    });
    let digest = state
        .keyring
        .request_digest(key.merchant, &[key.account.0.as_bytes(), body]);
    let span = telemetry::in_trace(attempt.trace_parent.as_deref(), || {
        tracing::info_span!(
            "call-back",
            otel.name = format!("call-back of {}", callee.gateway),
            khata.merchant_id = %key.merchant,
            khata.validation_id = %validation,
            khata.gateway = callee.gateway.name(),
            khata.class = notice.answer.as_ref().map(|answer| answer.class.as_str()),
        )
    })
    .unwrap_or_else(Span::none);
    // It is in the account's trace, and the gateway's request in its own: each leads to the other.
    let request = Span::current();
    if let Some(of_request) = telemetry::trace_parent_of(&request) {
        telemetry::link(&span, &of_request);
    }
    let in_account = telemetry::trace_parent_of(&span).or_else(|| attempt.trace_parent.clone());
    if let Some(in_account) = &in_account {
        telemetry::link(&request, in_account);
    }
    let wakeup = Wakeup {
        key: attempt.key,
        trace_parent: in_account,
    };
    let received = state
        .write("insert notice", move |connection| {
            Ok(gateway_webhooks::receive(
                connection,
                &attempt,
                &digest,
                sealed.as_deref(),
            )?)
        })
        .instrument(span)
        .await?;
    info!(
        merchant_id = %key.merchant, validation_id = %validation, gateway = callee.gateway.name(), ?received,
        "called back"
    );
    if received == Received::Due {
        state.wakeup_publisher.publish(wakeup);
    }
    Ok("received")
}

async fn callee(state: &State, account: GatewayAccountId) -> Result<Option<Arc<Callee>>, ApiError> {
    if let Some(known) = state.callees.known.get(&account) {
        return Ok(known);
    }
    let stored = state
        .read("find gateway account", move |connection| {
            gateway_accounts::find_by_id(connection, account)
        })
        .await?;
    let callee = stored.and_then(|stored| {
        let connectors = Connectors {
            keyring: &state.keyring,
            http: &state.callees.http,
            sandbox_mode: state.sandbox_mode,
        };
        match connectors.connect(&stored) {
            Ok((gateway, connector)) => Some(Arc::new(Callee {
                key: GatewayKey {
                    merchant: stored.merchant,
                    account: stored.id,
                },
                gateway,
                reference_id: stored.reference_id,
                connector,
            })),
            Err(fault) => {
                warn!(merchant_id = %stored.merchant, gateway_account = stored.reference_id, fault,
                    "called back for a gateway account that cannot be used: correct it with `khata-api gateway add`");
                None
            }
        }
    });
    state.callees.known.insert(account, callee.clone());
    Ok(callee)
}
