//! Commands for operators, who have a shell beside the services and no HTTP client.
//!
//! A command that changes data writes the audit log in the same transaction. With `--json` a command prints one JSON
//! document; its fields are stable for scripts.

mod account;
mod audit;
mod delivery;
mod event;
mod gateway;
mod help;
mod key;
mod keyring;
mod merchant;
mod options;
mod output;
mod times;
mod webhook;

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use khata_store::DatabaseSettings;

/// Khata's commands for operators
#[derive(Debug, clap::Parser)]
#[command(name = "khata", version = khata_version::text(), about)]
pub struct Cli {
    /// Print JSON: the result as one document, or one for each event where the command follows events
    #[arg(long, global = true)]
    json: bool,
    /// Zone of the times in texts: UTC, Asia/Kolkata (IST), or an offset like +05:30; JSON always has UTC [default: UTC]
    #[arg(long, global = true, env = "KHATA_TIMEZONE", value_name = "ZONE", value_parser = times::parse_zone)]
    timezone: Option<times::Zone>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Migrate the database schema and grant the database roles their rights; several processes may run this at once
    Migrate {
        /// Database roles that must exist; otherwise the command ends with 1, so that a job runs it again until each role has its
        /// rights
        #[arg(long, value_name = "ROLE,…", value_delimiter = ',')]
        require_roles: Vec<String>,
        #[command(flatten)]
        database: DatabaseSettings,
    },
    /// Create and manage encryption keyrings
    #[command(subcommand)]
    Keyring(keyring::KeyringCommand),
    /// Create, show and change merchants
    #[command(subcommand)]
    Merchant(merchant::MerchantCommand),
    /// Issue, list, revoke and rotate API keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Add, list, enable, disable and test merchants' gateway accounts
    #[command(subcommand)]
    Gateway(gateway::GatewayCommand),
    /// Inspect a customer account, retry its validation, or decide about its holder's name
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Add and manage merchants' webhook endpoints, and try webhooks on a developer's machine
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// List and show events, and deliver them again
    #[command(subcommand)]
    Event(event::EventCommand),
    /// List the changes that operators made
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Print the completion script for a shell: source it, or write it to the shell's folder of completions
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write a man page of each command into a directory
    Man { directory: PathBuf },
}

impl Cli {
    /// Runs the command. An error is the text for the operator; the exit code is then 1.
    pub fn run(self) -> anyhow::Result<()> {
        output::set_form(self.json, self.timezone);
        match self.command {
            Command::Migrate {
                require_roles,
                database,
            } => migrate(&database, &require_roles),
            Command::Keyring(command) => command.run(),
            Command::Merchant(command) => command.run(),
            Command::Key(command) => command.run(),
            Command::Gateway(command) => command.run(),
            Command::Account(command) => command.run(),
            Command::Webhook(command) => command.run(),
            Command::Event(command) => command.run(),
            Command::Audit(command) => command.run(),
            Command::Completions { shell } => help::completions(Self::command(), shell),
            Command::Man { directory } => help::man(Self::command(), &directory),
        }
    }
}

fn migrate(database: &DatabaseSettings, required: &[String]) -> anyhow::Result<()> {
    // Before the rights are granted: a role that exists now gets them.
    let mut connection = options::connect_without_timeout(&database.database_url)?;
    let required = khata_store::rights::missing_roles(&mut connection, required)?;
    drop(connection);
    let migrated = khata_store::migrate(&database.database_url)?;
    if migrated.ran.is_empty() {
        println!("The schema is up to date.");
    }
    for name in migrated.ran {
        println!("Ran {name}.");
    }
    let missing = |roles: &str| {
        format!(
            "These database roles do not exist and got no rights: {roles}. Create them with deploy/postgres/roles.sql, then run \
             `khata migrate` again; until then the services need the rights of the tables' owner."
        )
    };
    if !required.is_empty() {
        anyhow::bail!(missing(&required.join(", ")));
    }
    if !migrated.missing_roles.is_empty() {
        println!("{}", missing(&migrated.missing_roles.join(", ")));
    }
    Ok(())
}
