//! Settings that both services take, from flags or the environment. `--help` of each binary lists them all.

use std::path::PathBuf;

use crate::broker::Broker;

/// Where Postgres is.
#[derive(Clone, clap::Args)]
pub struct DatabaseSettings {
    /// Postgres, as postgres://user:password@host[,host]/database; several hosts with target_session_attrs=read-write
    /// fail over
    #[arg(long, env = "KHATA_DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
}

impl std::fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseSettings(…)")
    }
}

/// Where RabbitMQ is.
#[derive(Clone, clap::Args)]
pub struct BrokerSettings {
    /// RabbitMQ, as amqp://user:password@host/vhost (amqps:// for TLS)
    #[arg(long, env = "KHATA_AMQP_URL", hide_env_values = true)]
    pub amqp_url: String,
    /// What the queues' names start with
    #[arg(long, env = "KHATA_QUEUE_PREFIX", default_value = "khata")]
    pub queue_prefix: String,
}

impl std::fmt::Debug for BrokerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerSettings")
            .field("queue_prefix", &self.queue_prefix)
            .finish_non_exhaustive()
    }
}

impl BrokerSettings {
    /// The broker these settings tell of.
    pub fn broker(&self) -> Broker {
        Broker::new(&self.amqp_url, &self.queue_prefix)
    }
}

/// The keys.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyringSettings {
    /// File with the keyring's JSON (`khata-api keyring generate` makes one)
    #[arg(long, env = "KHATA_KEYRING_FILE")]
    pub keyring_file: PathBuf,
}

/// Whether this is a playground.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SandboxSettings {
    /// Sandbox mode: issues test keys and allows the DUMMY gateway; never with real money
    #[arg(long = "sandbox", env = "KHATA_SANDBOX_MODE", action = clap::ArgAction::Set, default_value_t = false)]
    pub sandbox_mode: bool,
}

/// Writes the port that was bound to `path`, for whoever asked for port 0.
pub fn write_port_file(path: Option<&PathBuf>, port: u16) -> std::io::Result<()> {
    path.map_or(Ok(()), |path| std::fs::write(path, port.to_string()))
}
