//! `khata`: the operator's commands. See `khata --help`.

use std::process::ExitCode;

use clap::Parser;
use khata_cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Migrate(settings) => khata_cli::migrate(&settings.database_url),
        Command::Keyring(command) => command.run(),
        Command::Merchant(command) => command.run(),
        Command::Key(command) => command.run(),
        Command::Gateway(command) => command.run(),
        Command::Account(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("khata: {error:#}");
            ExitCode::FAILURE
        }
    }
}
