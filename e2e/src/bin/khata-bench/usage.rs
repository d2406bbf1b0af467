//! What a load costs: time on the cores, and bytes in Postgres.

use std::fs;

use anyhow::{Context, Result};

use crate::postgres::Postgres;

/// Of `/proc/…/stat`, a second; it is 100 on every Linux there is today.
const TICKS: f64 = 100.0;

/// The processes whose work is counted.
pub(crate) struct Processes {
    pub(crate) api: u32,
    pub(crate) worker: u32,
    /// Whose children serve the connections.
    pub(crate) postgres: u32,
}

/// So far, since they were started.
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
            api: Stat::of(processes.api)?.own,
            worker: Stat::of(processes.worker)?.own,
            postgres: with_children(processes.postgres)?,
            stored,
            logged,
        })
    }

    /// What each of so many accounts cost from `before` until this.
    pub(crate) fn tell(&self, before: &Self, accounts: f64) {
        let micros = |now: f64, then: f64| (now - then) * 1e6 / accounts;
        println!(
            "time on a core for each account    {:>9.0} µs khata-api, {:.0} µs khata-worker, {:.0} µs Postgres",
            micros(self.api, before.api),
            micros(self.worker, before.worker),
            micros(self.postgres, before.postgres)
        );
        println!(
            "Postgres for each account          {:>9.0} bytes stored, {:.0} bytes of WAL",
            (self.stored - before.stored) / accounts,
            (self.logged - before.logged) / accounts
        );
    }
}

/// Seconds on the cores.
struct Stat {
    parent: u32,
    own: f64,
    /// Of children that are gone.
    gone: f64,
}

impl Stat {
    fn of(pid: u32) -> Result<Self> {
        let text =
            fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
        // The name in parentheses may have blanks in it.
        let (_, fields) = text.rsplit_once(')').context("no /proc/…/stat")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let seconds = |index: usize| -> Result<f64> {
            let ticks: f64 = fields.get(index).context("too short")?.parse()?;
            Ok(ticks / TICKS)
        };
        Ok(Self {
            parent: fields.get(1).context("too short")?.parse()?,
            own: seconds(11)? + seconds(12)?,
            gone: seconds(13)? + seconds(14)?,
        })
    }
}

fn with_children(pid: u32) -> Result<f64> {
    let own = Stat::of(pid)?;
    let mut total = own.own + own.gone;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may end meanwhile.
        if let Ok(stat) = Stat::of(child)
            && stat.parent == pid
        {
            total += stat.own;
        }
    }
    Ok(total)
}
