//! Commands for operators, who have a shell beside the services and no HTTP client.
//!
//! A command that changes data writes the audit log in the same transaction. With `--json` a command prints one JSON
//! document; its fields are stable for scripts. Standard error then has JSON, too, one object a line: an `error`, or a `note` about work in
//! progress.

mod account;
mod apply;
mod attempts;
mod audit;
mod delivery;
mod doctor;
mod event;
mod gateway;
mod help;
mod key;
mod keyring;
mod merchant;
mod options;
mod output;
mod table;
mod times;
mod webhook;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use khata_config::arguments::name_variables;
use khata_store::DatabaseSettings;
use output::Fault;
use serde_json::json;

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
    /// Add, list, change, enable, disable and test merchants' gateway accounts
    #[command(subcommand)]
    Gateway(gateway::GatewayCommand),
    /// Find and inspect customer accounts, retry their validations, or decide about their holders' names
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Add and manage merchants' webhook endpoints, and try webhooks on a developer's machine
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// List and show events, and deliver them again
    #[command(subcommand)]
    Event(event::EventCommand),
    /// Create and change merchants and gateway accounts as a file declares them; without --yes, only print what would change
    ///
    /// A member of `settings` of a merchant is an option of `khata merchant set`, without its hyphens in front. The command changes what
    /// the file names and nothing else; it deletes nothing. All changes are one transaction, each with its line of the audit log.
    Apply(Box<apply::Apply>),
    /// List the changes that operators made
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Check on the live database what Khata promises, or compare a gateway's statement with the attempts; reads only
    ///
    /// Names each row that breaks a rule, what that means, and how to repair it. Finds accounts without a validation and validations
    /// without an account, statuses that differ from the outcome, unfinished attempts of completed validations, expired leases, due
    /// validations and deliveries that no worker takes, validations that were set aside, attempts without a reference, missing events,
    /// penny drops that the budget did not count, and values that the keyring does not decrypt. The exit code is 0 if nothing was found,
    /// 1 if something was, and 2 if the command could not check.
    ///
    /// Reads every account, validation and attempt a few times, in statements of 10,000 rows, of which Postgres ends each after 30 s, and
    /// the events once for each 500,000 accounts that are older: one to two minutes for a million accounts, up to an hour for ten
    /// million. Takes no lock that others wait for, and 120 MB of memory at most. --merchant and --limit read less. Accounts that change
    /// during the check are no finding.
    ///
    /// With --statement it reads the statement twice and the attempts of its time, and keeps 32 bytes for each row. Our references
    /// (kh…_01) and the gateway's ids are compared, for rows of exactly one rupee, in the period from the first to the last row of any
    /// amount, or of --since and --until. A rupee that was not reversed, of an attempt that did not end VALID, is listed as information.
    Doctor(Box<doctor::Doctor>),
    /// Print the completion script for a shell: source it, or write it to the shell's folder of completions
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write a man page of each command into a directory
    Man { directory: PathBuf },
}

/// Runs the command that the arguments of the process name. Returns 0, 1 for an error, or 2 for wrong arguments. `khata doctor` returns
/// 1 for findings, and 2 for an error.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            return wrong_arguments(&name_variables(error, &Cli::command()));
        }
    };
    let of_error = match cli.command {
        Command::Doctor(_) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    };
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            output::report(Fault::Failed, &format!("{error:#}"));
            of_error
        }
    }
}

/// Prints the help or the version if they were asked for, else why the arguments are wrong.
fn wrong_arguments(error: &clap::Error) -> ExitCode {
    // The arguments were not parsed, so that only their text says in which form the script expects the error.
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        output::set_form(json, None);
        output::report(Fault::WrongArguments, &error.to_string());
    } else {
        // A closed standard output does not matter.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

impl Cli {
    /// Runs the command. An error is the text for the operator.
    fn run(self) -> anyhow::Result<ExitCode> {
        output::set_form(self.json, self.timezone);
        let done = match self.command {
            Command::Doctor(doctor) => {
                let is_sound = doctor.run()?;
                return Ok(ExitCode::from(u8::from(!is_sound)));
            }
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
            Command::Apply(apply) => apply.run(),
            Command::Audit(command) => command.run(),
            Command::Completions { shell } => help::completions(Self::command(), shell),
            Command::Man { directory } => help::man(Self::command(), &directory),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

fn migrate(database: &DatabaseSettings, required: &[String]) -> anyhow::Result<()> {
    // Before the rights are granted: a role that exists now gets them.
    let mut connection = options::connect_without_timeout(&database.database_url)?;
    let required = khata_store::rights::missing_roles(&mut connection, required)?;
    drop(connection);
    let migrated = khata_store::migrate(&database.database_url)?;
    let mut lines: Vec<String> = migrated
        .ran
        .iter()
        .map(|name| format!("Ran {name}."))
        .collect();
    if lines.is_empty() {
        lines.push("The schema is up to date.".to_owned());
    }
    let missing = |roles: &str| {
        format!(
            "These database roles do not exist and got no rights: {roles}. Create them with deploy/postgres/roles.sql, then run \
             `khata migrate` again; until then the services need the rights of the tables' owner."
        )
    };
    if required.is_empty() && !migrated.missing_roles.is_empty() {
        lines.push(missing(&migrated.missing_roles.join(", ")));
    }
    let document = json!({ "ran": migrated.ran, "missing_roles": migrated.missing_roles });
    output::print(&document, &lines.join("\n"))?;
    if !required.is_empty() {
        anyhow::bail!(missing(&required.join(", ")));
    }
    Ok(())
}
