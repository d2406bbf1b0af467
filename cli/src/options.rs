//! Options that several commands share.

use diesel::PgConnection;
use khata_store::DatabaseSettings;
use khata_store::merchants::Merchant;
use serde_json::Value;

use crate::database::{connect, find_merchant};
use crate::output::print;

/// The database to use and the form of the output.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CommonOptions {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl CommonOptions {
    pub(crate) fn connect(&self) -> anyhow::Result<PgConnection> {
        connect(&self.database.database_url)
    }

    /// Prints the JSON document with `--json`, else the text.
    pub(crate) fn print(&self, document: &Value, text: &str) -> anyhow::Result<()> {
        print(self.json, document, text)
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MerchantOption {
    /// Name or id of the merchant
    #[arg(long)]
    merchant: String,
}

impl MerchantOption {
    pub(crate) fn find(&self, connection: &mut PgConnection) -> anyhow::Result<Merchant> {
        find_merchant(connection, &self.merchant)
    }
}
