//! Deliveries of events to webhook endpoints as merchants see them, with their attempts.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use khata_crypto::{Keyring, Purpose};
use khata_domain::MerchantId;
use khata_domain::events::{DeliveryState, EventId, EventName};
use khata_present::schema::time;
use khata_store::webhooks::{self, AttemptRow, DeliveryFilter, DeliveryRow};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::present::{Page, described};
use crate::schema;

/// The delivery of an event to a webhook endpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookDelivery {
    #[schema(value_type = schema::WebhookDeliveryObject)]
    object: &'static str,
    #[schema(pattern = "^evt_[0-9a-v]{26}$")]
    event_id: String,
    #[schema(value_type = khata_present::EventName)]
    event_name: EventName,
    #[schema(pattern = "^whe_[0-9a-v]{26}$")]
    endpoint_id: String,
    /// The URL that the newest call went to, without its query: the endpoint's, or the account's own. `null` before the first call has
    /// ended.
    #[schema(required, example = "https://hooks.example.com/khata")]
    url: Option<String>,
    #[schema(value_type = schema::DeliveryStateWord)]
    state: DeliveryState,
    #[schema(format = DateTime)]
    date_created: String,
    #[schema(required, format = DateTime)]
    date_delivered: Option<String>,
    /// When the next attempt begins; `null` if none follows, or if one is in progress.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    /// The first one first. A number that is missing is an attempt whose result was lost, so that the endpoint may have got it, or
    /// one that delivered the event before a replay.
    attempts: Vec<DeliveryAttempt>,
}

/// One call of an endpoint.
#[derive(Serialize, ToSchema)]
struct DeliveryAttempt {
    /// From 1; also in the header `khata-attempt`.
    #[schema(minimum = 1)]
    number: i16,
    #[schema(format = DateTime)]
    started_at: String,
    /// `null` while the attempt is in progress.
    #[schema(required, minimum = 0)]
    duration_ms: Option<i32>,
    /// The URL of the call, without its query: the endpoint's as it is now, or the account's own. `null` while the attempt is in progress,
    /// or if it made no call.
    #[schema(required, example = "https://hooks.example.com/khata")]
    url: Option<String>,
    /// HTTP status of the reply; `null` if there was none.
    #[schema(required, example = 500)]
    status: Option<i16>,
    /// Why the attempt failed: `status`, `timeout`, `connect`, `tls`, `dns`, `protocol`, `forbidden_address`, `forbidden_url`, or
    /// `no_body` if Khata could not make the body; `null` if it delivered the event, or is in progress.
    #[schema(required, example = "status")]
    failure: Option<String>,
    /// The reply's first 1,024 bytes, as text.
    #[schema(required)]
    reply: Option<String>,
}

khata_present::named_schema! {
    pub(crate) DeliveryPage = described::<Page<WebhookDelivery>>("Deliveries, that of the newest event first.");
}

/// Deliveries with their failed attempts, as they are stored.
pub(crate) struct StoredDeliveries {
    deliveries: Vec<(DeliveryRow, Vec<AttemptRow>)>,
    has_more: bool,
}

/// Reads at most `limit` deliveries of events before this one.
pub(crate) fn read(
    connection: &mut PgConnection,
    merchant: MerchantId,
    filter: DeliveryFilter,
    before: Option<EventId>,
    limit: i64,
) -> QueryResult<StoredDeliveries> {
    let mut rows = webhooks::deliveries(connection, merchant, filter, before, limit + 1)?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let mut deliveries = Vec::with_capacity(rows.len());
    for row in rows {
        // Most deliveries have one attempt, which delivered the event.
        let finished = i16::from(row.state == DeliveryState::Delivered);
        let attempts = if row.attempts > finished {
            webhooks::attempts(connection, row.key)?
        } else {
            Vec::new()
        };
        deliveries.push((row, attempts));
    }
    Ok(StoredDeliveries {
        deliveries,
        has_more,
    })
}

