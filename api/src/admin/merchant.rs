//! `khata-api merchant`.

use anyhow::bail;
use diesel::Connection;
use khata_shared::config::{DatabaseSettings, SandboxSettings};
use khata_shared::domain::{Gateway, GatewayAccountId};
use khata_shared::store::gateway_accounts::{self, NewGatewayAccount};
use khata_shared::store::{audit, merchants};
use serde_json::json;

use super::{connect, print};

/// Merchants.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum MerchantCommand {
    /// Make a merchant; in sandbox mode with a DUMMY gateway account that calls can name
    Create {
        /// Unique: lower-case letters, digits, `_` and `-`, at most 63
        #[arg(long)]
        name: String,
        /// Do nothing if there is one of this name
        #[arg(long)]
        if_absent: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Where Postgres is
        #[command(flatten)]
        database: DatabaseSettings,
        /// Whether this is a playground
        #[command(flatten)]
        sandbox: SandboxSettings,
    },
}

impl MerchantCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        let Self::Create {
            name,
            if_absent,
            json,
            database,
            sandbox,
        } = self;
        let fits = (1..=63).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !fits {
            bail!(
                "--name must be lower-case letters, digits, _ and -, at most 63, and start with a letter or digit"
            );
        }
        let mut connection = connect(&database.database_url)?;
        let created = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let Some(merchant) = merchants::insert(connection, &name)? else {
                return Ok(None);
            };
            if sandbox.sandbox_mode {
                let dummy = NewGatewayAccount {
                    id: GatewayAccountId::new(),
                    gateway_id: Gateway::Dummy.id(),
                    reference_id: "dummy",
                    priority: 100,
                    pinned_only: true,
                    base_url: None,
                    settings: &json!({}),
                };
                gateway_accounts::upsert(connection, merchant.id(), &dummy, None)?;
            }
            audit::record(
                connection,
                merchant.id(),
                "merchant.create",
                &merchant.id().to_string(),
                &json!({ "name": name }),
            )?;
            Ok(Some(merchant))
        })?;
        let is_new = created.is_some();
        let merchant = match created {
            Some(merchant) => merchant,
            None if if_absent => super::find_merchant(&mut connection, &name)?,
            None => bail!("there is a merchant {name:?} already"),
        };
        print(
            json,
            &json!({ "id": merchant.id().to_string(), "name": merchant.name, "created": is_new }),
            &format!("Merchant {} is {}.", merchant.name, merchant.id()),
        );
        Ok(())
    }
}
