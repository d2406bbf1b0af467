//! Signals to processes that were started here.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Stop in an orderly way.
    Term,
    /// End at once.
    Kill,
    /// Freeze.
    Stop,
    /// Continue after a freeze.
    Continue,
}

/// Sends the signal to the process with this id; fails if there is no such process.
pub fn send(signal: Signal, pid: u32) -> anyhow::Result<()> {
    let name = match signal {
        Signal::Term => "TERM",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
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
