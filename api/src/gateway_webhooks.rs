//! Webhooks of gateways: `POST /gateways/{gateway}/webhooks/{gateway_account_id}`, without an API key. The connector checks the
//! signature on the bytes as received. A genuine webhook is stored with its validation, and a worker records the result.
//! Nothing is decided here.

use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::Utc;
use khata_crypto::Purpose;
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::ids::AttemptReference;
use khata_domain::{Gateway, GatewayAccountId};
use khata_gateways::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};
use khata_queue::Wakeup;
use khata_store::gateway_webhooks::{self, FoundAttempt, OpenAttempt, Received};
use khata_telemetry as telemetry;
use serde_json::json;
use tracing::{Instrument, Span, debug, field, info, warn};

use crate::connection::ConnectionState;
use crate::connectors::{Warning, WebhookAccount};
use crate::context::State;
use crate::decode::Body;
use crate::error::{ApiError, FaultCode};
use crate::metrics::AuthenticationFailure;

/// Longest webhook. Those of the gateways have some kilobytes, and any sender may make the API parse one.
const MAX_WEBHOOK: usize = 64 * 1024;

const NO_GATEWAY_ACCOUNT: ApiError = ApiError::NotFound("No such gateway account.");

pub(crate) async fn receive(
    state: Data<State>,
    path: Path<(String, String)>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let (gateway, account) = path.into_inner();
    let gateway = Gateway::parse(&gateway).ok_or(NO_GATEWAY_ACCOUNT)?;
    let handled = handle(&state, gateway, &account, &request, payload.into_inner()).await;
    let result = match &handled {
        Ok(status) => *status,
        Err(ApiError::Unavailable | ApiError::Internal) => "failed",
        Err(_) => "refused",
    };
    if matches!(handled, Err(ApiError::InvalidSignature)) {
        let why = AuthenticationFailure::BadSignature;
        state.metrics.authentication_failed(why);
    }
    state.metrics.webhook_received(gateway, result);
    handled.map(|status| HttpResponse::Ok().json(json!({ "status": status })))
}

/// Handles the webhook. Returns `received` or `ignored`.
async fn handle(
    state: &State,
    gateway: Gateway,
    account: &str,
    request: &HttpRequest,
    payload: Payload,
) -> Result<&'static str, ApiError> {
    let id = GatewayAccountId::parse(account).ok_or(NO_GATEWAY_ACCOUNT)?;
    let account = state
        .webhook_accounts
        .find(&state.database, id)
        .await?
        .filter(|account| account.gateway == gateway)
        .ok_or(NO_GATEWAY_ACCOUNT)?;
    Span::current().record("khata.merchant_id", field::display(account.key.merchant));
    let memory = state.in_progress.webhook_bodies.of(account.key.merchant);
    let body = Body::receive(request, payload, MAX_WEBHOOK, memory).await?;
    let message = verify(state, &account, request, body.bytes())?;
    let is_signed = |message: &WebhookMessage| message.response.is_some();
    if let Some(connection) = request.conn_data::<Rc<ConnectionState>>()
        && message.as_ref().is_some_and(is_signed)
    {
        connection.authenticate();
    }
    let Some(message) = message else {
        return Ok("ignored");
    };
    let FoundAttempt::Open(attempt) =
        find_attempt(state, &account, message.attempt.clone()).await?
    else {
        let gateway = gateway.name();
        debug!(gateway, "gateway webhook ignored: no open attempt");
        return Ok("ignored");
    };
    // Any sender may send a hint: only one about an open attempt is reported.
    report_not_understood(state, &account, &message);
    store(state, &account, &message, attempt, body.bytes()).await?;
    Ok("received")
}

/// Verifies the signature and parses the webhook; `None` if the webhook is about nothing that Khata handles.
fn verify(
    state: &State,
    account: &WebhookAccount,
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
    account.connector.webhook(&webhook).map_err(|error| {
        if state.webhook_accounts.may_warn(account.key.account, Warning::Rejected) {
            warn!(
                merchant_id = %account.key.merchant, gateway = account.gateway.name(), gateway_account = account.reference_id,
                %error, "gateway webhook rejected: bad or missing signature (check the webhook secret in the credentials)"
            );
        }
        match error {
            WebhookError::NotSupported => NO_GATEWAY_ACCOUNT,
            WebhookError::Malformed(reason) => {
                ApiError::field("body", FaultCode::Encoding, format!("is malformed: {reason}"))
            }
            WebhookError::NoSecret
            | WebhookError::MissingHeader(_)
            | WebhookError::BadSignature
            | WebhookError::Stale => ApiError::InvalidSignature,
        }
    })
}

