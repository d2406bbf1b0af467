//! `khata gateway add`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use diesel::{Connection, PgConnection};
use khata_crypto::{Keyring, secret_buf};
use khata_domain::{Gateway, GatewayAccountId};
use khata_gateways::{COMMON_SETTINGS, SettingInfo};
use khata_store::audit::Actor;
use khata_store::encryption_counts;
use khata_store::gateway_accounts::{self, GatewayAccount, NewGatewayAccount};
use khata_store::gateway_health::{self, GatewayKey};
use khata_store::merchants::Merchant;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::audit::{audit_gateway, settings_json};
use super::connectors::ConnectorOptions;
use super::which::parse_gateway;
use crate::options::{ActorOption, CommonOptions, MerchantOption};

/// Maximum size of a credentials file. Every gateway's credentials are shorter.
const MAX_CREDENTIALS: usize = 64 * 1024;

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
    /// Priority; the gateway account with the lowest number is used first
    #[arg(long, default_value_t = 100)]
    priority: i16,
    /// Use the account only for calls that name the gateway
    #[arg(long)]
    pinned_only: bool,
    /// Override the gateway's public base URL
    #[arg(long)]
    base_url: Option<String>,
    /// File with the credentials as JSON, `-` for standard input; `--help` lists the members of each gateway
    #[arg(long)]
    credentials_file: Option<PathBuf>,
    /// Settings as JSON; `--help` lists them
    #[arg(long, default_value = "{}")]
    settings: String,
    /// Maximum calls at once over all workers, as the setting `concurrency`; 0 for no limit
    #[arg(long)]
    concurrency: Option<u32>,
    /// Update the account if this merchant has one with this gateway and reference id. Workers apply the update within
    /// five seconds and reset the account's circuit, pause and MISCONFIGURED mark; if calls_per_minute changes, they
    /// also drop its reserved rate-limit slots
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
        if !(1..=128).contains(&self.reference_id.len())
            || !self.reference_id.bytes().all(|b| b.is_ascii_graphic())
        {
            bail!("--reference-id must be 1 to 128 visible ASCII characters");
        }
        let mut settings: Value =
            serde_json::from_str(&self.settings).context("--settings is not JSON")?;
        if let (Some(concurrency), Some(members)) = (self.concurrency, settings.as_object_mut()) {
            members.insert("concurrency".to_owned(), concurrency.into());
        }
        let credentials = self.credentials_file.as_deref().map(read).transpose()?;
        let credentials = credentials.as_ref().map(|plain| plain.as_slice());
        let connectors = self.connectors.connectors()?;
        let actor = self.actor.name(connectors.sandbox_mode)?;
        // Invalid credentials or settings are reported now, not by the first validation that uses them.
        connectors.build(gateway, credentials, &settings, self.base_url.as_deref())?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let (id, is_new) = connection.transaction(|connection| {
            let keyring = &connectors.keyring;
            self.store(
                connection,
                keyring,
                &actor,
                &merchant,
                gateway,
                &settings,
                credentials,
            )
        })?;
        let document = json!({
            "id": id.to_string(),
            "gateway": gateway.name(),
            "reference_id": self.reference_id,
            "created": is_new,
        });
        let verb = if is_new { "Added" } else { "Updated" };
        let sentence = format!(
            "{verb} gateway account {id} ({gateway} {} of {}).",
            self.reference_id, merchant.name
        );
        self.common.print(&document, &sentence)
    }

    /// Stores the account and the audit log's row. Returns the account's id, and whether it is new.
    #[allow(clippy::too_many_arguments, reason = "what the command has checked")]
    fn store(
        &self,
        connection: &mut PgConnection,
        keyring: &Keyring,
        actor: &Actor,
        merchant: &Merchant,
        gateway: Gateway,
        settings: &Value,
        credentials: Option<&[u8]>,
    ) -> anyhow::Result<(GatewayAccountId, bool)> {
        let reference_id = &self.reference_id;
        let existing = gateway_accounts::find(connection, merchant.id, gateway.id(), reference_id)?;
        let (id, action) = match &existing {
            None => (GatewayAccountId::new(), "gateway.add"),
            Some(_) if !self.if_absent => bail!(
                "{} already has a {gateway} account {reference_id:?}; update it with --if-absent",
                merchant.name
            ),
            // An open attempt is recovered by the flow that made it.
            Some(existing) if flow(&existing.settings) != flow(settings) => {
                bail!("bank_flow cannot be changed; add another account under another reference id")
            }
            Some(existing) => (existing.id, "gateway.update"),
        };
        let account = NewGatewayAccount {
            id,
            gateway_id: gateway.id(),
            reference_id,
            priority: self.priority,
            pinned_only: self.pinned_only,
            base_url: self.base_url.as_deref(),
            settings,
        };
        let sealed = credentials.map(|plain| account.seal(keyring, merchant.id, plain));
        gateway_accounts::upsert(connection, merchant.id, &account, sealed)?;
        encryption_counts::add(connection, keyring.primary(), 1)?;
        if let Some(existing) = &existing {
            reset_health(connection, existing, settings)?;
        }
        // Stored credentials that cannot be decrypted, or are bound to other addresses, count as different ones.
        let same_credentials = existing.as_ref().is_some_and(|existing| {
            let stored = existing.credentials(keyring);
            stored.is_ok_and(|stored| stored.as_ref().map(|plain| plain.as_slice()) == credentials)
        });
        let before = existing.as_ref().map_or(Value::Null, existing_json);
        let changed = credentials.is_some() && !same_credentials;
        audit_gateway(
            connection,
            merchant.id,
            actor,
            action,
            &account,
            &before,
            changed,
        )?;
        Ok((id, existing.is_none()))
    }
}

