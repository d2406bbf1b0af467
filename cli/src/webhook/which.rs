//! Finding a merchant's webhook endpoint.

use anyhow::Context;
use diesel::PgConnection;
use khata_domain::events::{EndpointId, EndpointKey};
use khata_store::merchants::Merchant;
use khata_store::webhooks::{self, Endpoint};

use crate::options::{CommonOptions, MerchantOption, parse_endpoint};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WhichEndpoint {
    /// Id of the endpoint, as `webhook list` shows it
    #[arg(value_name = "ENDPOINT", value_parser = parse_endpoint)]
    endpoint: EndpointId,
    #[command(flatten)]
    merchant: MerchantOption,
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
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let key = EndpointKey {
            merchant: merchant.id,
            id: self.endpoint,
        };
        let endpoint = webhooks::find(&mut connection, key)?.with_context(|| {
            format!(
                "{0} has no webhook endpoint {1}; list its endpoints with `khata webhook list --merchant {0}`",
                merchant.name, self.endpoint
            )
        })?;
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
