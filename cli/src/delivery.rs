//! Deliveries of events to webhook endpoints, as text and as JSON.

use diesel::{PgConnection, QueryResult};
use khata_config::SandboxSettings;
use khata_crypto::{Keyring, KeyringSettings, Purpose};
use khata_domain::events::{DeliveryState, EventId};
use khata_store::webhooks::{self, AttemptRow, DeliveryKey, DeliveryRow};
use serde_json::{Value, json};

use crate::output::{self, NONE, Table, or_none, time};

/// Text in place of a reply that the keyring cannot decrypt.
const UNREADABLE: &str = "(cannot be decrypted: its key is missing from the keyring)";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReplyOptions {
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

impl ReplyOptions {
    pub(crate) fn is_sandbox(&self) -> bool {
        self.sandbox.sandbox_mode
    }

    /// Loads the keyring, which decrypts endpoints' replies.
    pub(crate) fn keyring(&self) -> anyhow::Result<Keyring> {
        Ok(self.keyring.load(self.sandbox.sandbox_mode)?)
    }
}

/// A delivery with its failed attempts.
pub(crate) struct Delivery {
    pub(crate) row: DeliveryRow,
    attempts: Vec<Attempt>,
    /// The start of the reply that accepted the event.
    reply: Option<String>,
    /// The URL that the newest call went to, without its query.
    url: Option<String>,
}

/// An attempt that failed.
struct Attempt {
    row: AttemptRow,
    /// The URL of the call, without its query; `None`: there was no call.
    url: Option<String>,
    /// The start of the reply.
    reply: Option<String>,
}

impl Delivery {
    /// Reads the attempts of a delivery.
    pub(crate) fn read(
        connection: &mut PgConnection,
        keyring: &Keyring,
        row: DeliveryRow,
    ) -> QueryResult<Self> {
        let event = row.event_id;
        let url = |to_account_url| {
            let url = row.url_of(to_account_url, keyring);
            url.unwrap_or_else(|_| Some(UNREADABLE.to_owned()))
        };
        let attempts = webhooks::attempts(connection, row.key)?;
        let attempts = attempts.into_iter().map(|row| Attempt {
            reply: decrypt(keyring, row.key, event, row.sealed_reply.as_deref()),
            url: url(row.to_account_url),
            row,
        });
        Ok(Self {
            attempts: attempts.collect(),
            reply: decrypt(keyring, row.key, event, row.sealed_reply.as_deref()),
            url: url(row.to_account_url),
            row,
        })
    }

    /// Returns the status, duration, failure and reply of the attempt that decided last; `None` before the first one ended.
    pub(crate) fn newest_result(&self) -> Option<NewestResult<'_>> {
        if self.row.state == DeliveryState::Delivered {
            return Some(NewestResult {
                failure: None,
                status: self.row.status,
                latency_ms: self.row.latency_ms,
                reply: self.reply.as_deref(),
            });
        }
        self.attempts.last().map(|attempt| NewestResult {
            failure: Some(&attempt.row.failure),
            status: attempt.row.status,
            latency_ms: attempt.row.latency_ms,
            reply: attempt.reply.as_deref(),
        })
    }

    pub(crate) fn json(&self) -> Value {
        let attempts: Vec<Value> = self.attempts.iter().map(Attempt::json).collect();
        let mut document = json_of(&self.row);
        document["url"] = json!(self.url);
        document["reply"] = json!(self.reply);
        document["failed_attempts"] = attempts.into();
        document
    }

    /// Returns the delivery's line, and below it its failed attempts with the start of each reply.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{} {} {}",
            self.row.event_id, self.row.event_name, self.row.key.endpoint
        );
        let mut facts = Table::facts()
            .fact("url", or_none(self.url.as_ref()))
            .fact("state", self.row.state)
            .fact("attempts", self.row.attempts)
            .fact("status", or_none(self.row.status))
            .fact("duration", milliseconds(self.row.latency_ms))
            .fact(next_name(&self.row), next(&self.row));
        if let Some(reply) = self.reply.as_deref().filter(|reply| !reply.is_empty()) {
            facts = facts.fact("reply", one_line(reply));
        }
        for attempt in &self.attempts {
            let mut text = attempt.text();
            if let Some(url) = attempt.url.as_ref().filter(|_| attempt.url != self.url) {
                text = format!("{text} (to {url})");
            }
            facts = facts.fact(&format!("attempt {}", attempt.row.number), text);
        }
        text += "\n";
        text += &facts.indented(2);
        text
    }
}

