//! `khata webhook deliveries`.

use khata_domain::events::{DeliveryState, EndpointId, EventId};
use khata_store::webhooks::{self, DeliveryFilter};
use serde_json::{Value, json};

use crate::delivery::{self, Delivery, ReplyOptions};
use crate::options::{CommonOptions, MerchantOption, parse_endpoint, parse_event};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Deliveries {
    #[command(flatten)]
    merchant: MerchantOption,
    /// Only deliveries to this endpoint
    #[arg(long, value_parser = parse_endpoint)]
    endpoint: Option<EndpointId>,
    /// Only deliveries of this event
    #[arg(long, value_parser = parse_event)]
    event: Option<EventId>,
    /// Only deliveries in this state
    #[arg(long, value_name = "OPEN|DELIVERED|GIVEN_UP", value_parser = parse_state)]
    state: Option<DeliveryState>,
    /// Only deliveries of events before this one: the last event of the page before
    #[arg(long, value_name = "EVENT", value_parser = parse_event)]
    before: Option<EventId>,
    /// Maximum number of deliveries, 1 to 1000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Also list failed attempts, with the start of each reply
    #[arg(long)]
    attempts: bool,
    #[command(flatten)]
    replies: ReplyOptions,
    #[command(flatten)]
    common: CommonOptions,
}

fn parse_state(word: &str) -> Result<DeliveryState, &'static str> {
    DeliveryState::parse(&word.to_ascii_uppercase()).ok_or("expected OPEN, DELIVERED or GIVEN_UP")
}

impl Deliveries {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let keyring = self.attempts.then(|| self.replies.keyring()).transpose()?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let filter = DeliveryFilter {
            event: self.event,
            endpoint: self.endpoint,
            state: self.state,
        };
        let (before, limit) = (self.before, self.limit.into());
        let rows = webhooks::deliveries(&mut connection, merchant.id, filter, before, limit)?;
        let (list, text): (Vec<Value>, String) = match &keyring {
            None => (
                rows.iter().map(delivery::json_of).collect(),
                delivery::table(&rows),
            ),
            Some(keyring) => {
                let read = |row| Delivery::read(&mut connection, keyring, row);
                let rows: Vec<Delivery> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
                let blocks: Vec<String> = rows.iter().map(Delivery::text).collect();
                (
                    rows.iter().map(Delivery::json).collect(),
                    blocks.join("\n\n"),
                )
            }
        };
        let text = if list.is_empty() {
            "No delivery.".to_owned()
        } else {
            text
        };
        self.common.print(&json!({ "deliveries": list }), &text)
    }
}
