//! `make bench`: rates of accepted and validated accounts, compared with the commits of the same Postgres. Only figures of
//! one run are compared: the machine is noisy, the ratios are not.

mod accounts;
mod calls;
mod collector;
mod fairness;
mod figures;
mod load;
mod postgres;
mod usage;
mod webhooks;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use postgres::Postgres;
use usage::Processes;

/// Connections of the load, and clients of pgbench.
const CONNECTIONS: u32 = 32;
/// Customers of the accounts; they are registered before the measurement.
const CUSTOMERS: u64 = 1_000;
const DRAIN: Duration = Duration::from_mins(3);
/// Undelivered events of a dead endpoint.
const BACKLOG: usize = 1_000_000;
const PARTS: [&str; 3] = ["accounts", "fairness", "webhooks"];

/// The measured stack.
struct Bench {
    api_url: String,
    api_key: String,
    postgres: Postgres,
    processes: Processes,
}

/// `khata-bench [PART [BACKLOG]]`: measures one part, or all of them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next();
    let backlog = arguments.next().map(|events| events.parse());
    let backlog = backlog.transpose().context("BACKLOG must be a number")?;
    match part.as_deref() {
        Some("collector") => return collector::compare().await,
        Some(part) if !PARTS.contains(&part) => {
            bail!(
                "unknown benchmark '{part}'; known: collector, {}",
                PARTS.join(", ")
            )
        }
        _ => {}
    }
    let mut bench = Bench::connect()?;
    for name in PARTS {
        if part.as_ref().is_some_and(|part| part != name) {
            continue;
        }
        let figures = match name {
            "accounts" => accounts::measure(&mut bench).await?.to_string(),
            "fairness" => fairness::measure(&mut bench).await?.to_string(),
            _ => {
                let backlog = backlog.unwrap_or(BACKLOG);
                webhooks::measure(&mut bench, backlog).await?.to_string()
            }
        };
        let unproven = bench.postgres.not_active()?;
        ensure!(unproven == 0, "{unproven} accounts did not become ACTIVE");
        println!("\n{figures}");
    }
    Ok(())
}

impl Bench {
    fn connect() -> Result<Self> {
        let read = |name: &str| {
            std::env::var(name).with_context(|| format!("{name} is not set: run `make bench`"))
        };
        Ok(Self {
            api_url: read("KHATA_API_URL")?,
            api_key: read("KHATA_API_KEY")?,
            postgres: Postgres::connect(&read("KHATA_DATABASE_URL")?)?,
            processes: Processes {
                api: read("KHATA_PID_API")?.parse()?,
                worker: read("KHATA_PID_WORKER")?.parse()?,
                postgres: read("KHATA_PID_POSTGRES")?.parse()?,
            },
        })
    }
}
