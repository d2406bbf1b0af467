//! Options that several commands share: the database, the form of the output, and the merchant.

use anyhow::Context;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use khata_store::DatabaseSettings;
use khata_store::merchants::{self, Merchant};
use serde_json::Value;

use crate::output::print;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CommonOptions {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl CommonOptions {
    /// Connects with a statement time-out of 30 s, so that a command never waits forever.
    pub(crate) fn connect(&self) -> anyhow::Result<PgConnection> {
        connect(&self.database.database_url, "30s")
    }

    /// Connects, and finds the merchant.
    pub(crate) fn connect_for(
        &self,
        merchant: &MerchantOption,
    ) -> anyhow::Result<(PgConnection, Merchant)> {
        let mut connection = self.connect()?;
        let merchant = find_merchant(&mut connection, &merchant.merchant)?;
        Ok((connection, merchant))
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

fn connect(database_url: &str, statement_timeout: &str) -> anyhow::Result<PgConnection> {
    let mut connection =
        PgConnection::establish(database_url).context("cannot connect to the database")?;
    connection.batch_execute(&format!("set statement_timeout = '{statement_timeout}'"))?;
    Ok(connection)
}

/// Connects without a statement time-out, for commands that read whole tables.
pub(crate) fn connect_without_timeout(database_url: &str) -> anyhow::Result<PgConnection> {
    connect(database_url, "0")
}

pub(crate) fn find_merchant(
    connection: &mut PgConnection,
    name_or_id: &str,
) -> anyhow::Result<Merchant> {
    merchants::find(connection, name_or_id)?.with_context(|| {
        format!(
            "merchant {name_or_id:?} does not exist; list merchants with `khata merchant list`, or create one with \
             `khata merchant create`"
        )
    })
}
