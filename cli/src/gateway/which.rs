//! Finding a gateway account by merchant, gateway and reference id.

use anyhow::Context;
use diesel::PgConnection;
use khata_domain::Gateway;
use khata_store::gateway_accounts::{self, GatewayAccount};
use khata_store::merchants::Merchant;

use crate::options::MerchantOption;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WhichAccount {
    #[command(flatten)]
    merchant: MerchantOption,
    /// Name or id of the gateway, as `gateway list` shows it
    #[arg(long)]
    gateway: String,
    /// The merchant's name for the account, as `gateway list` shows it
    #[arg(long)]
    reference_id: String,
}

impl WhichAccount {
    pub(super) fn find(
        &self,
        connection: &mut PgConnection,
    ) -> anyhow::Result<(Merchant, Gateway, GatewayAccount)> {
        let gateway = parse_gateway(&self.gateway)?;
        let merchant = self.merchant.find(connection)?;
        let account =
            gateway_accounts::find(connection, merchant.id, gateway.id(), &self.reference_id)?;
        let account = account.with_context(|| {
            format!(
                "{0} has no {gateway} account {1:?}; list its accounts with `khata gateway list --merchant {0}`",
                merchant.name, self.reference_id
            )
        })?;
        Ok((merchant, gateway, account))
    }
}

pub(super) fn parse_gateway(gateway: &str) -> anyhow::Result<Gateway> {
    Gateway::parse(gateway).with_context(|| {
        format!(
            "unknown gateway {gateway:?}; known gateways: {}",
            Gateway::ALL.map(Gateway::name).join(", ")
        )
    })
}

/// Returns the gateway's name, or its id if this version of Khata does not know it.
pub(crate) fn gateway_name(id: i16) -> String {
    Gateway::from_id(id).map_or_else(|| id.to_string(), |gateway| gateway.name().to_owned())
}
