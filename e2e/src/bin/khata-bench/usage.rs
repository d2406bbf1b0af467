//! Costs of a load: CPU time, memory, and bytes in Postgres.

use std::{fmt, fs};

use anyhow::{Context, Result};

use crate::postgres::Postgres;

/// Ticks per second in `/proc/…/stat`; 100 on every current Linux.
const TICKS: f64 = 100.0;

/// The measured processes.
pub(crate) struct Processes {
    pub(crate) api: u32,
    pub(crate) worker: u32,
    /// The postmaster; its children serve the connections.
    pub(crate) postgres: u32,
}

/// Usage of the processes since their start.
pub(crate) struct Usage {
    api: f64,
    worker: f64,
    postgres: f64,
    stored: f64,
    logged: f64,
}

impl Usage {
    pub(crate) fn read(processes: &Processes, postgres: &mut Postgres) -> Result<Self> {
        let (stored, logged) = postgres.bytes()?;
        Ok(Self {
            api: stat(processes.api)?.1,
            worker: stat(processes.worker)?.1,
            postgres: with_children(processes.postgres)?,
            stored,
            logged,
        })
    }

    /// Writes the cost per account between `before` and this.
    pub(crate) fn write_per_account(
        &self,
        f: &mut fmt::Formatter<'_>,
        before: &Self,
        accounts: f64,
    ) -> fmt::Result {
        let micros = |now: f64, then: f64| (now - then) * 1e6 / accounts;
        writeln!(
            f,
            "CPU time per account               {:>9.0} µs khata-api, {:.0} µs khata-worker, {:.0} µs Postgres\n\
             Postgres per account               {:>9.0} bytes stored, {:.0} bytes of WAL",
            micros(self.api, before.api),
            micros(self.worker, before.worker),
            micros(self.postgres, before.postgres),
            (self.stored - before.stored) / accounts,
            (self.logged - before.logged) / accounts
        )
    }
}

/// Returns the parent of a process, its CPU time, and that of its children that have ended, both in seconds.
fn stat(pid: u32) -> Result<(u32, f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process has ended")?;
    // The name in parentheses may contain spaces.
    let (_, fields) = text.rsplit_once(')').context("no /proc/…/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let seconds = |index: usize| -> Result<f64> {
        let ticks: f64 = fields.get(index).context("too short")?.parse()?;
        Ok(ticks / TICKS)
    };
    let parent = fields.get(1).context("too short")?.parse()?;
    let (own, ended_children) = (seconds(11)? + seconds(12)?, seconds(13)? + seconds(14)?);
    Ok((parent, own, ended_children))
}

fn with_children(pid: u32) -> Result<f64> {
    let (_, own, ended_children) = stat(pid)?;
    let mut total = own + ended_children;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The process may end meanwhile.
        if let Ok((parent, own, _)) = stat(child)
            && parent == pid
        {
            total += own;
        }
    }
    Ok(total)
}

/// Returns a process's resident memory in MB.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.context("no VmRSS")?.trim();
    let kilobytes: f64 = line.trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}
