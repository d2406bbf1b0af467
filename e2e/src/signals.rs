//! Signals to processes that were started here.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// A signal, by its name.
#[derive(Clone, Copy, Debug)]
pub struct Signal(&'static str);

impl Signal {
    /// Stop in an orderly way.
    pub const TERM: Self = Self("TERM");
    /// End at once.
    pub const KILL: Self = Self("KILL");
    /// End at once and write a core dump; Postgres's immediate shutdown.
    pub const QUIT: Self = Self("QUIT");
    /// Freeze.
    pub const STOP: Self = Self("STOP");
    /// Continue after a freeze.
    pub const CONT: Self = Self("CONT");
}

/// Sends the signal to the process with this id; fails if there is no such process.
pub fn send(Signal(name): Signal, pid: u32) -> anyhow::Result<()> {
    // The shell's own `kill`: the program of this name may be missing.
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .context("cannot run sh")?;
    if !status.success() {
        bail!("there is no process {pid} to send SIG{name} to");
    }
    Ok(())
}
