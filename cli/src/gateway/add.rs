//! `khata gateway add`.

use anyhow::bail;
use diesel::{Connection, PgConnection};
use khata_crypto::Keyring;
use khata_domain::{Gateway, GatewayAccountId};
use khata_store::audit::{Actor, Changes};
use khata_store::encryption_counts;
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::merchants::Merchant;
use serde_json::{Value, json};

use super::audit::{audit_gateway, gateway_changes};
use super::configuration::{ConfigurationOptions, Given, credentials_and_settings, gateway_names};
use super::connectors::{ConnectorOptions, Connectors};
use super::which::{has_credentials, parse_gateway};
use crate::options::{ActorOption, CommonOptions, MerchantOption};

/// Priority of a new gateway account.
const PRIORITY: i16 = 100;

#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = credentials_and_settings())]
pub(crate) struct Add {
    #[command(flatten)]
    merchant: MerchantOption,
    #[arg(long, help = format!("Name or id of the gateway: {}", gateway_names()))]
    gateway: String,
    /// The merchant's name for the account, which calls may give as gateway_reference_id
    #[arg(long)]
    reference_id: String,
    #[command(flatten)]
    given: ConfigurationOptions,
    /// Succeed without a change if the merchant has this account already; fail, also without a change, if one of the given
    /// options differs from the account
    #[arg(long)]
    if_absent: bool,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    connectors: ConnectorOptions,
    #[command(flatten)]
    actor: ActorOption,
}

impl Add {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let gateway = parse_gateway(&self.gateway)?;
        let given = self.given.read(false)?;
        let connectors = self.connectors.connectors()?;
        let actor = self.actor.name(connectors.sandbox_mode)?;
        let new = NewAccount::check(&connectors, gateway, &self.reference_id, &given)?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let added = connection.transaction(|connection| {
            new.insert(connection, &connectors.keyring, &actor, &merchant)
        })?;
        let is_new = added.is_some();
        let id = if let Some((id, _)) = added {
            id
        } else {
            let keyring = &connectors.keyring;
            self.existing(&mut connection, keyring, &merchant, gateway, &given)?
        };
        let document = json!({
            "id": id.to_string(),
            "gateway": gateway.name(),
            "reference_id": self.reference_id,
            "created": is_new,
        });
        let name = format!(
            "{id} ({gateway} {} of {})",
            self.reference_id, merchant.name
        );
        let sentence = if is_new {
            format!("Added gateway account {name}.")
        } else {
            format!("Nothing to change: gateway account {name} has these settings already.")
        };
        self.common.print(&document, &sentence)
    }

    /// Returns the id of the existing account. Fails if there must be none, or if a given option differs from it.
    fn existing(
        &self,
        connection: &mut PgConnection,
        keyring: &Keyring,
        merchant: &Merchant,
        gateway: Gateway,
        given: &Given<'_>,
    ) -> anyhow::Result<GatewayAccountId> {
        let reference_id = &self.reference_id;
        let found = gateway_accounts::find(connection, merchant.id, gateway.id(), reference_id)?;
        let Some(existing) = found else {
            bail!("gateway account {reference_id:?} was changed meanwhile; run the command again");
        };
        let (name, id) = (&merchant.name, existing.id);
        let name = format!("{name} already has a {gateway} account {reference_id:?}, {id}");
        let change = format!("Nothing was changed. Change it with `khata gateway set {id}`");
        if !self.if_absent {
            bail!("{name}. {change}");
        }
        let settings = given.merged(&existing.settings);
        let wanted = given.changed(&existing, &settings);
        let credentials = given.credentials();
        let is_other = credentials.is_some_and(|plain| !has_credentials(&existing, keyring, plain));
        let differences = gateway_changes(Some(&existing), &wanted, is_other);
        if !differences.is_empty() {
            let lines: Vec<String> = differences.lines().collect();
            bail!(
                "{name}, with other settings (its own -> the given ones):\n{}\n{change}",
                lines.join("\n")
            );
        }
        Ok(id)
    }
}

/// A gateway account that can be added: its credentials and settings are valid.
pub(super) struct NewAccount<'a> {
    gateway: Gateway,
    reference_id: &'a str,
    settings: Value,
    given: &'a Given<'a>,
}

impl<'a> NewAccount<'a> {
    /// Fails if the gateway cannot be called with the credentials and settings: reported now, not by the first validation that uses
    /// them.
    pub(super) fn check(
        connectors: &Connectors,
        gateway: Gateway,
        reference_id: &'a str,
        given: &'a Given<'a>,
    ) -> anyhow::Result<Self> {
        if !(1..=128).contains(&reference_id.len())
            || !reference_id.bytes().all(|b| b.is_ascii_graphic())
        {
            bail!("--reference-id must be 1 to 128 visible ASCII characters");
        }
        let settings = given.merged(&json!({}));
        let base_url = given.options.base_url.as_deref();
        connectors.build(gateway, given.credentials(), &settings, base_url)?;
        Ok(Self {
            gateway,
            reference_id,
            settings,
            given,
        })
    }

    /// Stores the account and the audit log's line. Returns its id with its configuration; `None`, and stores nothing, if the merchant has
    /// such an account.
    pub(super) fn insert(
        &self,
        connection: &mut PgConnection,
        keyring: &Keyring,
        actor: &Actor,
        merchant: &Merchant,
    ) -> anyhow::Result<Option<(GatewayAccountId, Changes)>> {
        let options = self.given.options;
        let account = NewGatewayAccount {
            id: GatewayAccountId::new(),
            gateway_id: self.gateway.id(),
            reference_id: self.reference_id,
            priority: options.priority.unwrap_or(PRIORITY),
            pinned_only: options.pinned_only.unwrap_or(false),
            base_url: options.base_url.as_deref(),
            settings: &self.settings,
        };
        let credentials = self.given.credentials();
        let sealed = credentials.map(|plain| account.seal(keyring, merchant.id, plain));
        if !gateway_accounts::insert(connection, merchant.id, &account, sealed)? {
            return Ok(None);
        }
        encryption_counts::add(connection, keyring.primary(), 1)?;
        let changes = gateway_changes(None, &account, credentials.is_some());
        audit_gateway(
            connection,
            merchant.id,
            actor,
            "gateway.add",
            &account,
            &changes,
        )?;
        Ok(Some((account.id, changes)))
    }
}
