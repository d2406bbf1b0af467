//! `khata-api key`.

use diesel::Connection;
use khata_shared::config::{DatabaseSettings, KeyringSettings, SandboxSettings};
use khata_shared::crypto::ApiKey;
use khata_shared::store::{audit, merchants};
use serde_json::json;

use super::{connect, find_merchant, print};

/// API keys.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Issue a key; it is shown this once and never again
    Issue {
        /// The merchant's name or id
        #[arg(long)]
        merchant: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Where Postgres is
        #[command(flatten)]
        database: DatabaseSettings,
        /// The keys
        #[command(flatten)]
        keyring: KeyringSettings,
        /// Whether this is a playground
        #[command(flatten)]
        sandbox: SandboxSettings,
    },
}

impl KeyCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        let Self::Issue {
            merchant,
            json,
            database,
            keyring,
            sandbox,
        } = self;
        let keyring = keyring.load(sandbox.sandbox_mode)?;
        let mut connection = connect(&database.database_url)?;
        let merchant = find_merchant(&mut connection, &merchant)?;
        let key = ApiKey::generate(sandbox.sandbox_mode);
        connection.transaction::<_, anyhow::Error, _>(|connection| {
            merchants::insert_key(
                connection,
                merchant.id(),
                &keyring.hash_api_key(&key),
                key.prefix(),
                None,
            )?;
            audit::record(
                connection,
                merchant.id(),
                "key.issue",
                key.prefix(),
                &json!({}),
            )?;
            Ok(())
        })?;
        print(
            json,
            &json!({ "key": key.expose(), "prefix": key.prefix() }),
            &format!(
                "{}\nThis key is shown once. Its prefix, {}, is kept.",
                key.expose(),
                key.prefix()
            ),
        );
        Ok(())
    }
}