impl StoredDeliveries {
    /// Presents the page.
    pub(crate) fn present(self, keyring: &Keyring) -> Result<Page<WebhookDelivery>, ApiError> {
        let cursor = self.deliveries.last().map(|(row, _)| row.event_id);
        let deliveries = self.deliveries.into_iter();
        let list = deliveries.map(|(row, attempts)| present(keyring, &row, attempts));
        let list: Result<Vec<_>, ApiError> = list.collect();
        Ok(Page::new(list?, self.has_more, cursor))
    }
}

fn present(
    keyring: &Keyring,
    row: &DeliveryRow,
    failed: Vec<AttemptRow>,
) -> Result<WebhookDelivery, ApiError> {
    let text =
        |sealed: Option<&Vec<u8>>| sealed.map(|sealed| reply(keyring, row, sealed)).transpose();
    let url = |to_account_url| {
        let url = row.url_of(to_account_url, keyring);
        url.map_err(|_| unreadable(row.event_id))
    };
    let failed = failed.into_iter().map(|attempt| {
        Ok(DeliveryAttempt {
            number: attempt.number,
            started_at: time(attempt.started_at),
            duration_ms: attempt.latency_ms,
            url: url(attempt.to_account_url)?,
            status: attempt.status,
            reply: text(attempt.sealed_reply.as_ref())?,
            failure: Some(attempt.failure),
        })
    });
    let mut attempts: Vec<DeliveryAttempt> = failed.collect::<Result<_, ApiError>>()?;
    if let Some(delivered_at) = row.delivered_at {
        let taken = TimeDelta::milliseconds(row.latency_ms.unwrap_or(0).into());
        attempts.push(DeliveryAttempt {
            number: row.attempts,
            started_at: time(delivered_at - taken),
            duration_ms: row.latency_ms,
            url: url(row.to_account_url)?,
            status: row.status,
            failure: None,
            reply: text(row.sealed_reply.as_ref())?,
        });
    } else if let Some(started_at) = row.started_at {
        attempts.push(DeliveryAttempt {
            number: row.attempts,
            started_at: time(started_at),
            duration_ms: None,
            url: None,
            status: None,
            failure: None,
            reply: None,
        });
    }
    Ok(WebhookDelivery {
        object: "webhook_delivery",
        event_id: row.event_id.to_string(),
        event_name: row.event_name,
        endpoint_id: row.key.endpoint.to_string(),
        url: url(row.to_account_url)?,
        state: row.state,
        date_created: time(row.created_at),
        date_delivered: row.delivered_at.map(time),
        next_attempt_at: next_attempt(row).map(time),
        attempts,
    })
}

fn next_attempt(row: &DeliveryRow) -> Option<DateTime<Utc>> {
    let follows = row.state == DeliveryState::Open && row.started_at.is_none();
    follows.then_some(row.due_at)
}

