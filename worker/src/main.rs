//! `khata-worker`: see `khata-worker --help`.

use clap::Parser;
use khata_shared::{shutdown, telemetry};
use khata_worker::{Application, Settings};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let telemetry = telemetry::start(&settings.telemetry, "khata-worker")?;
    let (trigger, shutdown) = shutdown::channel();
    tokio::spawn(async move {
        let _ = shutdown::signalled().await;
        trigger.raise();
    });
    let result = Application::build(settings)?
        .run_until_stopped(shutdown)
        .await;
    telemetry.shut_down();
    result
}
