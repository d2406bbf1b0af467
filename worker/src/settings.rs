//! What a worker can be told.

use std::path::PathBuf;
use std::time::Duration;

use khata_shared::config::{BrokerSettings, DatabaseSettings, KeyringSettings, SandboxSettings};
use khata_shared::telemetry::TelemetrySettings;

/// Khata's worker: validates accounts through the merchants' gateways
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "khata-worker", version = khata_version::text(), about)]
pub struct Settings {
    /// Address of the health endpoints
    #[arg(long, env = "KHATA_WORKER_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: String,
    /// File that the bound port is written to, for port 0
    #[arg(long, env = "KHATA_PORT_FILE")]
    pub port_file: Option<PathBuf>,
    /// Validations in hand at once
    #[arg(long, env = "KHATA_WORKER_CONCURRENCY", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub concurrency: u16,
    /// Seconds a claimed validation is kept from other workers, and so after which a dead worker's are rescued; a
    /// gateway call may take (this − 4) / 2 at most
    #[arg(long, env = "KHATA_WORKER_LEASE_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=600))]
    lease_seconds: u64,
    /// Milliseconds between the scheduler's looks at what is due
    #[arg(long, env = "KHATA_SCHEDULER_INTERVAL_MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    scheduler_interval_ms: u64,
    /// Seconds that validations in hand may take to finish after SIGTERM
    #[arg(long, env = "KHATA_WORKER_DRAIN_SECONDS", default_value_t = 25)]
    drain_seconds: u64,
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

impl Settings {
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    pub(crate) fn scheduler_interval(&self) -> Duration {
        Duration::from_millis(self.scheduler_interval_ms)
    }

    pub(crate) fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}
