//! `khata-api`: see `khata-api --help`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use khata_api::{Application, Cli, Command, ServeSettings};
use khata_config::{arguments, healthcheck, print, shutdown, variables};
use khata_telemetry as telemetry;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("khata-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let cli = Cli::try_parse()
        .unwrap_or_else(|error| arguments::name_variables(error, &Cli::command()).exit());
    match cli.command {
        Command::Serve(settings) => serve(&settings)?,
        Command::Healthcheck { listen } => print(&format!("{}\n", healthcheck::check(&listen)?))?,
        Command::Openapi => print(&khata_api::openapi()?)?,
    }
    Ok(())
}

fn serve(settings: &ServeSettings) -> anyhow::Result<()> {
    shutdown::run_service(async |shutdown| {
        let telemetry = telemetry::start(&settings.telemetry, "khata-api")?;
        variables::warn_of_misspelt();
        let result = Application::build(settings)?
            .run_until_stopped(shutdown)
            .await;
        telemetry.shut_down();
        result
    })
}
