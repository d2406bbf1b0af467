//! One merchant's accounts, through the gateway Cashfree: rates, times, memory, and what an account costs.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::calls::{ACCOUNTS, Calls};
use crate::figures::Bound::{AtLeast, AtMost};
use crate::figures::Bounded;
use crate::load::{Accepted, Load};
use crate::usage::{Usage, resident};
use crate::{Bench, CONNECTIONS, CUSTOMERS, DRAIN};

const PGBENCH: Duration = Duration::from_secs(8);
const LOAD: Duration = Duration::from_secs(10);
/// Accounts posted one after another, to measure the time of one account without other load.
const ONE_BY_ONE: usize = 300;

pub(crate) struct Accounts {
    /// Single-row commits per second, before and after the load.
    pgbench: (f64, f64),
    accepted: Accepted,
    /// From the first POST to the last outcome.
    validated_in: Duration,
    /// Median and 99th percentile, milliseconds.
    create_to_final: (f64, f64),
    wait: (f64, f64),
    /// Medians of the first, the middle and the last page, milliseconds.
    pages: [f64; 3],
    /// Resident MB of api and worker, at rest and after the load.
    resident: [(f64, f64); 2],
    /// Before and after the load.
    used: [Usage; 2],
    connections: i64,
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Accounts> {
    let Bench {
        api_url,
        api_key,
        postgres,
        processes,
    } = bench;
    let resting = (resident(processes.api)?, resident(processes.worker)?);
    println!("Warming up: registering {CUSTOMERS} customers …");
    let mut load = Load::new(api_url, std::slice::from_ref(api_key), CUSTOMERS)?;
    load.one_each(CUSTOMERS).await?;
    postgres.wait_until_final(DRAIN)?;

    println!("One by one: {ONE_BY_ONE} accounts, each when the one before is final …");
    let one_by_one = postgres.mark()?;
    for _ in 0..ONE_BY_ONE {
        load.one_each(1).await?;
        postgres.wait_until_final(DRAIN)?;
    }
    let create_to_final = postgres.create_to_final_ms(one_by_one)?;

    println!("Calls that wait for the outcome …");
    let calls = Calls::new(api_url, api_key)?;
    let wait = calls.waits(postgres).await?;
    println!("Pages of a customer with 10,000 accounts …");
    calls.fill(ACCOUNTS).await?;
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
    let used_before = Usage::read(processes, postgres)?;
    let began = Instant::now();
    let accepted = load.run(LOAD).await?;
    println!(
        "Waiting for {} accounts to become final …",
        accepted.count()
    );
    postgres.wait_until_final(DRAIN)?;
    let validated_in = began.elapsed();
    let used = [used_before, Usage::read(processes, postgres)?];
    let connections = postgres.connections()?;
    println!("pgbench again …");
    let after = postgres.pgbench(CONNECTIONS, PGBENCH)?;
    let loaded = (resident(processes.api)?, resident(processes.worker)?);
    Ok(Accounts {
        pgbench: (before, after),
        accepted,
        validated_in,
        create_to_final,
        wait,
        pages,
        resident: [resting, loaded],
        used,
        connections,
    })
}

impl fmt::Display for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pgbench: (before, after),
            accepted,
            create_to_final: (median, p99),
            wait: (wait, wait_p99),
            pages: [first, middle, last],
            resident: [resting, loaded],
            ..
        } = self;
        let pgbench = f64::midpoint(*before, *after);
        let accept = accepted.per_second();
        let validated = accepted.count() / self.validated_in.as_secs_f64();
        writeln!(
            f,
            "pgbench single-row commits         {pgbench:>9.0} /s   (before {before:.0}, after {after:.0})\n\
             accepted POSTs                     {accept:>9.0} /s   p50 {:.1} ms, p99 {:.1} ms",
            accepted.millis(0.5),
            accepted.millis(0.99)
        )?;
        writeln!(
            f,
            "accounts validated by Cashfree     {validated:>9.0} /s   {} in {:.1} s, first POST to last outcome\n\
             create to final, one at a time     {median:>9.1} ms  median, {p99:.1} ms p99\n\
             settled to reply of waiting call   {wait:>9.1} ms  median, {wait_p99:.1} ms p99\n\
             first, middle, last of 1,000 pages {first:>9.1} ms, {middle:.1} ms, {last:.1} ms  median",
            accepted.count(),
            self.validated_in.as_secs_f64()
        )?;
        writeln!(
            f,
            "resident at rest / after the load  {:>9.0} / {:.0} MB khata-api, {:.0} / {:.0} MB khata-worker",
            resting.0, loaded.0, resting.1, loaded.1
        )?;
        let [used_before, used] = &self.used;
        used.write_per_account(f, used_before, accepted.count())?;
        writeln!(
            f,
            "connections to Postgres            {:>9}    of both services together\n",
            self.connections
        )?;
        for (name, value, bound) in [
            ("accept_ratio", accept / pgbench, AtLeast(0.80)),
            ("e2e_ratio   ", validated / pgbench, AtLeast(0.25)),
            // The last page to the first.
            ("list_ratio  ", last / first, AtMost(1.20)),
        ] {
            writeln!(f, "{name} {}", Bounded { value, bound })?;
        }
        Ok(())
    }
}
