//! Webhook endpoints as merchants see them, and as the audit log compares them.

use khata_domain::events::{DisabledBy, Payload};
use khata_domain::words;
use khata_present::schema::time;
use khata_store::webhooks::{Endpoint, EndpointSettings, PreviousSecret};
use khata_webhooks::WebhookSecret;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::present::{List, described};
use crate::reply;
use crate::schema::{self, ALL_EVENTS, Signature};

words! {
    /// Whether Khata calls an endpoint.
    EndpointStatus {
        Enabled = "ENABLED",
        Disabled = "DISABLED",
        Deleted = "DELETED",
    }
}

/// A webhook endpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookEndpoint {
    #[schema(value_type = schema::WebhookEndpointObject)]
    object: &'static str,
    #[schema(
        pattern = "^whe_[0-9a-v]{26}$",
        example = "whe_01k82u7s7aeqraoh1tia1a3hc8"
    )]
    id: String,
    /// Without its query, which may hold a token.
    #[schema(example = "https://hooks.example.com/khata")]
    url: String,
    #[schema(value_type = EndpointStatusWord)]
    status: EndpointStatus,
    /// The events that the endpoint gets.
    #[schema(value_type = Vec<schema::EventChoice>)]
    event_names: Vec<String>,
    #[schema(value_type = schema::PayloadWord)]
    payload: Payload,
    /// Whether the events of an account come in the order of its versions.
    is_ordered: bool,
    /// Most calls at once.
    #[schema(minimum = 1, maximum = 256, example = 32)]
    concurrency: i16,
    /// Most calls in a second; 0: no limit.
    #[schema(minimum = 0, maximum = 10_000, example = 0)]
    calls_per_second: i32,
    /// Whether *create accounts* may name another URL of this scheme, host and port.
    allow_url_per_account: bool,
    #[schema(value_type = schema::SignatureWord)]
    signature: Signature,
    /// The key that verifies signatures `v1a`: `whpk_` and base64; `null` with `signature` `v1`. *Get the public keys* has it, too.
    #[schema(required, example = json!(null))]
    public_key: Option<String>,
    /// User name of the HTTP Basic credentials that Khata sends; `null` if it sends none.
    #[schema(required, example = json!(null))]
    basic_user: Option<String>,
    /// Until when the secret before the last rotation signs, too; `null` if there is none.
    #[schema(required, format = DateTime, example = json!(null))]
    previous_secret_until: Option<String>,
    /// Until when the key pair before the last rotation signs, too; `null` if there is none.
    #[schema(required, format = DateTime, example = json!(null))]
    previous_public_key_until: Option<String>,
    #[schema(required, format = DateTime, example = json!(null))]
    disabled_at: Option<String>,
    #[schema(required, value_type = Option<khata_present::DisabledBy>, example = json!(null))]
    disabled_by: Option<DisabledBy>,
    /// The first failed call since the last success; `null` while calls succeed. After five days without a success Khata disables
    /// the endpoint.
    #[schema(required, format = DateTime, example = json!(null))]
    failing_since: Option<String>,
    /// To about ten seconds.
    #[schema(required, format = DateTime, example = json!(null))]
    last_success_at: Option<String>,
    #[schema(format = DateTime)]
    date_created: String,
    /// Time of the last change of the settings.
    #[schema(format = DateTime)]
    last_updated: String,
    /// The secret that signs the webhooks: `whsec_` and base64. Only the calls that make a secret show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")]
    secret: Option<String>,
}

khata_present::named_schema! {
    pub(crate) WebhookEndpointList = described::<List<WebhookEndpoint>>("Webhook endpoints.");
    pub(crate) EndpointStatusWord = khata_present::schema::enum_of("`ENABLED`: Khata sends the events to it. `DISABLED`: it makes no calls, and new events have no delivery to it. `DELETED`: in the reply that deletes it.", EndpointStatus::ALL.iter().map(|one| one.as_str()));
}

/// An endpoint, and its secret apart from what every reply shows.
pub(super) struct Shown {
    endpoint: WebhookEndpoint,
    secret: String,
}

impl Shown {
    pub(super) fn of(endpoint: &Endpoint, settings: &EndpointSettings) -> Self {
        let event_names = if endpoint.event_names.is_empty() {
            vec![ALL_EVENTS.to_owned()]
        } else {
            endpoint.event_names.clone()
        };
        let key = settings.signing_key.as_deref();
        let public_key = key.and_then(|key| WebhookSecret::parse(key).ok()?.public_key());
        let status = match endpoint.disabled_at {
            None => EndpointStatus::Enabled,
            Some(_) => EndpointStatus::Disabled,
        };
        let signature = match key {
            None => Signature::V1,
            Some(_) => Signature::V1a,
        };
        let credentials = settings.credentials.as_ref();
        let until = |previous: &Option<PreviousSecret>| previous.as_ref().map(|it| time(it.until));
        let shown = WebhookEndpoint {
            object: "webhook_endpoint",
            id: endpoint.id.to_string(),
            url: endpoint.url.clone(),
            status,
            event_names,
            payload: endpoint.payload,
            is_ordered: endpoint.is_ordered,
            concurrency: endpoint.concurrency,
            calls_per_second: endpoint.calls_per_second.unwrap_or(0),
            allow_url_per_account: endpoint.allows_url_per_account,
            signature,
            public_key,
            basic_user: credentials.map(|credentials| credentials.user.clone()),
            previous_secret_until: until(&settings.previous),
            previous_public_key_until: until(&settings.previous_signing_key),
            disabled_at: endpoint.disabled_at.map(time),
            disabled_by: endpoint.disabled_by,
            failing_since: endpoint.failing_since.map(time),
            last_success_at: endpoint.last_success_at.map(time),
            date_created: time(endpoint.created_at),
            last_updated: time(endpoint.updated_at),
            secret: None,
        };
        Self {
            endpoint: shown,
            secret: settings.secret.clone(),
        }
    }

    /// Shows the secret, too.
    pub(super) fn with_secret(mut self) -> Self {
        self.endpoint.secret = Some(std::mem::take(&mut self.secret));
        self
    }

    /// Shows the endpoint as deleted.
    pub(super) fn deleted(mut self) -> Self {
        self.endpoint.status = EndpointStatus::Deleted;
        self
    }

    pub(super) fn present(self) -> WebhookEndpoint {
        self.endpoint
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, ApiError> {
        reply::to_json(&self.endpoint)
    }

    /// The settings that the audit log compares. Secrets are left out.
    pub(super) fn to_audit(&self) -> Value {
        let shown = &self.endpoint;
        json!({
            "url": shown.url, "event_names": shown.event_names, "payload": shown.payload,
            "is_ordered": shown.is_ordered, "concurrency": shown.concurrency,
            "calls_per_second": shown.calls_per_second, "allow_url_per_account": shown.allow_url_per_account,
        })
    }
}
