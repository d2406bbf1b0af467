//! Finding a merchant's webhook endpoint.

use anyhow::Context;
use diesel::PgConnection;
use khata_domain::events::EndpointId;
use khata_store::merchants::{self, Merchant};
use khata_store::webhooks::{self, Endpoint};

use crate::options::{CommonOptions, find_merchant, parse_endpoint};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WhichEndpoint {
    /// Id of the endpoint, as `webhook list` shows it
    #[arg(value_name = "ENDPOINT", value_parser = parse_endpoint)]
    endpoint: EndpointId,
    /// Name or id of the merchant: then the endpoint of another one is not found
    #[arg(long)]
    merchant: Option<String>,
    #[command(flatten)]
    pub(super) common: CommonOptions,
}

pub(super) struct FoundEndpoint {
    pub(super) merchant: Merchant,
    pub(super) endpoint: Endpoint,
}

impl WhichEndpoint {
    /// Connects to the database, and finds the endpoint.
    pub(super) fn find(&self) -> anyhow::Result<(PgConnection, FoundEndpoint)> {
        let mut connection = self.common.connect()?;
        let named = match &self.merchant {
            Some(merchant) => Some(find_merchant(&mut connection, merchant)?),
            None => None,
        };
        let endpoint = webhooks::find_by_id(&mut connection, self.endpoint)?;
        let endpoint = endpoint.filter(|endpoint| {
            let named = named.as_ref();
            named.is_none_or(|merchant| merchant.id == endpoint.merchant)
        });
        let endpoint = endpoint.with_context(|| {
            let owner = named.as_ref().map_or("no merchant", |merchant| merchant.name.as_str());
            format!(
                "{owner} has no webhook endpoint {}; list a merchant's endpoints with `khata webhook list --merchant …`",
                self.endpoint
            )
        })?;
        let merchant = merchants::of_id(&mut connection, endpoint.merchant)?;
        Ok((connection, FoundEndpoint { merchant, endpoint }))
    }
}

impl FoundEndpoint {
    /// Returns `webhook endpoint whe_… of acme`.
    pub(super) fn name(&self) -> String {
        name(&self.endpoint, &self.merchant)
    }
}

pub(super) fn name(endpoint: &Endpoint, merchant: &Merchant) -> String {
    format!("webhook endpoint {} of {}", endpoint.id, merchant.name)
}
