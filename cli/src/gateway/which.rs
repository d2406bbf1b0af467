//! Finding a gateway account by its id, or by merchant, gateway and reference id.

use anyhow::{Context, bail};
use diesel::PgConnection;
use khata_crypto::Keyring;
use khata_domain::{Gateway, GatewayAccountId};
use khata_store::gateway_accounts::{self, GatewayAccount};
use khata_store::merchants::{self, Merchant};
use serde_json::{Value, json};

use crate::options::{CommonOptions, find_merchant};

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which_account").required(true).args(["account", "reference_id"]))]
pub(crate) struct WhichAccount {
    /// Id of the gateway account (gwa_…), as `gateway list` shows it; or name it by --merchant, --gateway and --reference-id
    #[arg(
        value_name = "GATEWAY_ACCOUNT",
        value_parser = parse_account,
        conflicts_with = "gateway"
    )]
    account: Option<GatewayAccountId>,
    /// Name or id of the merchant
    #[arg(long)]
    merchant: Option<String>,
    /// Name or id of the gateway, as `gateway list` shows it
    #[arg(long, requires = "reference_id")]
    gateway: Option<String>,
    /// The merchant's name for the account, as `gateway list` shows it
    #[arg(long, requires_all = ["merchant", "gateway"])]
    reference_id: Option<String>,
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
        // Before the database is asked.
        let gateway = self.gateway.as_deref().map(parse_gateway).transpose()?;
        let mut connection = self.common.connect()?;
        let merchant = match &self.merchant {
            Some(merchant) => Some(find_merchant(&mut connection, merchant)?),
            None => None,
        };
        let found = match (self.account, merchant, gateway) {
            (Some(id), merchant, _) => find_by_id(&mut connection, id, merchant.as_ref())?,
            (None, Some(merchant), Some(gateway)) => {
                let reference_id = self.reference_id.as_deref().unwrap_or_default();
                find_by_name(&mut connection, merchant, gateway, reference_id)?
            }
            (None, ..) => bail!(
                "name the gateway account by its id (gwa_…), or by --merchant, --gateway and --reference-id"
            ),
        };
        Ok((connection, found))
    }
}

/// Finds the gateway account with this id, which belongs to the merchant if one was named.
fn find_by_id(
    connection: &mut PgConnection,
    id: GatewayAccountId,
    merchant: Option<&Merchant>,
) -> anyhow::Result<FoundAccount> {
    let account = gateway_accounts::find_by_id(connection, id)?;
    let account =
        account.filter(|account| merchant.is_none_or(|merchant| merchant.id == account.merchant));
    let account = account.with_context(|| {
        let owner = merchant.map_or("no merchant", |merchant| merchant.name.as_str());
        format!("{owner} has no gateway account {id}; list a merchant's accounts with `khata gateway list --merchant …`")
    })?;
    let gateway = Gateway::from_id(account.gateway_id)
        .context("this version of Khata does not know the gateway")?;
    Ok(FoundAccount {
        merchant: merchants::of_id(connection, account.merchant)?,
        gateway,
        account,
    })
}

pub(super) fn find_by_name(
    connection: &mut PgConnection,
    merchant: Merchant,
    gateway: Gateway,
    reference_id: &str,
) -> anyhow::Result<FoundAccount> {
    let account = gateway_accounts::find(connection, merchant.id, gateway.id(), reference_id)?;
    let account = account.with_context(|| {
        format!(
            "{0} has no {gateway} account {reference_id:?}; list its accounts with `khata gateway list --merchant {0}`",
            merchant.name
        )
    })?;
    Ok(FoundAccount {
        merchant,
        gateway,
        account,
    })
}

/// Whether the stored credentials are these. Credentials that cannot be decrypted, or are bound to other addresses, count as
/// different ones.
pub(super) fn has_credentials(account: &GatewayAccount, keyring: &Keyring, plain: &[u8]) -> bool {
    let stored = account.credentials(keyring);
    stored.is_ok_and(|stored| stored.is_some_and(|stored| stored.as_slice() == plain))
}

pub(crate) fn parse_account(text: &str) -> Result<GatewayAccountId, &'static str> {
    GatewayAccountId::parse_or_uuid(text).ok_or(
        "not a gateway account id; expected gwa_ and 26 characters, as `gateway list` shows it",
    )
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
