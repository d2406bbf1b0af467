//! `make bench`: rates of accepted and validated accounts, compared with the commits of the same Postgres. Only figures of
//! one run are compared: the machine is noisy, the ratios are not.

mod calls;
mod collector;
mod fairness;
mod load;
mod postgres;
mod usage;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use calls::Calls;
use load::Load;
use postgres::Postgres;
use usage::{Processes, Usage};

/// Connections of the load, and clients of pgbench.
const CONNECTIONS: usize = 32;
/// Customers of the accounts; they are registered before the measurement.
const CUSTOMERS: u64 = 1_000;
const PGBENCH: Duration = Duration::from_secs(8);
const LOAD: Duration = Duration::from_secs(10);
/// Accounts posted one after another, to measure the time of one account without other load.
const ONE_BY_ONE: usize = 300;
const DRAIN: Duration = Duration::from_mins(3);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => everything().await,
        Some("collector") => collector::compare().await,
        Some(other) => bail!("unknown benchmark '{other}'; known: collector"),
    }
}

async fn everything() -> Result<()> {
    let read = |name: &str| {
        std::env::var(name).with_context(|| format!("{name} is not set: run `make bench`"))
    };
    let (api_url, api_key) = (read("KHATA_API_URL")?, read("KHATA_API_KEY")?);
    let mut postgres = Postgres::connect(&read("KHATA_DATABASE_URL")?)?;
    let processes = Processes {
        api: read("KHATA_PID_API")?.parse()?,
        worker: read("KHATA_PID_WORKER")?.parse()?,
        postgres: read("KHATA_PID_POSTGRES")?.parse()?,
    };
    let resting = (resident(processes.api)?, resident(processes.worker)?);
    println!(
        "At rest: khata-api {:.0} MB, khata-worker {:.0} MB resident.",
        resting.0, resting.1
    );

    println!("Warming up: registering {CUSTOMERS} customers …");
    let mut load = Load::new(&api_url, std::slice::from_ref(&api_key), CUSTOMERS)?;
    load.one_each(CUSTOMERS).await?;
    postgres.wait_until_final(DRAIN)?;

    println!("One by one: {ONE_BY_ONE} accounts, each when the one before is final …");
    let one_by_one = postgres.mark()?;
    for _ in 0..ONE_BY_ONE {
        load.one_each(1).await?;
        postgres.wait_until_final(DRAIN)?;
    }
    let (median, p99) = postgres.create_to_final_ms(one_by_one)?;

    println!("Calls that wait for the outcome …");
    let calls = Calls::new(&api_url, &api_key)?;
    let (wait, wait_p99) = calls.waits(&mut postgres).await?;
    println!("Pages of a customer with 10,000 accounts …");
    calls.fill().await?;
    postgres.wait_until_final(DRAIN)?;
    let pages = calls.pages().await?;

    println!(
        "pgbench: single-row commits, {CONNECTIONS} clients, {} s …",
        PGBENCH.as_secs()
    );
    let before = postgres.pgbench(CONNECTIONS, PGBENCH)?;
    println!(
        "Load: one bank account a POST, {CONNECTIONS} connections, {} s, worker and gateway running …",
        LOAD.as_secs()
    );
    let used_before = Usage::read(&processes, &mut postgres)?;
    let began = Instant::now();
    let accepted = load.run(LOAD).await?;
    println!(
        "Waiting for {} accounts to become final …",
        accepted.count()
    );
    postgres.wait_until_final(DRAIN)?;
    let proven_in = began.elapsed();
    let used = Usage::read(&processes, &mut postgres)?;
    let connections = postgres.connections()?;
    println!("pgbench again …");
    let after = postgres.pgbench(CONNECTIONS, PGBENCH)?;
    let fairness = fairness::measure(&api_url, &mut postgres).await?;

    let unproven = postgres.not_active()?;
    ensure!(unproven == 0, "{unproven} accounts did not become ACTIVE");
    let pgbench = f64::midpoint(before, after);
    let accept = accepted.per_second();
    let proven = accepted.count() / proven_in.as_secs_f64();
    let loaded = (resident(processes.api)?, resident(processes.worker)?);

    println!();
    println!(
        "pgbench single-row commits         {pgbench:>9.0} /s   (before {before:.0}, after {after:.0})"
    );
    println!(
        "accepted POSTs                     {accept:>9.0} /s   p50 {:.1} ms, p99 {:.1} ms",
        accepted.millis(0.5),
        accepted.millis(0.99)
    );
    println!(
        "accounts validated by Cashfree     {proven:>9.0} /s   {} in {:.1} s, first POST to last outcome",
        accepted.count(),
        proven_in.as_secs_f64()
    );
    println!("create to final, one at a time     {median:>9.1} ms  median, {p99:.1} ms p99");
    println!("settled to reply of waiting call   {wait:>9.1} ms  median, {wait_p99:.1} ms p99");
    println!(
        "first, middle, last of 1,000 pages {:>9.1} ms, {:.1} ms, {:.1} ms  median",
        pages[0], pages[1], pages[2]
    );
    println!(
        "resident at rest / after the load  {:>9.0} / {:.0} MB khata-api, {:.0} / {:.0} MB khata-worker",
        resting.0, loaded.0, resting.1, loaded.1
    );
    used.print_per_account(&used_before, accepted.count());
    println!("connections to Postgres            {connections:>9}    of both services together");
    println!("{fairness}");
    println!();
    println!(
        "accept_ratio {:.2}  (target at least 0.80)",
        accept / pgbench
    );
    println!(
        "e2e_ratio    {:.2}  (target at least 0.25)",
        proven / pgbench
    );
    println!(
        "list_ratio   {:.2}  (last page to first; target at most 1.20)",
        pages[2] / pages[0]
    );
    Ok(())
}

/// Returns a process's resident memory in MB.
fn resident(pid: u32) -> Result<f64> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process has ended")?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.context("no VmRSS")?.trim();
    let kilobytes: f64 = line.trim_end_matches(" kB").parse()?;
    Ok(kilobytes / 1024.0)
}