/// The result of an attempt.
pub(crate) struct NewestResult<'a> {
    /// Why it failed, one word.
    pub(crate) failure: Option<&'a str>,
    pub(crate) status: Option<i16>,
    pub(crate) latency_ms: Option<i32>,
    pub(crate) reply: Option<&'a str>,
}

impl NewestResult<'_> {
    /// Returns `status 500, 12 ms: the reply` or `timeout, 10000 ms`.
    pub(crate) fn text(&self) -> String {
        let what = match (self.status, self.failure) {
            (Some(status), _) => format!("status {status}"),
            (None, failure) => failure.unwrap_or(NONE).to_owned(),
        };
        let reply = self.reply.filter(|reply| !reply.is_empty());
        let reply = reply.map(|reply| format!(": {}", one_line(reply)));
        format!(
            "{what}, {}{}",
            milliseconds(self.latency_ms),
            reply.unwrap_or_default()
        )
    }
}

impl Attempt {
    fn text(&self) -> String {
        let result = NewestResult {
            failure: Some(&self.row.failure),
            status: self.row.status,
            latency_ms: self.row.latency_ms,
            reply: self.reply.as_deref(),
        };
        format!("{} {}", time(self.row.started_at), result.text())
    }

    fn json(&self) -> Value {
        json!({
            "number": self.row.number,
            "started_at": time(self.row.started_at),
            "failure": self.row.failure,
            "status": self.row.status,
            "duration_ms": self.row.latency_ms,
            "url": self.url,
            "reply": self.reply,
        })
    }
}

fn decrypt(
    keyring: &Keyring,
    key: DeliveryKey,
    event: EventId,
    sealed: Option<&[u8]>,
) -> Option<String> {
    let decrypted = keyring.decrypt(key.merchant, event.0, Purpose::Delivery, sealed?);
    Some(decrypted.map_or_else(
        |_| UNREADABLE.to_owned(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    ))
}

/// Returns a line for each delivery.
pub(crate) fn table(rows: &[DeliveryRow]) -> String {
    let headings = [
        "EVENT",
        "TYPE",
        "ENDPOINT",
        "STATE",
        "ATTEMPTS",
        "STATUS",
        "DURATION",
        "DELIVERED OR NEXT",
    ];
    let rows = rows.iter().map(|row| {
        [
            row.event_id.to_string(),
            row.event_name.to_string(),
            row.key.endpoint.to_string(),
            row.state.to_string(),
            row.attempts.to_string(),
            or_none(row.status),
            milliseconds(row.latency_ms),
            next(row),
        ]
    });
    Table::rows(headings, rows).to_string()
}

/// Returns the delivery without its replies, which only the keyring decrypts.
pub(crate) fn json_of(row: &DeliveryRow) -> Value {
    let is_open = row.state == DeliveryState::Open;
    json!({
        "event_id": row.event_id.to_string(),
        "event_name": row.event_name.as_str(),
        "endpoint_id": row.key.endpoint.to_string(),
        "state": row.state.as_str(),
        "attempts": row.attempts,
        "created_at": time(row.created_at),
        "attempt_began_at": row.started_at.map(time),
        "next_attempt_at": (is_open && row.started_at.is_none()).then(|| time(row.due_at)),
        "delivered_at": row.delivered_at.map(time),
        "status": row.status,
        "duration_ms": row.latency_ms,
    })
}

fn next_name(row: &DeliveryRow) -> &'static str {
    match row.state {
        DeliveryState::Open => "next attempt",
        _ => "delivered",
    }
}

