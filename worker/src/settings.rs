//! Settings and command line of the worker.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};
use khata_config::{SandboxSettings, arguments};
use khata_crypto::KeyringSettings;
use khata_queue::Broker;
use khata_store::DatabaseSettings;
use khata_telemetry::TelemetrySettings;

/// The command on the command line.
#[derive(Clone, Debug)]
pub enum Call {
    /// `khata-worker`: work until SIGTERM.
    Work(Box<Settings>),
    /// `khata-worker healthcheck`: ask the worker at this address whether it is ready.
    Healthcheck(String),
}

impl Call {
    /// Parses the command line; ends the process on an error and on `--help`.
    pub fn parse() -> Self {
        Self::try_parse_from(std::env::args_os())
            .unwrap_or_else(|error| arguments::name_variables(error, &Self::command()).exit())
    }

    /// Returns the command line's definition. Built by hand: `healthcheck` does not need the settings of a worker.
    pub fn command() -> clap::Command {
        Settings::command()
            .subcommand(Healthcheck::command())
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true)
    }

    fn try_parse_from(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        match matches.subcommand() {
            Some((_, matches)) => Healthcheck::from_arg_matches(matches)
                .map(|healthcheck| Self::Healthcheck(healthcheck.listen)),
            None => {
                Settings::from_arg_matches(&matches).map(|settings| Self::Work(Box::new(settings)))
            }
        }
    }
}

/// Ask a running worker whether it is ready: exit code 0 if it is
#[derive(Debug, Parser)]
#[command(name = "healthcheck")]
struct Healthcheck {
    /// Address of the worker's health endpoints
    #[arg(long, env = "KHATA_WORKER_LISTEN", default_value = "127.0.0.1:8081")]
    listen: String,
}

/// Khata's worker: validates accounts through the merchants' gateways
#[derive(Clone, Debug, Parser)]
#[command(name = "khata-worker", version = khata_version::text(), about)]
pub struct Settings {
    /// Address of the health endpoints
    #[arg(long, env = "KHATA_WORKER_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: String,
    /// File that the bound port is written to, for port 0
    #[arg(long, env = "KHATA_PORT_FILE")]
    pub port_file: Option<PathBuf>,
    /// Maximum number of validations processed at once; an eighth more for validations that a caller waits for. One merchant
    /// uses at most three quarters
    #[arg(long, env = "KHATA_WORKER_CONCURRENCY", default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub concurrency: u16,
    /// Maximum number of webhook calls made at once to the endpoints of all merchants; one merchant uses at most three quarters
    #[arg(long, env = "KHATA_DELIVERY_CONCURRENCY", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) delivery_concurrency: u16,
    /// Seconds for which a worker leases a validation, and after which another worker takes over those of a stopped one; a
    /// gateway call may take at most (this − 4) / 2 seconds
    #[arg(long, env = "KHATA_WORKER_LEASE_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=600))]
    lease_seconds: u64,
    /// Milliseconds between two rounds of the scheduler
    #[arg(long, env = "KHATA_SCHEDULER_INTERVAL_MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    scheduler_interval_ms: u64,
    /// Seconds that validations and webhook calls in progress may take to finish after SIGTERM
    #[arg(long, env = "KHATA_WORKER_DRAIN_SECONDS", default_value_t = 25)]
    drain_seconds: u64,
    /// URL that gets alerts to operators, as http://alertmanager:9093/api/v2/alerts: of Alertmanager, or of another receiver of its
    /// API; empty: none
    #[arg(long, env = "KHATA_OPERATOR_ALERTS_URL", default_value = "")]
    pub(crate) operator_alerts_url: String,
    /// File with the value of the header `authorization` that this URL gets
    #[arg(long, env = "KHATA_OPERATOR_ALERTS_AUTHORIZATION_FILE")]
    pub(crate) operator_alerts_authorization_file: Option<PathBuf>,
    /// Address of docs/operations.md where operators read it: these alerts link to its sections; empty: no link
    #[arg(long, env = "KHATA_RUNBOOK_URL", default_value = "")]
    pub(crate) runbook_url: String,
    #[command(flatten)]
    pub(crate) database: DatabaseSettings,
    #[command(flatten)]
    pub(crate) broker: Broker,
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

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: [&str; 7] = [
        "khata-worker",
        "--database-url=postgres://h/d",
        "--amqp-url=amqp://h",
        "--keyring-file=keyring.json",
        "--listen=127.0.0.1:1",
        "--concurrency=3",
        "--drain-seconds=4",
    ];

    #[test]
    fn without_a_command_it_works() {
        let call = Call::try_parse_from(WORK).unwrap();
        assert!(matches!(call, Call::Work(settings) if settings.concurrency == 3));
    }

    #[test]
    fn a_healthcheck_requires_no_setting_of_a_worker() {
        let arguments = ["khata-worker", "healthcheck", "--listen", "127.0.0.1:2"];
        let call = Call::try_parse_from(arguments).unwrap();
        assert!(matches!(call, Call::Healthcheck(listen) if listen == "127.0.0.1:2"));
    }

    #[test]
    fn an_unknown_command_is_rejected() {
        for more in ["heal", "healthcheck"] {
            let call = Call::try_parse_from(WORK.into_iter().chain([more]));
            assert!(call.is_err(), "{more}: {call:?}");
        }
    }
}
