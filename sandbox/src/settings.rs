//! The program's settings, each an environment variable or the flag of the same name.

use std::fs;
use std::path::Path;

use anyhow::Context;
use clap::Parser;

/// A stand-in for the payment gateways that Khata validates accounts with.
///
/// The gateways reply under /cashfree/verification, /razorpay, /setu, /decentro and /payu. The ledger
/// of penny drops is at /_sandbox/drops, the counts of calls at /_sandbox/calls, the switches for
/// latency and faults at /_sandbox/behaviour, the switches for webhooks at /_sandbox/webhooks, health
/// at /_sandbox/health.
#[derive(Debug, Clone, Parser)]
#[command(name = "khata-sandbox", version = khata_version::text())]
pub struct Settings {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long = "sandbox-listen", env = "KHATA_SANDBOX_LISTEN")]
    #[arg(default_value = "127.0.0.1:8090", value_name = "HOST:PORT")]
    pub listen: String,
    /// File that keeps the ledger of penny drops over a restart, one JSON line a drop; unset: memory only
    #[arg(long = "sandbox-ledger", env = "KHATA_SANDBOX_LEDGER")]
    #[arg(value_name = "FILE")]
    pub ledger: Option<String>,
    /// Worker threads that serve HTTP
    #[arg(long = "sandbox-threads", env = "KHATA_SANDBOX_THREADS")]
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64), value_name = "NUMBER")]
    pub threads: u8,
    /// Time for which the published "pending, then …" accounts stay pending after the call
    #[arg(
        long = "sandbox-published-pending-ms",
        env = "KHATA_SANDBOX_PUBLISHED_PENDING_MS"
    )]
    #[arg(default_value_t = 2000, value_name = "MILLISECONDS")]
    pub published_pending_ms: u64,
    /// Time for which a hanging call holds its connection, unless its client closes first
    #[arg(long = "sandbox-hang-ms", env = "KHATA_SANDBOX_HANG_MS")]
    #[arg(default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(..=60_000), value_name = "MILLISECONDS")]
    pub hang_ms: u64,
    /// Seed of the random faults, to repeat those of an earlier run; unset: a random one, which the program prints
    #[arg(
        long = "sandbox-seed",
        env = "KHATA_SANDBOX_SEED",
        value_name = "NUMBER"
    )]
    pub seed: Option<u64>,
    /// File that receives the number of the bound port, as text
    #[arg(long = "port-file", env = "KHATA_PORT_FILE", value_name = "FILE")]
    pub port_file: Option<String>,
}

impl Settings {
    /// Returns the ledger's file. A variable that is set but empty counts as unset.
    pub fn ledger_file(&self) -> Option<&Path> {
        path(self.ledger.as_deref())
    }

    /// Writes the bound port to [`Settings::port_file`] in one step: a reader that waits for the file
    /// never sees half a number.
    pub fn write_port_file(&self, port: u16) -> anyhow::Result<()> {
        let Some(file) = path(self.port_file.as_deref()) else {
            return Ok(());
        };
        let mut draft = file.as_os_str().to_owned();
        draft.push(".new");
        fs::write(&draft, port.to_string())
            .and_then(|()| fs::rename(&draft, file))
            .with_context(|| format!("cannot write the port to {}", file.display()))
    }
}

fn path(text: Option<&str>) -> Option<&Path> {
    text.filter(|text| !text.is_empty()).map(Path::new)
}
