//! Commands for ops people, who have a shell beside the service and no HTTP client. Each change writes the audit log in
//! its own transaction. What a command prints as JSON is one document; its fields are kept stable for scripts.

mod account;
mod connectors;
mod gateway;
mod key;
mod keyring;
mod merchant;
mod table;

pub use account::AccountCommand;
pub use gateway::GatewayCommand;
pub use key::KeyCommand;
pub use keyring::KeyringCommand;
pub use merchant::MerchantCommand;

use std::io::Write;

use anyhow::Context;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use khata_config::SandboxSettings;
use khata_crypto::Keyring;
use khata_crypto::KeyringSettings;
use khata_store::DatabaseSettings;
use khata_store::merchants::{self, Merchant};

/// Khata's commands for operators
#[derive(Debug, clap::Parser)]
#[command(name = "khata", version = khata_version::text(), about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `khata`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Migrate the database schema; several may run at once
    Migrate(DatabaseSettings),
    /// Create and manage encryption keyrings
    #[command(subcommand)]
    Keyring(KeyringCommand),
    /// Create, show and change merchants
    #[command(subcommand)]
    Merchant(MerchantCommand),
    /// Issue, list, revoke and rotate API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Add, list, enable, disable and test merchants' gateway accounts
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Inspect a customer account or retry its validation
    #[command(subcommand)]
    Account(AccountCommand),
}

/// Migrates the schema and prints the migrations that ran.
pub fn migrate(database_url: &str) -> anyhow::Result<()> {
    let ran = khata_store::migrate(database_url)?;
    if ran.is_empty() {
        println!("The schema is up to date.");
    }
    for name in ran {
        println!("Ran {name}.");
    }
    Ok(())
}

fn connect(database_url: &str) -> anyhow::Result<PgConnection> {
    let mut connection =
        PgConnection::establish(database_url).context("cannot connect to the database")?;
    // A command that waits for ever is no answer either.
    connection.batch_execute("set statement_timeout = '30s'")?;
    Ok(connection)
}

/// For commands that read whole tables: as long as that takes, in a session that idles in no transaction.
fn connect_patiently(database_url: &str) -> anyhow::Result<PgConnection> {
    let mut connection = connect(database_url)?;
    connection.batch_execute("set statement_timeout = 0")?;
    Ok(connection)
}

fn open(settings: &KeyringSettings, sandbox: SandboxSettings) -> anyhow::Result<Keyring> {
    Ok(settings.load(sandbox.sandbox_mode)?)
}

fn find_merchant(connection: &mut PgConnection, name_or_id: &str) -> anyhow::Result<Merchant> {
    merchants::find(connection, name_or_id)?.with_context(|| {
        format!(
            "there is no merchant {name_or_id:?}; `khata-api merchant list` names them all, \
             `khata-api merchant create` makes one"
        )
    })
}

/// Prints the JSON, or what a person reads. Whoever has read enough may close the pipe.
fn print(json: bool, value: &serde_json::Value, text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let printed = if json {
        writeln!(out, "{value}")
    } else {
        writeln!(out, "{text}")
    };
    match printed.and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot print")
        }
        _ => Ok(()),
    }
}