fn existing_json(existing: &GatewayAccount) -> Value {
    settings_json(
        existing.priority,
        existing.pinned_only,
        existing.base_url.as_deref(),
        &existing.settings,
    )
}

/// Returns `PAYU (12), RAZORPAY (23), …`.
fn gateway_names() -> String {
    let names = khata_gateways::all().map(|info| {
        let sandbox = if info.sandbox_only {
            ", in sandbox mode"
        } else {
            ""
        };
        format!("{} ({}{sandbox})", info.gateway, info.gateway.id())
    });
    names.collect::<Vec<_>>().join(", ")
}

/// Returns the credentials and settings of every gateway, for `--help`.
fn credentials_and_settings() -> String {
    let mut text = String::from("Credentials of each gateway, members of a JSON object:\n");
    for info in khata_gateways::all() {
        text.extend(info.credentials.iter().enumerate().map(|(place, member)| {
            let gateway = if place == 0 { info.gateway.name() } else { "" };
            let optional = if member.required { "" } else { " (optional)" };
            let (name, meaning) = (member.name, member.meaning);
            format!("  {gateway:<10}{name}{optional}: {meaning}\n")
        }));
    }
    let line = |gateway: &str, setting: &SettingInfo| {
        let (name, meaning, default) = (setting.name, setting.meaning, setting.default);
        format!("  {gateway:<10}{name}: {meaning} [default: {default}]\n")
    };
    text += "\nSettings of every gateway, all optional:\n";
    text.extend(COMMON_SETTINGS.iter().map(|one| line("", one)));
    text += "\nSettings of one gateway:\n";
    for info in khata_gateways::all() {
        let settings = info.settings.iter();
        text.extend(settings.map(|one| line(info.gateway.name(), one)));
    }
    text
}

/// Resets what the workers know of the account: it describes the old credentials and settings.
fn reset_health(
    connection: &mut PgConnection,
    existing: &GatewayAccount,
    settings: &Value,
) -> diesel::QueryResult<()> {
    let key = GatewayKey {
        merchant: existing.merchant,
        account: existing.id,
    };
    gateway_health::reset(connection, key)?;
    // Under an unchanged limit the reserved slots must stay, or workers would make more calls than it allows.
    let limit = |settings: &Value| settings.get("calls_per_minute").cloned();
    if limit(&existing.settings) != limit(settings) {
        gateway_health::forget_bookings(connection, key)?;
    }
    Ok(())
}

fn flow(settings: &Value) -> &str {
    settings["bank_flow"].as_str().unwrap_or("async")
}

fn read(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let bytes = if path.as_os_str() == "-" {
        secret_buf::read(std::io::stdin(), MAX_CREDENTIALS)?
    } else {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        secret_buf::read(file, MAX_CREDENTIALS)?
    };
    bytes.context("the credentials are longer than 64 KiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_gateway_with_its_credentials() {
        let (names, help) = (gateway_names(), credentials_and_settings());
        for info in khata_gateways::all() {
            assert!(names.contains(info.gateway.name()), "{names}");
            for member in info.credentials {
                assert!(help.contains(member.name), "{help}");
            }
        }
        assert!(help.contains("calls_per_minute"), "{help}");
    }
}
