//! `khata-traces`: the local stack's trace viewer.
//!
//! Receives spans by OTLP over gRPC, keeps the latest in a fixed amount of memory, and searches them for the Jaeger UI, so that
//! a machine without Grafana can show one account's trace. For development: the viewer has no user accounts, and keeps no span
//! on disk.

mod jaeger;
mod pages;
mod receiver;
mod search;
mod store;

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::store::Store;

/// Receive traces over OTLP and show them in the browser
#[derive(Debug, Parser)]
#[command(version)]
struct Settings {
    /// Address of the Jaeger UI and its JSON (`/api/traces/<trace id>`), over HTTP
    #[arg(long, env = "KHATA_TRACES_LISTEN", default_value = "127.0.0.1:16686")]
    listen: SocketAddr,

    /// Address for spans: OTLP over gRPC
    #[arg(
        long,
        env = "KHATA_TRACES_OTLP_LISTEN",
        default_value = "127.0.0.1:4317"
    )]
    otlp_listen: SocketAddr,

    /// Memory for spans in bytes, 1 MiB or more; beyond it the oldest traces are removed
    #[arg(
        long,
        env = "KHATA_TRACES_MEMORY_BYTES",
        default_value_t = 256 * 1024 * 1024,
        value_parser = RangedU64ValueParser::<usize>::new().range(1024 * 1024..)
    )]
    memory_bytes: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let ui = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let otlp = TcpIncoming::bind(settings.otlp_listen)
        .with_context(|| format!("cannot listen on {}", settings.otlp_listen))?;
    eprintln!(
        "traces on http://{}, spans by OTLP on {}",
        ui.local_addr()?,
        otlp.local_addr()?
    );

    let store = Arc::new(Mutex::new(Store::new(settings.memory_bytes)));
    let pages = pages::router(store.clone());
    let receiver = receiver::service(store);

    // Stops at once: exporters never close their connections, and the spans in memory are lost anyway.
    tokio::select! {
        ended = axum::serve(ui, pages).into_future() => ended.context("the UI's server ended"),
        ended = Server::builder().add_service(receiver).serve_with_incoming(otlp) => ended.context("the OTLP server ended"),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}
