//! `/webhook-endpoints`: where the merchant gets its events. Each change writes a line of the audit log in its transaction, and
//! workers apply it within five seconds.

mod present;
mod request;

use actix_web::HttpResponse;
use diesel::PgConnection;
use khata_crypto::Keyring;
use khata_domain::events::{
    DeliveryState, DisabledBy, EndpointId, EndpointKey, EventId, EventName,
};
use khata_present::{Event, endpoint_event};
use khata_store::audit::{self, Actor, Changes};
use khata_store::webhooks::{
    self, DeliveryFilter, Endpoint, EndpointSettings, MAX_ENDPOINTS, shown_url,
};
use serde_json::json;

pub(crate) use self::present::{WebhookEndpoint, WebhookEndpointList};

use self::present::Shown;
use self::request::{ChangeRequest, CreateRequest, NewSecret, read_nothing};
use crate::context::RequestContext;
use crate::decode::{number_or, parameter};
use crate::deliveries::{self, DeliveryPage};
use crate::error::{ApiError, FaultCode, Faults, NO_ENDPOINT};
use crate::present::List;
use crate::{reply, schema};

/// Deliveries of a page.
const MAX_DELIVERIES: i64 = 100;
const DEFAULT_DELIVERIES: i64 = 20;
/// Times that a call tries to change an endpoint which other calls change at the same moment.
const TRIES: u8 = 3;

/// Create a webhook endpoint
///
/// Events from now on are sent to it. The reply shows `secret`, with which you verify the webhooks: Khata shows it in this reply and
/// in that of *rotate secret* only. At most 20 endpoints.
#[utoipa::path(post, path = "/webhook-endpoints", operation_id = "createWebhookEndpoint", tag = "Webhook endpoints",
    request_body(content((schema::CreateEndpointForm = "application/x-www-form-urlencoded"), (schema::CreateEndpointJson = "application/json"))),
    responses((status = 200, description = "The endpoint, with its secret.", body = WebhookEndpoint)))]
pub(crate) async fn create(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let request = CreateRequest::read(&body, context.state.sandbox_mode)?;
    let (actor, keyring) = (context.actor()?, context.state.keyring.clone());
    let merchant = context.merchant_id();
    let key = EndpointKey {
        merchant,
        id: EndpointId::new(),
    };
    let work = move |connection: &mut PgConnection| {
        let settings = request.settings();
        let sealed = settings.seal(&keyring, key);
        let url = shown_url(&settings.url);
        let new = request.to_store(key.id, &url, &sealed);
        let inserted = webhooks::insert(connection, merchant, &new, MAX_ENDPOINTS)?;
        let endpoint = inserted.ok_or_else(too_many)?;
        let shown = Shown::of(&endpoint, &settings);
        let mut changes = Changes::between(&json!({}), &shown.to_audit());
        changes.add_secret("secret");
        for (name, is_set) in [
            ("signing_key", settings.signing_key.is_some()),
            ("credentials", settings.credentials.is_some()),
        ] {
            if is_set {
                changes.add_secret(name);
            }
        }
        record(connection, key, &actor, "webhook.add", &endpoint, &changes)?;
        Ok((shown.with_secret().to_json()?, ()))
    };
    let idempotent = context.idempotent()?;
    let (reply, _) = idempotent.write_reply("insert endpoint", work).await?;
    Ok(reply)
}

/// List webhook endpoints
///
/// All of them, the oldest first.
#[utoipa::path(get, path = "/webhook-endpoints", operation_id = "listWebhookEndpoints", tag = "Webhook endpoints",
    responses((status = 200, description = "The endpoints.", body = WebhookEndpointList)))]
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let merchant = context.merchant_id();
    let read = context.database.read("list endpoints", move |connection| {
        webhooks::all(connection, Some(merchant))
    });
    let keyring = &context.state.keyring;
    let endpoints = read.await?;
    let shown = endpoints.iter().map(|endpoint| {
        let settings = open(keyring, endpoint)?;
        Ok(Shown::of(endpoint, &settings).present())
    });
    let shown: Vec<WebhookEndpoint> = shown.collect::<Result<_, ApiError>>()?;
    let total = i64::try_from(shown.len()).unwrap_or(i64::MAX);
    reply::json(&List::new(shown, 0, total))
}

