//! The command line.

use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_queue::Broker;
use khata_store::DatabaseSettings;
use khata_telemetry::TelemetrySettings;

/// Khata's API for merchants
#[derive(Debug, clap::Parser)]
#[command(name = "khata-api", version = khata_version::text(), about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `khata-api`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve the API until SIGTERM
    Serve(Box<ServeSettings>),
    /// Check that a running API is ready: exit code 0 if so
    Healthcheck {
        /// Address that the API listens on
        #[arg(long, env = "KHATA_LISTEN", default_value = "127.0.0.1:8080")]
        listen: String,
    },
    /// Print the OpenAPI document that the API serves at /openapi.json
    Openapi,
}

fn within(least: u64, most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..=most)
}

/// The settings of the API.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeSettings {
    /// Address to listen on
    #[arg(long, env = "KHATA_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// File to write the bound port to, for port 0
    #[arg(long, env = "KHATA_PORT_FILE")]
    pub port_file: Option<PathBuf>,
    /// Address of /metrics for Prometheus; empty: none
    #[arg(long, env = "KHATA_METRICS_LISTEN", default_value = "127.0.0.1:9464")]
    pub metrics_listen: String,
    /// File to write the port of /metrics to, for port 0
    #[arg(long, env = "KHATA_METRICS_PORT_FILE")]
    pub metrics_port_file: Option<PathBuf>,
    /// Threads that serve HTTP; default: number of cores
    #[arg(long, env = "KHATA_API_THREADS", value_parser = within(1, 1_024))]
    pub threads: Option<usize>,
    /// Maximum number of open connections, 64 or more; default: one per 512 KiB of the memory limit of the control group, 4,096 at
    /// most
    #[arg(long, env = "KHATA_API_CONNECTIONS", value_parser = within(64, 1_000_000))]
    pub connections: Option<usize>,
    /// Serve the page with every call at /docs and the OpenAPI document at /openapi.json
    #[arg(long, env = "KHATA_API_DOCS", action = clap::ArgAction::Set, default_value_t = true)]
    pub docs: bool,
    /// Seconds for open requests to finish after SIGTERM
    #[arg(long, env = "KHATA_API_DRAIN_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub drain_seconds: u64,
    #[command(flatten)]
    pub(crate) database: DatabaseSettings,
    #[command(flatten)]
    pub(crate) broker: Broker,
    #[command(flatten)]
    pub(crate) keyring: KeyringSettings,
    #[command(flatten)]
    pub(crate) sandbox: SandboxSettings,
    /// What a caller's `traceparent` does
    #[arg(long, env = "KHATA_TRACE_CALLERS", value_enum, default_value_t)]
    pub(crate) trace_callers: TraceCallers,
    /// Logs and traces
    #[command(flatten)]
    pub telemetry: TelemetrySettings,
}

/// What a caller's `traceparent` does.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum TraceCallers {
    /// The request begins a trace of its own, with a link to the caller's
    #[default]
    Link,
    /// The request is a part of the caller's trace, and recorded if the caller says so: only for callers that may decide this
    Continue,
}
