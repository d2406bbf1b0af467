//! The program: reads the settings and serves until SIGTERM or SIGINT.

use anyhow::Context;
use clap::Parser;
use khata_sandbox::{Application, Settings};
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let mut settings = Settings::parse();
    let seed = *settings.seed.get_or_insert_with(rand::random);
    // Handlers first: a signal that arrives while the port file is written still stops the server in order.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;

    let application = Application::build(&settings)?;
    let port = application.port();
    eprintln!("khata-sandbox listens on {} (port {port})", settings.listen);
    eprintln!("random faults have the seed {seed} (KHATA_SANDBOX_SEED)");
    settings.write_port_file(port)?;

    let server = application.handle();
    actix_web::rt::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        server.stop(true).await;
    });
    application.run_until_stopped().await
}