/// Get a webhook endpoint
///
/// `failing_since` and `last_success_at` show how the calls go.
#[utoipa::path(get, path = "/webhook-endpoints/{endpoint_id}", operation_id = "getWebhookEndpoint",
    tag = "Webhook endpoints", params(schema::EndpointPath),
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint)))]
pub(crate) async fn get(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let key = key_of(&context)?;
    let read = context.database.read("find endpoint", move |connection| {
        webhooks::find(connection, key)
    });
    let endpoint = read.await?.ok_or(NO_ENDPOINT)?;
    let settings = open(&context.state.keyring, &endpoint)?;
    reply::json(&Shown::of(&endpoint, &settings).present())
}

/// Change a webhook endpoint
///
/// Changes only the fields that are sent. Deliveries that are open already are made with the new settings, but the payload of one
/// whose first attempt failed stays.
#[utoipa::path(post, path = "/webhook-endpoints/{endpoint_id}", operation_id = "changeWebhookEndpoint",
    tag = "Webhook endpoints", params(schema::EndpointPath),
    request_body(content((schema::ChangeEndpointForm = "application/x-www-form-urlencoded"), (schema::ChangeEndpointJson = "application/json"))),
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint)))]
pub(crate) async fn change(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let request = ChangeRequest::read(&body, context.state.sandbox_mode)?;
    write(&context, "change endpoint", move |connection, call| {
        change_settings(connection, call, "webhook.set", |endpoint, settings| {
            Ok(request.apply(endpoint, settings))
        })?
        .to_json()
    })
    .await
}

/// Replace the secret of a webhook endpoint
///
/// The reply shows the new `secret`. The secret before signs beside it for `previous_secret_hours`, so that you can change the
/// receiver meanwhile. With `signature` `v1a` the key pair is replaced in place of the secret: the reply shows the new `public_key`.
#[utoipa::path(post, path = "/webhook-endpoints/{endpoint_id}/rotate-secret", operation_id = "rotateWebhookEndpointSecret",
    tag = "Webhook endpoints", params(schema::EndpointPath),
    request_body(content((schema::RotateSecretBody = "application/x-www-form-urlencoded"), (schema::RotateSecretBody = "application/json"))),
    responses((status = 200, description = "The endpoint, with its new secret.", body = WebhookEndpoint)))]
pub(crate) async fn rotate_secret(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let new = NewSecret::read(&body, context.state.metrics.database_time())?;
    write(&context, "rotate secret", move |connection, call| {
        let action = "webhook.rotate-secret";
        let shown = change_settings(connection, call, action, |_, settings| new.apply(settings))?;
        if new.is_secret() {
            return shown.with_secret().to_json();
        }
        shown.to_json()
    })
    .await
}

/// Enable a webhook endpoint
///
/// The deliveries that were open when it was disabled go on. The events since then have none: list them with *list events*, and
/// replay those that you need.
#[utoipa::path(post, path = "/webhook-endpoints/{endpoint_id}/enable", operation_id = "enableWebhookEndpoint",
    tag = "Webhook endpoints", params(schema::EndpointPath),
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint)))]
pub(crate) async fn enable(context: RequestContext) -> Result<HttpResponse, ApiError> {
    switch(context, true).await
}

/// Disable a webhook endpoint
///
/// Khata makes no more calls to it, and sends a `WEBHOOK_ENDPOINT_DISABLED` to your other endpoints. Events that happen meanwhile
/// are not delivered to it.
#[utoipa::path(post, path = "/webhook-endpoints/{endpoint_id}/disable", operation_id = "disableWebhookEndpoint",
    tag = "Webhook endpoints", params(schema::EndpointPath),
    responses((status = 200, description = "The endpoint.", body = WebhookEndpoint)))]
pub(crate) async fn disable(context: RequestContext) -> Result<HttpResponse, ApiError> {
    switch(context, false).await
}

/// Test a webhook endpoint
///
/// Sends a `WEBHOOK_ENDPOINT_TEST` to the endpoint, signed and retried like every other event. *List the deliveries of an event* shows
/// what became of it.
#[utoipa::path(post, path = "/webhook-endpoints/{endpoint_id}/test", operation_id = "testWebhookEndpoint",
    tag = "Webhook endpoints", params(schema::EndpointPath),
    responses((status = 200, description = "The event that is sent.", body = Event)))]
