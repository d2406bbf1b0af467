//! Signals to processes that were started here.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// What a process can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Stop, and leave everything in order.
    Term,
    /// Gone at once.
    Kill,
    /// Frozen where it is.
    Stop,
    /// On again.
    Continue,
}

/// Sends the signal to the process with this id; fails if there is none.
pub fn send(signal: Signal, pid: u32) -> anyhow::Result<()> {
    let name = match signal {
        Signal::Term => "TERM",
        Signal::Kill => "KILL",
        Signal::Stop => "STOP",
        Signal::Continue => "CONT",
    };
    // The shell's own: a machine need not have a program of that name.
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
