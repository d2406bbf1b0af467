//! Finding a gateway account by merchant, gateway and reference id.

use anyhow::Context;
use diesel::PgConnection;
use khata_domain::Gateway;
use khata_store::gateway_accounts::{self, GatewayAccount};
use khata_store::merchants::Merchant;
use serde_json::{Value, json};

use crate::options::{CommonOptions, MerchantOption};

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
    #[command(flatten)]
    pub(super) common: CommonOptions,
}

pub(super) struct FoundAccount {
    pub(super) merchant: Merchant,
    pub(super) gateway: Gateway,
    pub(super) account: GatewayAccount,
}

impl WhichAccount {
    /// Connects to the database, and finds the account.
    pub(super) fn find(&self) -> anyhow::Result<(PgConnection, FoundAccount)> {
        let gateway = parse_gateway(&self.gateway)?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let (id, reference_id) = (gateway.id(), &self.reference_id);
        let account = gateway_accounts::find(&mut connection, merchant.id, id, reference_id)?;
        let account = account.with_context(|| {
            format!(
                "{0} has no {gateway} account {reference_id:?}; list its accounts with `khata gateway list --merchant {0}`",
                merchant.name
            )
        })?;
        let found = FoundAccount {
            merchant,
            gateway,
            account,
        };
        Ok((connection, found))
    }
}

impl FoundAccount {
    /// Returns `CASHFREE account main of acme`.
    pub(super) fn name(&self) -> String {
        let (reference_id, merchant) = (&self.account.reference_id, &self.merchant.name);
        format!("{} account {reference_id} of {merchant}", self.gateway)
    }

    /// Returns the members that identify the account.
    pub(super) fn json(&self) -> Value {
        json!({
            "id": self.account.id.to_string(),
            "gateway": self.gateway.name(),
            "reference_id": self.account.reference_id,
        })
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