/// Decrypts the start of an endpoint's reply.
fn reply(keyring: &Keyring, row: &DeliveryRow, sealed: &[u8]) -> Result<String, ApiError> {
    let (merchant, event) = (row.key.merchant, row.event_id);
    let plain = keyring.decrypt(merchant, event.0, Purpose::Delivery, sealed);
    let plain = plain.map_err(|_| unreadable(event))?;
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

fn unreadable(event: EventId) -> ApiError {
    tracing::error!(event_id = %event, "cannot decrypt an endpoint's reply, or the URL of an account; check that the keyring holds its key");
    ApiError::Internal
}

#[cfg(test)]
mod tests {
    use khata_crypto::KeyringFile;
    use khata_domain::AccountId;
    use khata_domain::events::EndpointId;
    use khata_store::webhooks::{AccountUrl, DeliveryKey};
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_686_058_100 + second, 0).unwrap()
    }

    /// A delivery that has had no attempt.
    fn row() -> DeliveryRow {
        let merchant = MerchantId::new();
        DeliveryRow {
            key: DeliveryKey {
                merchant,
                endpoint: EndpointId::new(),
                subject: uuid::Uuid::now_v7(),
                version: 1,
            },
            event_id: EventId::new(),
            event_name: EventName::Active,
            state: DeliveryState::Open,
            attempts: 0,
            created_at: at(0),
            due_at: at(5),
            started_at: None,
            delivered_at: None,
            status: None,
            latency_ms: None,
            sealed_reply: None,
            endpoint_url: "https://hooks.example.com/khata".to_owned(),
            to_account_url: None,
            sealed_webhook_url: None,
        }
    }

    fn shown(keyring: &Keyring, row: &DeliveryRow, failed: Vec<AttemptRow>) -> Value {
        serde_json::to_value(present(keyring, row, failed).unwrap()).unwrap()
    }

    #[test]
    fn a_delivery_shows_its_failed_attempts_and_the_last_one() {
        let keyring = Keyring::from(&KeyringFile::generate());
        let mut row = row();
        let own = AccountUrl {
            endpoint: row.key.endpoint,
            url: "https://hooks.example.com/orders/42?token=a".to_owned(),
        };
        let account = AccountId(row.key.subject);
        row.sealed_webhook_url = Some(own.seal(&keyring, row.key.merchant, account));
        let seal = |text: &[u8]| {
            Some(keyring.encrypt(row.key.merchant, row.event_id.0, Purpose::Delivery, text))
        };
        let failed = AttemptRow {
            key: row.key,
            number: 1,
            started_at: at(1),
            status: Some(503),
            failure: "status".to_owned(),
            latency_ms: Some(12),
            sealed_reply: seal(b"not \xff now"),
            to_account_url: Some(true),
        };
        let (good, bad) = (seal(b"ok"), failed);
        let waiting = shown(&keyring, &row, vec![bad.clone()]);
        assert_eq!(waiting["next_attempt_at"], "2023-06-06T13:28:25Z");
        assert_eq!(
            waiting["attempts"],
            json!([{
                "number": 1, "started_at": "2023-06-06T13:28:21Z", "duration_ms": 12,
                "url": "https://hooks.example.com/orders/42?***", "status": 503, "failure": "status", "reply": "not \u{fffd} now",
            }])
        );
        row.attempts = 3;
        row.started_at = Some(at(7));
        let calling = shown(&keyring, &row, vec![bad.clone()]);
        assert_eq!(calling["next_attempt_at"], Value::Null);
        assert_eq!(calling["attempts"][1]["number"], 3);
        assert_eq!(calling["attempts"][1]["duration_ms"], Value::Null);
        assert_eq!(calling["attempts"][1]["url"], Value::Null);
        row.started_at = None;
        row.state = DeliveryState::Delivered;
        row.delivered_at = Some(at(9));
        row.status = Some(204);
        row.latency_ms = Some(2_000);
        row.sealed_reply = good;
        row.to_account_url = Some(false);
        let delivered = shown(&keyring, &row, vec![bad]);
        assert_eq!(delivered["state"], "DELIVERED");
        assert_eq!(delivered["date_delivered"], "2023-06-06T13:28:29Z");
        assert_eq!(delivered["next_attempt_at"], Value::Null);
        assert_eq!(
            delivered["attempts"][1],
            json!({
                "number": 3, "started_at": "2023-06-06T13:28:27Z", "duration_ms": 2_000,
                "url": "https://hooks.example.com/khata", "status": 204, "failure": null, "reply": "ok",
            })
        );
    }

    #[test]
    fn a_reply_that_cannot_be_decrypted_is_an_error() {
        let [keyring, other] = [(); 2].map(|()| Keyring::from(&KeyringFile::generate()));
        let mut row = row();
        row.state = DeliveryState::Delivered;
        row.delivered_at = Some(at(9));
        let sealed = other.encrypt(row.key.merchant, row.event_id.0, Purpose::Delivery, b"ok");
        row.sealed_reply = Some(sealed);
        assert!(present(&keyring, &row, Vec::new()).is_err());
    }
}
