//! `khata-traces`: the local stack's trace viewer.
//!
//! Receives spans by OTLP over gRPC, keeps the latest in memory and shows them in the Jaeger UI, so that a machine without
//! Grafana can show one account's trace. For development: the viewer has no user accounts, and keeps no span on disk.

use std::future::IntoFuture;
use std::net::SocketAddr;

use anyhow::Context;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::Response;
use clap::Parser;
use otlp_embedded::{Config, State, TraceServiceImpl, TraceServiceServer, ui_app};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Maximum number of traces. Beyond it, or beyond [`MAX_BYTES`], the viewer drops the oldest.
const MAX_TRACES: u32 = 20_000;

/// Maximum size of the traces by the store's estimate. The process itself is slightly larger.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Maximum size of an export. Exporters send a few hundred spans at a time, well below this size.
const MAX_EXPORT_BYTES: usize = 16 * 1024 * 1024;

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
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let traces = State::new(Config {
        max_length: MAX_TRACES,
        max_memory_usage: MAX_BYTES,
    });

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

    let pages = ui_app(traces.clone(), "/").layer(middleware::map_response(redirect_as_page));
    let receiver = TraceServiceServer::new(TraceServiceImpl::new(traces))
        .max_decoding_message_size(MAX_EXPORT_BYTES);

    // Stops at once: exporters never close their connections, and the spans in memory are lost anyway.
    tokio::select! {
        ended = axum::serve(ui, pages).into_future() => ended.context("the UI's server ended"),
        ended = Server::builder().add_service(receiver).serve_with_incoming(otlp) => ended.context("the OTLP server ended"),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Changes the status of the UI's own routes (`/trace/<id>`) to 200. The library replies with the right page but with status
/// 307 and no `Location`, which clients other than browsers treat as a failure.
async fn redirect_as_page(mut response: Response) -> Response {
    if response.status() == StatusCode::TEMPORARY_REDIRECT
        && !response.headers().contains_key(header::LOCATION)
    {
        *response.status_mut() = StatusCode::OK;
    }
    response
}
