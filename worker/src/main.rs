//! `khata-worker`: see `khata-worker --help`.

use std::process::ExitCode;

use khata_config::{healthcheck, print, shutdown, variables};
use khata_telemetry as telemetry;
use khata_worker::{Application, Call, Settings};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let result = match Call::parse() {
        Call::Work(settings) => work(*settings),
        Call::Healthcheck(listen) => healthcheck::check(&listen)
            .map_err(anyhow::Error::from)
            .and_then(|ready| Ok(print(&format!("{ready}\n"))?)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("khata-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(settings: Settings) -> anyhow::Result<()> {
    shutdown::run_service(async |shutdown| {
        let telemetry = telemetry::start(&settings.telemetry, "khata-worker")?;
        variables::warn_of_misspelt();
        let result = Application::build(settings)?
            .run_until_stopped(shutdown)
            .await;
        telemetry.shut_down();
        result
    })
}
