//! The command line.

use std::path::PathBuf;

use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_queue::BrokerSettings;
use khata_store::DatabaseSettings;
use khata_telemetry::TelemetrySettings;

/// Khata's API for merchants
#[derive(Debug, clap::Parser)]
#[command(name = "khata-api", version = khata_version::text(), about)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What `khata-api` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Serve the API until SIGTERM
    Serve(Box<ServeSettings>),
    /// Ask a running API whether it is ready: exit code 0 if it is
    Healthcheck {
        /// Address it listens on
        #[arg(long, env = "KHATA_LISTEN", default_value = "127.0.0.1:8080")]
        listen: String,
    },
    /// Print the OpenAPI document that the API serves at /openapi.json
    Openapi,
}

/// What the API can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeSettings {
    /// Address to listen on
    #[arg(long, env = "KHATA_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: String,
    /// File that the bound port is written to, for port 0
    #[arg(long, env = "KHATA_PORT_FILE")]
    pub port_file: Option<PathBuf>,
    /// Address of /metrics, for Prometheus; empty: there is none
    #[arg(long, env = "KHATA_METRICS_LISTEN", default_value = "127.0.0.1:9464")]
    pub metrics_listen: String,
    /// File that the port of /metrics is written to, for port 0
    #[arg(long, env = "KHATA_METRICS_PORT_FILE")]
    pub metrics_port_file: Option<PathBuf>,
    /// Threads that serve HTTP; as many as cores by default
    #[arg(long, env = "KHATA_API_THREADS")]
    pub threads: Option<usize>,
    /// Seconds that open requests may take to finish after SIGTERM
    #[arg(long, env = "KHATA_API_DRAIN_SECONDS", default_value_t = 10)]
    pub drain_seconds: u64,
    #[command(flatten)]
    pub(crate) database: DatabaseSettings,
    #[command(flatten)]
    pub(crate) broker: BrokerSettings,
    #[command(flatten)]
    pub(crate) keyring: KeyringSettings,
    #[command(flatten)]
    pub(crate) sandbox: SandboxSettings,
    /// Logs and traces
    #[command(flatten)]
    pub telemetry: TelemetrySettings,
}
