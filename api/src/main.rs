//! `khata-api`: see `khata-api --help`.

use std::process::ExitCode;

use clap::Parser;
use khata_api::{Application, Cli, Command, ServeSettings};
use khata_shared::{healthcheck, shutdown, store, telemetry};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(settings) => serve(&settings),
        Command::Migrate(database) => migrate(&database.database_url),
        Command::Healthcheck { listen } => healthcheck(&listen),
        Command::Openapi => openapi(),
        Command::Keyring(command) => command.run(),
        Command::Merchant(command) => command.run(),
        Command::Key(command) => command.run(),
        Command::Gateway(command) => command.run(),
        Command::Account(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("khata-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: &ServeSettings) -> anyhow::Result<()> {
    shutdown::run_service(async |shutdown| {
        let telemetry = telemetry::start(&settings.telemetry, "khata-api")?;
        let result = Application::build(settings)?
            .run_until_stopped(shutdown)
            .await;
        telemetry.shut_down();
        result
    })
}

fn healthcheck(listen: &str) -> anyhow::Result<()> {
    println!("{}", healthcheck::ask(listen)?);
    Ok(())
}

fn openapi() -> anyhow::Result<()> {
    print!("{}", khata_api::openapi()?);
    Ok(())
}

fn migrate(database_url: &str) -> anyhow::Result<()> {
    let ran = store::migrate(database_url)?;
    if ran.is_empty() {
        println!("The schema is up to date.");
    }
    for name in ran {
        println!("Ran {name}.");
    }
    Ok(())
}
