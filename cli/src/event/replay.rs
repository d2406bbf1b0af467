//! `khata event replay`.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{Connection, PgConnection};
use khata_domain::events::{EndpointId, EndpointKey, EventId, EventName};
use khata_domain::ids::first_at;
use khata_store::audit::{Actor, Changes, record};
use khata_store::merchants::Merchant;
use khata_store::webhooks::{self, ReplayFilter, Replayed};
use serde_json::{Value, json};

use crate::options::{
    CommonOptions, MerchantOption, OperatorOptions, parse_endpoint, parse_event, parse_event_name,
};
use crate::output::{counted, note, time};
use crate::times::parse_past;

/// Events that one transaction replays.
const BATCH: i64 = 1_000;
/// Time between two lines of progress.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// A process makes the id of an event a moment before the database's time of the event, and by its own clock.
const BEFORE_CREATED: TimeDelta = TimeDelta::minutes(10);

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["event", "since"]))]
pub(crate) struct Replay {
    #[command(flatten)]
    merchant: MerchantOption,
    /// The event to replay, if one
    #[arg(value_parser = parse_event)]
    event: Option<EventId>,
    /// Replay the events since then: 2h (also 30m, 7d), "2026-11-29 15:30 IST", or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    since: Option<DateTime<Utc>>,
    /// Only events before then
    #[arg(long, value_name = "TIME", value_parser = parse_past, requires = "since")]
    until: Option<DateTime<Utc>>,
    /// Only to this endpoint, also if it is disabled
    #[arg(long, value_parser = parse_endpoint)]
    endpoint: Option<EndpointId>,
    /// Only events of these types
    #[arg(long = "type", value_name = "EVENT,…", value_delimiter = ',', value_parser = parse_event_name, requires = "since")]
    event_names: Vec<EventName>,
    /// Only what no attempt has delivered
    #[arg(long)]
    undelivered: bool,
    /// Count what would be delivered, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Replay {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let actor = (!self.dry_run).then(|| self.operator.actor()).transpose()?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        self.check(&mut connection, &merchant)?;
        let filter = ReplayFilter {
            event: self.event,
            since: self.since,
            until: self.until,
            names: self.event_names.clone(),
            endpoint: self.endpoint,
            undelivered_only: self.undelivered,
        };
        // Without it, the first batch would read every event that is kept.
        let mut after = self
            .since
            .map(|since| EventId(first_at(since - BEFORE_CREATED)));
        let (mut deliveries, mut is_first, mut last_line) = (0, true, Instant::now());
        loop {
            let replayed = connection.transaction::<_, anyhow::Error, _>(|connection| {
                let replayed =
                    webhooks::replay(connection, merchant.id, &filter, after, BATCH, self.dry_run)?;
                if let Some(actor) = actor.as_ref().filter(|_| is_first) {
                    self.audit(connection, &merchant, actor)?;
                }
                Ok(replayed)
            })?;
            is_first = false;
            deliveries += replayed.deliveries;
            let Replayed {
                last: Some(last), ..
            } = replayed
            else {
                break;
            };
            after = Some(last);
            if self.event.is_some() {
                break;
            }
            if last_line.elapsed() >= LINE_INTERVAL {
                last_line = Instant::now();
                note(&format!(
                    "{} up to {last}; to continue after an interruption, run the command again with \
                     --undelivered",
                    counted(deliveries, "delivery")
                ));
            }
        }
        let document = json!({ "deliveries": deliveries, "dry_run": self.dry_run });
        let text = counted(deliveries, "delivery");
        let sentence = match (deliveries, self.dry_run) {
            (0, _) => "Nothing to deliver: no enabled endpoint should get such an event, or the attempts are due already."
                .to_owned(),
            (_, true) => format!("{text} would begin again. Nothing was changed."),
            (_, false) => format!(
                "Begun again: {text}. Follow them with `khata webhook deliveries --merchant {} --state OPEN`.",
                merchant.name
            ),
        };
        self.common.print(&document, &sentence)
    }

    /// Refuses an event or an endpoint that does not exist: the replay would find nothing to do.
    fn check(&self, connection: &mut PgConnection, merchant: &Merchant) -> anyhow::Result<()> {
        if let Some(event) = self.event
            && khata_store::events::find(connection, merchant.id, event)?.is_none()
        {
            anyhow::bail!(
                "{} has no event {event}; events are kept for {} days",
                merchant.name,
                merchant.event_days
            );
        }
        if let Some(id) = self.endpoint {
            let key = EndpointKey {
                merchant: merchant.id,
                id,
            };
            if webhooks::find(connection, key)?.is_none() {
                anyhow::bail!(
                    "{0} has no webhook endpoint {id}; list its endpoints with `khata webhook list --merchant {0}`",
                    merchant.name
                );
            }
        }
        Ok(())
    }

    /// Writes one line of the audit log, with what the operator chose.
    fn audit(
        &self,
        connection: &mut PgConnection,
        merchant: &Merchant,
        actor: &Actor,
    ) -> anyhow::Result<()> {
        let event = self.event.map(|event| event.to_string());
        let names: Vec<&str> = self.event_names.iter().map(|name| name.as_str()).collect();
        let about: Value = json!({
            "event": event,
            "since": self.since.map(time),
            "until": self.until.map(time),
            "endpoint": self.endpoint.map(|id| id.to_string()),
            "event_names": names,
            "undelivered": self.undelivered,
        });
        let subject = event.unwrap_or_else(|| merchant.id.to_string());
        let changes = Changes::default();
        let (id, action) = (merchant.id, "event.replay");
        record(connection, id, actor, action, &subject, about, &changes)?;
        Ok(())
    }
}
