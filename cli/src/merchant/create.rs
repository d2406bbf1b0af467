//! `khata merchant create`.

use anyhow::bail;
use diesel::{Connection, PgConnection};
use khata_config::SandboxSettings;
use khata_domain::{Gateway, GatewayAccountId, MerchantId};
use khata_store::audit;
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::merchant_settings::{self, Changes};
use khata_store::merchants::{self, Merchant};
use serde_json::json;

use super::settings::{SettingsOptions, merchant_json, settings_json};
use crate::database::find_merchant;
use crate::options::CommonOptions;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Create {
    /// Unique name: lower-case letters, digits, `_` and `-`, at most 63
    #[arg(long)]
    name: String,
    /// Do nothing if a merchant of this name exists; its settings stay unchanged
    #[arg(long)]
    if_absent: bool,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

impl Create {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let name = self.name.as_str();
        let is_allowed = (1..=63).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !is_allowed {
            bail!(
                "--name must be lower-case letters, digits, _ and -, at most 63, and start with a letter or digit"
            );
        }
        let changes = self.settings.changes();
        let mut connection = self.common.connect()?;
        let created = connection
            .transaction(|connection| create(connection, name, &changes, self.sandbox))?;
        let is_new = created.is_some();
        let merchant = match created {
            Some(merchant) => merchant,
            None if self.if_absent => find_merchant(&mut connection, name)?,
            None => bail!(
                "merchant {name:?} already exists; change its settings with `khata merchant set`"
            ),
        };
        let mut document = merchant_json(&merchant);
        document["created"] = is_new.into();
        let (name, id) = (&merchant.name, merchant.id);
        let sentence = if is_new {
            format!("Created merchant {name}: {id}.")
        } else {
            format!("Merchant {name} already exists: {id}.")
        };
        self.common.print(&document, &sentence)
    }
}

/// Creates a merchant with its settings. Returns `None` if the name is taken.
fn create(
    connection: &mut PgConnection,
    name: &str,
    changes: &Changes,
    sandbox: SandboxSettings,
) -> anyhow::Result<Option<Merchant>> {
    let Some(merchant) = merchants::insert(connection, name)? else {
        return Ok(None);
    };
    let id = merchant.id;
    let (_, settings) = merchant_settings::change(connection, id, changes)?;
    if sandbox.sandbox_mode {
        add_dummy(connection, id)?;
    }
    let detail = json!({ "name": name, "settings": settings_json(&settings) });
    audit::record(connection, id, "merchant.create", &id.to_string(), &detail)?;
    Ok(Some(settings))
}

fn add_dummy(connection: &mut PgConnection, merchant: MerchantId) -> diesel::QueryResult<()> {
    let dummy = NewGatewayAccount {
        id: GatewayAccountId::new(),
        gateway_id: Gateway::Dummy.id(),
        reference_id: "dummy",
        priority: 100,
        pinned_only: true,
        base_url: None,
        settings: &json!({}),
    };
    gateway_accounts::upsert(connection, merchant, &dummy, None)
}
