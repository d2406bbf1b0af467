//! `khata event list`.

use chrono::{DateTime, Utc};
use khata_domain::events::{EndpointId, EventId, EventName};
use khata_domain::ids::first_at;
use khata_domain::{AccountId, AccountStatus, PendingReason};
use khata_store::events::{self, Event};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::options::{CommonOptions, MerchantOption, parse_event, parse_event_name};
use crate::output::{Table, or_none, time};
use crate::times::parse_past;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    merchant: MerchantOption,
    /// Only events since then: 2h (also 30m, 7d), "2026-11-29 15:30 IST", or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    since: Option<DateTime<Utc>>,
    /// Only events before then
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    until: Option<DateTime<Utc>>,
    /// Only events of these types
    #[arg(long = "type", value_name = "EVENT,…", value_delimiter = ',', value_parser = parse_event_name)]
    event_names: Vec<EventName>,
    /// Only events before this one: the last event of the page before
    #[arg(long, value_name = "EVENT", value_parser = parse_event)]
    before: Option<EventId>,
    /// Maximum number of events, 1 to 1000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    common: CommonOptions,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        // Ids begin with their time.
        let since = self.since.map_or(Uuid::nil(), first_at);
        let until = self.until.map_or(Uuid::max(), first_at);
        let end = self.before.map_or(until, |before| until.min(before.0));
        let (ids, limit) = (EventId(since)..EventId(end), self.limit.into());
        let names = &self.event_names;
        let events = events::newest(&mut connection, merchant.id, ids, names, limit)?;
        let is_full = events.len() == usize::from(self.limit);
        let next = events
            .last()
            .filter(|_| is_full)
            .map(|event| event.id.to_string());
        let list: Vec<Value> = events.iter().map(json_of).collect();
        let headings = ["EVENT", "TIME", "TYPE", "SUBJECT", "VERSION", "STATUS"];
        let rows = events.iter().map(|event| {
            [
                event.id.to_string(),
                time(event.created_at),
                event.name.to_string(),
                subject(event),
                event.version.to_string(),
                or_none(event.status),
            ]
        });
        let table = Table::rows(headings, rows).to_string();
        let text = match &next {
            _ if events.is_empty() => "No event.".to_owned(),
            Some(id) => format!("{table}\n\nThere may be earlier events: add --before {id}."),
            None => table,
        };
        let document = json!({ "events": list, "next_before": next });
        self.common.print(&document, &text)
    }
}

/// Returns the id of the account or of the endpoint that the event is about.
pub(super) fn subject(event: &Event) -> String {
    if event.name.is_of_account() {
        AccountId(event.subject_id).to_string()
    } else {
        EndpointId(event.subject_id).to_string()
    }
}

pub(super) fn json_of(event: &Event) -> Value {
    json!({
        "id": event.id.to_string(),
        "event_name": event.name.as_str(),
        "date_created": time(event.created_at),
        "subject_id": subject(event),
        "version": event.version,
        "status": event.status.map(AccountStatus::as_str),
        "validation_id": event.validation.map(|id| id.to_string()),
        "failure_code": event.failure_code.map(|code| code.to_string()),
        "pending_reason": event.pending_reason.map(PendingReason::as_str),
        "trace_parent": event.trace_parent,
    })
}
