//! What the programs share besides their work: sandbox mode, port files, shutdown and the health check.

pub mod healthcheck;
pub mod shutdown;

use std::path::PathBuf;

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