/// Counts the fields of a webhook that could not be read, and logs them unless the worker does, which uses the webhook's outcome.
fn report_not_understood(state: &State, account: &WebhookAccount, message: &WebhookMessage) {
    let fields = &message.not_understood;
    if fields.is_empty() {
        return;
    }
    let (key, gateway) = (account.key, account.gateway);
    let reference_id = &account.reference_id;
    state
        .metrics
        .webhook_not_understood(key.merchant, gateway, reference_id, fields);
    let is_hint = message.response.is_none();
    if is_hint
        && state
            .webhook_accounts
            .may_warn(key.account, Warning::NotUnderstood)
    {
        warn!(
            merchant_id = %key.merchant, gateway = gateway.name(), gateway_account = account.reference_id,
            fields = fields.join(", "), "gateway webhook not understood: these fields were left out"
        );
    }
}

/// Finds the attempt that a webhook names, by our reference or by the gateway's.
async fn find_attempt(
    state: &State,
    account: &WebhookAccount,
    name: AttemptName,
) -> Result<FoundAttempt, ApiError> {
    let key = account.key;
    let database = state.database.of(key.merchant);
    match name {
        AttemptName::Reference(reference) => {
            let Some(reference) = AttemptReference::parse(&reference) else {
                // The merchant also uses the gateway without Khata.
                return Ok(FoundAttempt::Ended);
            };
            let find = database.read("find attempt", move |connection| {
                gateway_webhooks::by_our_reference(connection, key, &reference)
            });
            find.await
        }
        AttemptName::GatewayReference(reference) => {
            let find = database.read("find attempt", move |connection| {
                gateway_webhooks::by_their_reference(connection, key, &reference)
            });
            match find.await? {
                // The webhook may arrive before the worker has stored the gateway's id: the 404 makes the gateway retry.
                FoundAttempt::Unknown => Err(ApiError::NotFound("No attempt with this id yet.")),
                found => Ok(found),
            }
        }
    }
}

/// Stores the webhook with its attempt, and wakes a worker.
async fn store(
    state: &State,
    account: &WebhookAccount,
    message: &WebhookMessage,
    attempt: OpenAttempt,
    body: &[u8],
) -> Result<(), ApiError> {
    let (key, validation) = (account.key, attempt.key.id);
    let sealed = message.response.as_ref().map(|response| {
        let plaintext = response.to_plaintext();
        state
            .keyring
            .encrypt(key.merchant, validation.0, Purpose::Webhook, &plaintext)
    });
    // All hints about one attempt are one webhook: any sender may send them.
    let number = attempt.number.to_be_bytes();
    let parts: &[&[u8]] = if sealed.is_some() {
        &[key.account.0.as_bytes(), body]
    } else {
        &[key.account.0.as_bytes(), validation.0.as_bytes(), &number]
    };
    let digest = state.keyring.request_digest(key.merchant, parts);
    // In the account's trace; none if that trace is not recorded.
    let span = telemetry::in_trace(attempt.trace_parent.as_deref(), || {
        tracing::info_span!(
            "gateway webhook",
            otel.name = format!("webhook of {}", account.gateway),
            khata.merchant_id = %key.merchant,
            khata.validation_id = %validation,
            khata.gateway = account.gateway.name(),
            khata.class = message.response.as_ref().map(|response| response.class.as_str()),
        )
    });
    let span = span.unwrap_or_else(Span::none);
    // The webhook is in the account's trace, and the gateway's request in a trace of its own: link both ways.
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
    let awaited = attempt.awaited;
    let not_understood = message.not_understood.clone();
    let received = state
        .database
        .of(key.merchant)
        .write("insert notice", move |connection| {
            let sealed = sealed.as_deref();
            let received =
                gateway_webhooks::receive(connection, &attempt, &digest, sealed, &not_understood)?;
            failpoints::pass_blocking(Failpoint::GATEWAY_WEBHOOK_BEFORE_COMMIT);
            Ok(received)
        })
        .instrument(span)
        .await?;
    failpoints::pass(Failpoint::GATEWAY_WEBHOOK_AFTER_COMMIT).await;
    info!(
        merchant_id = %key.merchant, validation_id = %validation, gateway = account.gateway.name(), ?received,
        "gateway webhook stored"
    );
    match received {
        Received::Due if awaited => state.wakeup_publisher.publish_awaited(wakeup),
        Received::Due => state.wakeup_publisher.publish(wakeup),
        Received::Stored | Received::Ignored => {}
    }
    Ok(())
}
