//! `khata webhook test`.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use diesel::{Connection, PgConnection, QueryResult};
use khata_crypto::Keyring;
use khata_domain::MerchantId;
use khata_domain::events::EventId;
use khata_store::audit::{Changes, record};
use khata_store::webhooks::{self, DeliveryFilter};
use serde_json::json;

use super::which::{FoundEndpoint, WhichEndpoint};
use crate::delivery::{Delivery, NewestResult, ReplyOptions};
use crate::options::ActorOption;
use crate::output::is_json;
use crate::times::parse_seconds;

/// Time between two looks at the delivery.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Test {
    #[command(flatten)]
    which: WhichEndpoint,
    /// Time to wait for the reply, 1s to 5m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = |text: &str| parse_seconds(text, &(1..=300)))]
    wait: i32,
    #[command(flatten)]
    replies: ReplyOptions,
    #[command(flatten)]
    actor: ActorOption,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let actor = self.actor.name(self.replies.is_sandbox())?;
        let keyring = self.replies.keyring()?;
        let (mut connection, found) = self.which.find()?;
        let FoundEndpoint { merchant, endpoint } = &found;
        let event = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let event = webhooks::test(connection, endpoint.key())?;
            let event = event.with_context(|| {
                format!(
                    "{} is disabled; enable it with `khata webhook enable`",
                    found.name()
                )
            })?;
            let subject = endpoint.id.to_string();
            let (id, about) = (merchant.id, json!({ "event": event.id.to_string() }));
            let changes = Changes::default();
            record(
                connection,
                id,
                &actor,
                "webhook.test",
                &subject,
                about,
                &changes,
            )?;
            Ok(event.id)
        })?;
        let delivery = self.wait_for_result(&mut connection, &keyring, merchant.id, event)?;
        let result = delivery.as_ref().and_then(Delivery::newest_result);
        let outcome = match &result {
            None => "NO_ATTEMPT",
            Some(result) if result.failure.is_none() => "DELIVERED",
            Some(_) => "FAILED",
        };
        let (name, said) = (found.name(), result.as_ref().map(NewestResult::text));
        let sentence = match (outcome, said) {
            ("DELIVERED", Some(said)) => format!("{name}: delivered {event} ({said})."),
            (_, Some(said)) => format!(
                "{name}: the attempt failed ({said}). Further attempts follow; `khata webhook deliveries --merchant {} --event {event} \
                 --attempts` lists them.",
                merchant.name
            ),
            (_, None) => format!(
                "{name}: no worker made a call within {} s. Check that khata-worker runs, and whether other deliveries wait: `khata \
                 webhook deliveries --merchant {} --endpoint {} --state OPEN`.",
                self.wait, merchant.name, endpoint.id
            ),
        };
        let document = json!({
            "id": endpoint.id.to_string(),
            "event_id": event.to_string(),
            "outcome": outcome,
            "delivery": delivery.as_ref().map(Delivery::json),
        });
        let common = &self.which.common;
        if outcome == "DELIVERED" {
            return common.print(&document, &sentence);
        }
        if is_json() {
            common.print(&document, "")?;
        }
        bail!(sentence)
    }

    /// Returns the delivery when its first attempt has ended; at the latest after the wait.
    fn wait_for_result(
        &self,
        connection: &mut PgConnection,
        keyring: &Keyring,
        merchant: MerchantId,
        event: EventId,
    ) -> QueryResult<Option<Delivery>> {
        let end = Instant::now() + Duration::from_secs(self.wait.unsigned_abs().into());
        let filter = DeliveryFilter {
            event: Some(event),
            ..DeliveryFilter::default()
        };
        loop {
            let rows = webhooks::deliveries(connection, merchant, filter, None, 1)?;
            let row = rows.into_iter().next();
            let delivery = row.map(|row| Delivery::read(connection, keyring, row));
            let delivery = delivery.transpose()?;
            let has_result = delivery
                .as_ref()
                .is_some_and(|delivery| delivery.newest_result().is_some());
            if has_result || Instant::now() >= end {
                return Ok(delivery);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}
