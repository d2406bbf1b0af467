//! `khata gateway set`.

use anyhow::{Context, bail};
use diesel::{Connection, PgConnection, QueryResult};
use khata_store::audit::{Actor, Changes};
use khata_store::encryption_counts;
use khata_store::gateway_accounts::{self, GatewayAccount, NewGatewayAccount};
use khata_store::gateway_health::{self, GatewayKey};
use serde_json::Value;

use super::audit::{audit_gateway, gateway_changes};
use super::configuration::{ConfigurationOptions, Given, credentials_and_settings, flow};
use super::connectors::{ConnectorOptions, Connectors};
use super::which::{FoundAccount, WhichAccount, has_credentials};
use crate::options::ActorOption;
use crate::output::changed_text;

#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = credentials_and_settings())]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "priority", "pinned_only", "base_url", "no_base_url", "credentials_file", "settings", "concurrency",
]))]
pub(crate) struct Set {
    #[command(flatten)]
    which: WhichAccount,
    #[command(flatten)]
    given: ConfigurationOptions,
    /// Use the gateway's public base URL again
    #[arg(long, conflicts_with = "base_url")]
    no_base_url: bool,
    #[command(flatten)]
    connectors: ConnectorOptions,
    #[command(flatten)]
    actor: ActorOption,
}

impl Set {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let connectors = self.connectors.connectors()?;
        let actor = self.actor.name(connectors.sandbox_mode)?;
        let given = self.given.read(self.no_base_url)?;
        let (mut connection, found) = self.which.find()?;
        let changed = connection.transaction(|connection| {
            change_account(connection, &connectors, &actor, &found, &given)
        })?;
        let mut document = found.json();
        document["changed"] = changed.to_json();
        let sentence = changed_text(&changed, &found.name(), "Workers");
        self.which.common.print(&document, &sentence)
    }
}

/// Changes what was given of a gateway account, and writes the audit log's line. Returns the changes. Call it in a transaction.
pub(super) fn change_account(
    connection: &mut PgConnection,
    connectors: &Connectors,
    actor: &Actor,
    found: &FoundAccount,
    given: &Given<'_>,
) -> anyhow::Result<Changes> {
    // Locked, so that a change by another operator at the same time is kept.
    let existing = gateway_accounts::lock(connection, found.merchant.id, found.account.id)?;
    let existing = existing.with_context(|| format!("{} does not exist", found.name()))?;
    let settings = given.merged(&existing.settings);
    let account = given.changed(&existing, &settings);
    // An open attempt is recovered by the flow that made it.
    if flow(&existing.settings) != flow(&settings) {
        bail!("bank_flow cannot be changed; add another account under another reference id");
    }
    check_addresses(connectors, &account, &existing, given)?;
    let (keyring, credentials) = (&connectors.keyring, given.credentials());
    let stored = match (credentials, existing.credentials(keyring)) {
        (Some(_), _) => None,
        (None, Ok(stored)) => stored,
        (None, Err(problem)) => {
            bail!(
                "the stored credentials were {problem}. Give the credentials with --credentials-file"
            )
        }
    };
    let plain = credentials.or(stored.as_ref().map(|plain| plain.as_slice()));
    // Invalid credentials or settings are reported now, not by the first validation that uses them.
    connectors.build(found.gateway, plain, &settings, account.base_url)?;
    let is_other = credentials.is_some_and(|given| !has_credentials(&existing, keyring, given));
    let changes = gateway_changes(Some(&existing), &account, is_other);
    if changes.is_empty() {
        return Ok(changes);
    }
    let merchant = found.merchant.id;
    // Encrypted again, because the credentials are bound to the addresses.
    let sealed = plain.map(|plain| account.seal(keyring, merchant, plain));
    gateway_accounts::update(connection, merchant, &account, sealed)?;
    encryption_counts::add(connection, keyring.primary(), 1)?;
    reset_health(connection, &existing, &account, is_other)?;
    audit_gateway(
        connection,
        merchant,
        actor,
        "gateway.set",
        &account,
        &changes,
    )?;
    Ok(changes)
}

/// Fails if new credentials would go to an address that the operator has not named, and that the stored credentials do not
/// confirm: it may have been written by SQL.
fn check_addresses(
    connectors: &Connectors,
    account: &NewGatewayAccount<'_>,
    existing: &GatewayAccount,
    given: &Given<'_>,
) -> anyhow::Result<()> {
    let stored = existing.credentials(&connectors.keyring);
    if given.credentials().is_none() || matches!(stored, Ok(Some(_))) {
        return Ok(());
    }
    let settings = account.settings.as_object().into_iter().flatten();
    let mut unconfirmed: Vec<&str> = settings
        .map(|(name, _)| name.as_str())
        .filter(|name| name.ends_with("_url") && !given.settings.contains_key(*name))
        .collect();
    if account.base_url.is_some() && given.options.base_url.is_none() {
        unconfirmed.push("base_url");
    }
    if unconfirmed.is_empty() {
        return Ok(());
    }
    bail!(
        "the stored credentials do not confirm these addresses of {}, which SQL may have changed: {}. Name each one beside \
         --credentials-file: --base-url or --no-base-url, and the others in --settings, where null removes one",
        existing.reference_id,
        unconfirmed.join(", ")
    )
}

/// Resets what the workers know of the account, if it describes other credentials, addresses or settings.
fn reset_health(
    connection: &mut PgConnection,
    existing: &GatewayAccount,
    account: &NewGatewayAccount<'_>,
    credentials_changed: bool,
) -> QueryResult<()> {
    let key = GatewayKey {
        merchant: existing.merchant,
        account: existing.id,
    };
    let is_same =
        existing.base_url.as_deref() == account.base_url && &existing.settings == account.settings;
    if credentials_changed || !is_same {
        gateway_health::reset(connection, key)?;
    }
    // Under an unchanged limit the reserved slots must stay, or workers would make more calls than it allows.
    let limit = |settings: &Value| settings.get("calls_per_minute").cloned();
    if limit(&existing.settings) != limit(account.settings) {
        gateway_health::forget_bookings(connection, key)?;
    }
    Ok(())
}