fn next(row: &DeliveryRow) -> String {
    match (row.state, row.started_at) {
        (DeliveryState::Open, Some(at)) => format!("in progress since {}", time(at)),
        (DeliveryState::Open, None) => format!("at {}", time(row.due_at)),
        _ => or_none(row.delivered_at.map(time)),
    }
}

fn milliseconds(latency_ms: Option<i32>) -> String {
    or_none(latency_ms.map(|ms| output::milliseconds(ms.into())))
}

/// Joins the lines of a reply.
fn one_line(reply: &str) -> String {
    reply.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use khata_domain::MerchantId;
    use khata_domain::events::{EndpointId, EventName};
    use uuid::Uuid;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn delivery(state: DeliveryState) -> Delivery {
        let key = DeliveryKey {
            merchant: MerchantId::new(),
            endpoint: EndpointId::new(),
            subject: Uuid::now_v7(),
            version: 2,
        };
        let is_delivered = state == DeliveryState::Delivered;
        let row = DeliveryRow {
            key,
            event_id: EventId::new(),
            event_name: EventName::Active,
            state,
            attempts: 2,
            created_at: at("2026-11-29T10:00:00Z"),
            due_at: at("2026-11-29T10:01:05Z"),
            started_at: None,
            delivered_at: is_delivered.then(|| at("2026-11-29T10:00:06Z")),
            status: is_delivered.then_some(204),
            latency_ms: is_delivered.then_some(3),
            sealed_reply: None,
            endpoint_url: "https://shop.example/webhooks".into(),
            to_account_url: is_delivered.then_some(false),
            sealed_webhook_url: None,
        };
        let attempt = Attempt {
            row: AttemptRow {
                key,
                number: 1,
                started_at: at("2026-11-29T10:00:00Z"),
                status: Some(500),
                failure: "status".into(),
                latency_ms: Some(12),
                sealed_reply: None,
                to_account_url: Some(true),
            },
            url: Some("https://shop.example/orders/42".into()),
            reply: Some("no\n  database".into()),
        };
        Delivery {
            row,
            attempts: vec![attempt],
            url: Some("https://shop.example/webhooks".into()),
            reply: is_delivered.then(String::new),
        }
    }

    #[test]
    fn a_delivery_shows_its_failed_attempts_and_what_is_next() {
        let open = delivery(DeliveryState::Open);
        let text = open.text();
        for line in [
            "  state         OPEN",
            "  next attempt  at 2026-11-29T10:01:05Z",
            "  attempt 1     2026-11-29T10:00:00Z status 500, 12 ms: no database (to https://shop.example/orders/42)",
        ] {
            assert!(text.lines().any(|one| one == line), "{text}");
        }
        assert_eq!(open.json()["next_attempt_at"], "2026-11-29T10:01:05Z");
        let attempt = &open.json()["failed_attempts"][0];
        assert_eq!(attempt["status"], 500);
        assert_eq!(attempt["url"], "https://shop.example/orders/42");
        let newest = open.newest_result().unwrap();
        assert_eq!(newest.text(), "status 500, 12 ms: no database");

        let delivered = delivery(DeliveryState::Delivered);
        let newest = delivered.newest_result().unwrap();
        assert_eq!((newest.failure, newest.status), (None, Some(204)));
        assert_eq!(delivered.json()["next_attempt_at"], Value::Null);
        let table = table(std::slice::from_ref(&delivered.row));
        let line = table.lines().nth(1).unwrap();
        assert!(
            line.ends_with("204     3 ms      2026-11-29T10:00:06Z"),
            "{line}"
        );
    }

    #[test]
    fn an_attempt_in_progress_has_no_next_one() {
        let mut open = delivery(DeliveryState::Open);
        open.row.started_at = Some(at("2026-11-29T10:01:06Z"));
        assert_eq!(next(&open.row), "in progress since 2026-11-29T10:01:06Z");
        assert_eq!(json_of(&open.row)["next_attempt_at"], Value::Null);
    }
}