pub(crate) async fn test(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    read_nothing(&context.receive().await?)?;
    let reply = write(&context, "test endpoint", move |connection, call| {
        let endpoint = webhooks::find(connection, call.key)?.ok_or(NO_ENDPOINT)?;
        let event = webhooks::test(connection, call.key)?.ok_or(ApiError::EndpointDisabled)?;
        let (action, nothing) = ("webhook.test", Changes::default());
        record(
            connection, call.key, call.actor, action, &endpoint, &nothing,
        )?;
        Ok(endpoint_event(&event, Some(&endpoint)).to_json()?)
    });
    let reply = reply.await?;
    context.signal_deliveries();
    Ok(reply)
}

/// Delete a webhook endpoint
///
/// Khata makes no more calls to it, and deletes its secrets and deliveries.
#[utoipa::path(post, path = "/webhook-endpoints/{endpoint_id}/delete", operation_id = "deleteWebhookEndpoint",
    tag = "Webhook endpoints", params(schema::EndpointPath),
    responses((status = 200, description = "The endpoint as it was, with the status `DELETED`.", body = WebhookEndpoint)))]
pub(crate) async fn delete(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    read_nothing(&context.receive().await?)?;
    write(&context, "delete endpoint", move |connection, call| {
        let endpoint = webhooks::find(connection, call.key)?.ok_or(NO_ENDPOINT)?;
        if !webhooks::delete(connection, call.key)? {
            return Err(NO_ENDPOINT);
        }
        let settings = open(call.keyring, &endpoint)?;
        let shown = Shown::of(&endpoint, &settings);
        let changes = Changes::between(&shown.to_audit(), &json!({}));
        record(
            connection,
            call.key,
            call.actor,
            "webhook.delete",
            &endpoint,
            &changes,
        )?;
        shown.deleted().to_json()
    })
    .await
}

/// List the deliveries to a webhook endpoint
///
/// Those of the newest events first. Call again with the id of the last event that you have as `before`.
#[utoipa::path(get, path = "/webhook-endpoints/{endpoint_id}/deliveries", operation_id = "listEndpointDeliveries",
    tag = "Webhook endpoints", params(schema::EndpointPath, schema::DeliveriesQuery),
    responses((status = 200, description = "A page.", body = DeliveryPage)))]
pub(crate) async fn deliveries(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let query: schema::DeliveriesQuery = context.query().ok_or_else(|| {
        ApiError::field(
            "query",
            FaultCode::Duplicate,
            "may have state, before and limit once each",
        )
    })?;
    let mut faults = Faults::default();
    let (before, state) = (query.before.as_deref(), query.state.as_deref());
    let reason = "must be the id of an event: evt_ and 26 characters";
    let before = parameter("before", before, &mut faults, EventId::parse, reason);
    let reason = "must be OPEN, DELIVERED or GIVEN_UP";
    let state = parameter("state", state, &mut faults, DeliveryState::parse, reason);
    let (limit, range) = (query.limit.as_deref(), 1..=MAX_DELIVERIES);
    let limit = number_or("limit", limit, DEFAULT_DELIVERIES, &range, &mut faults);
    faults.check()?;
    let key = key_of(&context)?;
    let read = context.database.read("list deliveries", move |connection| {
        if webhooks::find(connection, key)?.is_none() {
            return Ok(None);
        }
        let filter = DeliveryFilter {
            endpoint: Some(key.id),
            state,
            ..DeliveryFilter::default()
        };
        deliveries::read(connection, key.merchant, filter, before, limit).map(Some)
    });
    let page = read.await?.ok_or(NO_ENDPOINT)?;
    reply::json(&page.present(&context.state.keyring)?)
}

/// Enables or disables the endpoint. One that is so already stays as it is.
async fn switch(mut context: RequestContext, enable: bool) -> Result<HttpResponse, ApiError> {
    read_nothing(&context.receive().await?)?;
    let reply = write(&context, "switch endpoint", move |connection, call| {
        let current = webhooks::find(connection, call.key)?.ok_or(NO_ENDPOINT)?;
        let (switched, action) = if enable {
            (webhooks::enable(connection, call.key)?, "webhook.enable")
        } else {
            let by = DisabledBy::Merchant;
            (
                webhooks::disable(connection, call.key, by)?,
                "webhook.disable",
            )
        };
        if let Some(endpoint) = &switched {
            let changes = Changes::of("enabled", !enable, enable);
            record(connection, call.key, call.actor, action, endpoint, &changes)?;
        }
        let endpoint = switched.unwrap_or(current);
        let settings = open(call.keyring, &endpoint)?;
        Shown::of(&endpoint, &settings).to_json()
    });
    let reply = reply.await?;
    // An enabled endpoint gets its open deliveries, and the event of a disabled one goes to the others.
    context.signal_deliveries();
    Ok(reply)
}

