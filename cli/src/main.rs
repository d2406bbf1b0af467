//! `khata`: the operator's commands. See `khata --help`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match khata_cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("khata: {error:#}");
            ExitCode::FAILURE
        }
    }
}
