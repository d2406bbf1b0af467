//! `khata-worker`: see `khata-worker --help`.

use clap::Parser;
use khata_shared::{shutdown, telemetry};
use khata_worker::{Application, Settings};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    shutdown::run_service(async |shutdown| {
        let telemetry = telemetry::start(&settings.telemetry, "khata-worker")?;
        let result = Application::build(settings)?
            .run_until_stopped(shutdown)
            .await;
        telemetry.shut_down();
        result
    })
}