/// A call that changes an endpoint.
struct Call<'a> {
    key: EndpointKey,
    actor: &'a Actor,
    keyring: &'a Keyring,
}

/// Changes the endpoint that the path names in a transaction. `work` returns the body of the reply.
async fn write(
    context: &RequestContext,
    summary: &'static str,
    work: impl FnOnce(&mut PgConnection, &Call<'_>) -> Result<Vec<u8>, ApiError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let (key, actor) = (key_of(context)?, context.actor()?);
    let keyring = context.state.keyring.clone();
    let work = move |connection: &mut PgConnection| {
        let call = Call {
            key,
            actor: &actor,
            keyring: &keyring,
        };
        Ok((work(connection, &call)?, ()))
    };
    let (reply, _) = context.idempotent()?.write_reply(summary, work).await?;
    Ok(reply)
}

/// Changes the settings of an endpoint. `apply` makes the change and names the secrets in it. Without a difference the endpoint stays as
/// it is.
fn change_settings(
    connection: &mut PgConnection,
    call: &Call<'_>,
    action: &str,
    apply: impl Fn(&mut Endpoint, &mut EndpointSettings) -> Result<Vec<&'static str>, ApiError>,
) -> Result<Shown, ApiError> {
    for _ in 0..TRIES {
        let current = webhooks::find(connection, call.key)?.ok_or(NO_ENDPOINT)?;
        let mut settings = open(call.keyring, &current)?;
        let before = Shown::of(&current, &settings);
        let mut endpoint = current.clone();
        let secrets = apply(&mut endpoint, &mut settings)?;
        let after = Shown::of(&endpoint, &settings);
        let mut changes = Changes::between(&before.to_audit(), &after.to_audit());
        for secret in secrets {
            changes.add_secret(secret);
        }
        if changes.is_empty() {
            return Ok(before);
        }
        let sealed = settings.seal(call.keyring, call.key);
        let names = (endpoint.event_names != current.event_names).then(|| names_of(&endpoint));
        let change = request::to_store(&endpoint, names.as_deref(), &sealed);
        // The worker that owns the endpoint does not change its version; other calls do.
        let stored = webhooks::change(connection, call.key, current.version, &change)?;
        if let Some(endpoint) = stored {
            record(
                connection, call.key, call.actor, action, &endpoint, &changes,
            )?;
            return Ok(Shown::of(&endpoint, &settings));
        }
    }
    Err(ApiError::TooMuchInProgress)
}

/// The names of the endpoint's events; a call has set them, so that this release knows them all.
fn names_of(endpoint: &Endpoint) -> Vec<EventName> {
    let names = endpoint.event_names.iter();
    names.filter_map(|name| EventName::parse(name)).collect()
}

/// Writes the line of the audit log for a change.
fn record(
    connection: &mut PgConnection,
    key: EndpointKey,
    actor: &Actor,
    action: &str,
    endpoint: &Endpoint,
    changes: &Changes,
) -> Result<(), ApiError> {
    let (subject, about) = (key.id.to_string(), json!({ "url": endpoint.url }));
    audit::record(
        connection,
        key.merchant,
        actor,
        action,
        &subject,
        about,
        changes,
    )?;
    Ok(())
}

/// Decrypts the settings of an endpoint.
pub(crate) fn open(keyring: &Keyring, endpoint: &Endpoint) -> Result<EndpointSettings, ApiError> {
    endpoint.settings(keyring).map_err(|_| {
        tracing::error!(endpoint_id = %endpoint.id, "cannot decrypt a webhook endpoint; check that the keyring holds its key");
        ApiError::Internal
    })
}

/// The endpoint that the path names.
fn key_of(context: &RequestContext) -> Result<EndpointKey, ApiError> {
    Ok(EndpointKey {
        merchant: context.merchant_id(),
        id: EndpointId::parse(context.id()).ok_or_else(|| context.not_found(NO_ENDPOINT))?,
    })
}

fn too_many() -> ApiError {
    let reason = format!("would be one endpoint more than {MAX_ENDPOINTS}: delete one first");
    ApiError::field(schema::ENDPOINT_URL.name, FaultCode::Limit, reason)
}
