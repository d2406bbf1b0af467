//! `khata event show`.

use anyhow::Context;
use khata_domain::events::EventId;
use khata_store::events;
use khata_store::merchants;
use khata_store::webhooks::{self, DeliveryFilter, MAX_ENDPOINTS};
use serde_json::Value;

use super::list::{json_of, subject};
use crate::delivery::{Delivery, ReplyOptions};
use crate::options::{CommonOptions, find_merchant, parse_event};
use crate::output::{Table, or_none, time};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    /// Id of the event, which is also the webhook-id of its requests
    #[arg(value_parser = parse_event)]
    event: EventId,
    /// Name or id of the event's merchant: then the event of another one is not found
    #[arg(long)]
    merchant: Option<String>,
    #[command(flatten)]
    replies: ReplyOptions,
    #[command(flatten)]
    common: CommonOptions,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let keyring = self.replies.keyring()?;
        let mut connection = self.common.connect()?;
        let merchant = if let Some(merchant) = &self.merchant {
            find_merchant(&mut connection, merchant)?
        } else {
            let owner = events::owner(&mut connection, self.event)?;
            let owner = owner.with_context(|| {
                format!(
                    "no merchant has event {}; events are kept for a while (`khata merchant set … --event-days …`)",
                    self.event
                )
            })?;
            merchants::of_id(&mut connection, owner)?
        };
        let event = events::find(&mut connection, merchant.id, self.event)?;
        let event = event.with_context(|| {
            format!(
                "{} has no event {}; events are kept for {} days (`khata merchant set … --event-days …`)",
                merchant.name, self.event, merchant.event_days
            )
        })?;
        let filter = DeliveryFilter {
            event: Some(event.id),
            ..DeliveryFilter::default()
        };
        // Deleted endpoints have deliveries for a while.
        let limit = 10 * MAX_ENDPOINTS;
        let rows = webhooks::deliveries(&mut connection, merchant.id, filter, None, limit)?;
        let read = |row| Delivery::read(&mut connection, &keyring, row);
        let deliveries: Vec<Delivery> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
        let facts = Table::facts()
            .fact("event", event.id)
            .fact("type", event.name)
            .fact("time", time(event.created_at))
            .fact("subject", subject(&event))
            .fact("version", event.version)
            .fact("status", or_none(event.status))
            .fact("validation", or_none(event.validation))
            .fact("failure code", or_none(event.failure_code))
            .fact("pending reason", or_none(event.pending_reason))
            .fact("trace", or_none(event.trace_parent.as_ref()));
        let mut blocks = vec![facts.to_string()];
        blocks.extend(deliveries.iter().map(Delivery::text));
        if deliveries.is_empty() {
            blocks.push("No endpoint gets it by webhook; GET /events shows it.".to_owned());
        }
        let list: Vec<Value> = deliveries.iter().map(Delivery::json).collect();
        let mut document = json_of(&event);
        document["deliveries"] = list.into();
        self.common.print(&document, &blocks.join("\n\n"))
    }
}
