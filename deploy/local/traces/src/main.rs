//! `khata-traces`: the local stack's trace viewer.
//!
//! Receives spans by OTLP over gRPC, keeps the latest in memory and shows them in the Jaeger UI, so that one account's
//! trace is a picture on a machine without Grafana. For development: it has no accounts, and it forgets when it stops.

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

/// The oldest traces are dropped beyond this number, or beyond [`MAX_BYTES`], whichever comes first.
const MAX_TRACES: u32 = 20_000;

/// An estimate by the store; the process itself is somewhat larger.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The largest export that is accepted. Exporters send some hundred spans at a time, well below it.
const MAX_EXPORT_BYTES: usize = 16 * 1024 * 1024;

/// Shows traces in the browser that it receives over OTLP.
#[derive(Debug, Parser)]
#[command(version)]
struct Settings {
    /// Where the Jaeger UI and its JSON (`/api/traces/<trace id>`) are served over HTTP.
    #[arg(long, env = "KHATA_TRACES_LISTEN", default_value = "127.0.0.1:16686")]
    listen: SocketAddr,

    /// Where spans are received: OTLP over gRPC.
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

    let pages = ui_app(traces.clone(), "/").layer(middleware::map_response(page_as_found));
    let receiver = TraceServiceServer::new(TraceServiceImpl::new(traces))
        .max_decoding_message_size(MAX_EXPORT_BYTES);

    // Nothing is worth finishing: connections of exporters stay open for ever, and what is in memory goes anyway.
    tokio::select! {
        ended = axum::serve(ui, pages).into_future() => ended.context("the UI's server ended"),
        ended = Server::builder().add_service(receiver).serve_with_incoming(otlp) => ended.context("the OTLP server ended"),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// The UI's own routes (`/trace/<id>`) come with its start page, but as a redirect to no_gateway (307 without `Location`),
/// which clients other than browsers take for a failure. It is the page that was asked for: 200.
async fn page_as_found(mut response: Response) -> Response {
    if response.status() == StatusCode::TEMPORARY_REDIRECT
        && !response.headers().contains_key(header::LOCATION)
    {
        *response.status_mut() = StatusCode::OK;
    }
    response
}
