//! Settings, shutdown and health check that the programs share.

pub mod arguments;
pub mod healthcheck;
pub mod shutdown;
pub mod variables;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// The setting of sandbox mode.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SandboxSettings {
    /// Run in sandbox mode: issue test keys and allow the DUMMY gateway; never with real money
    #[arg(long = "sandbox", env = "KHATA_SANDBOX_MODE", action = clap::ArgAction::Set, default_value_t = false)]
    pub sandbox_mode: bool,
}

/// Prints a text to standard output. A reader may close the pipe early (`khata-api openapi | head`); that is no error.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Writes the bound port to `path`: a script that sets port 0 reads it there.
pub fn write_port_file(path: Option<&PathBuf>, port: u16) -> std::io::Result<()> {
    path.map_or(Ok(()), |path| std::fs::write(path, port.to_string()))
}
