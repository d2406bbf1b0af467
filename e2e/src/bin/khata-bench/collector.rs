//! `make bench-collector`: compares stacks that differ only in their collector. Each takes a short load in turn, many times,
//! so that other load on the machine affects all of them alike.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use comfy_table::presets;
use indicatif::ProgressBar;
use khata_e2e::{Setup, TestStack};

use crate::DRAIN;
use crate::load::{Load, median};
use crate::postgres::Postgres;

const CUSTOMERS: u64 = 100;
const ROUNDS: usize = 12;
const SLICE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Collector {
    There,
    Refuses,
    Hangs,
    NotConfigured,
}

use Collector::{Hangs, NotConfigured, Refuses, There};

/// The others are compared with the first.
const COLLECTORS: [(Collector, &str); 4] = [
    (There, "accepts spans"),
    (Refuses, "refuses connections"),
    (Hangs, "accepts connections, never replies"),
    (NotConfigured, "not configured, tracing is off"),
];

struct Candidate {
    /// The collector's behaviour.
    name: &'static str,
    // Dropping the stack would stop it.
    _stack: TestStack,
    load: Load,
    postgres: Postgres,
    /// Accepted accounts per second, by slice.
    accepted: Vec<f64>,
    /// Final accounts per second, from the first POST to the last outcome.
    validated: Vec<f64>,
}

impl Candidate {
    async fn start(collector: Collector, name: &'static str) -> Result<Self> {
        let stack = TestStack::start(Setup {
            traces: collector != NotConfigured,
            // Every stack has proxies, because they cost time.
            proxies: true,
            log: "warn",
            service_settings: &[("KHATA_TRACES_PER_SECOND", "100")],
            ..Setup::default()
        })
        .await?;
        if let Some(proxy) = stack.proxies().ok().and_then(|p| p.collector.as_ref()) {
            match collector {
                Refuses => proxy.cut(),
                Hangs => proxy.hang(),
                There | NotConfigured => {}
            }
        }
        let mut load = Load::new(
            &stack.api.url,
            std::slice::from_ref(&stack.api.key),
            CUSTOMERS,
        )?;
        let mut postgres = Postgres::connect(stack.database.url.as_str())?;
        load.one_each(CUSTOMERS).await?;
        load.run(SLICE).await?;
        postgres.wait_until_final(DRAIN)?;
        Ok(Self {
            name,
            _stack: stack,
            load,
            postgres,
            accepted: Vec::new(),
            validated: Vec::new(),
        })
    }

    async fn run_slice(&mut self) -> Result<()> {
        let began = Instant::now();
        let accepted = self.load.run(SLICE).await?;
        self.postgres.wait_until_final(DRAIN)?;
        self.accepted.push(accepted.per_second());
        self.validated
            .push(accepted.count() / began.elapsed().as_secs_f64());
        Ok(())
    }
}

pub(crate) async fn compare() -> Result<()> {
    let mut candidates = Vec::new();
    for (collector, name) in COLLECTORS {
        println!("Starting and warming up: the collector {name} …");
        candidates.push(Candidate::start(collector, name).await?);
    }
    println!("{ROUNDS} rounds of {} s each …", SLICE.as_secs());
    // The bar appears on a terminal only.
    let progress = ProgressBar::new((ROUNDS * COLLECTORS.len()) as u64);
    for round in 0..ROUNDS {
        // Another stack is first in each round.
        for turn in 0..candidates.len() {
            let index = (turn + round) % COLLECTORS.len();
            candidates[index].run_slice().await?;
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    println!();
    println!(
        "Median of {ROUNDS} rounds, and the difference to the first collector in the same round:"
    );
    println!("{}", table(&candidates)?);
    for candidate in &mut candidates {
        let unfinished = candidate.postgres.not_active()?;
        let name = candidate.name;
        ensure!(
            unfinished == 0,
            "{unfinished} accounts are not ACTIVE in the stack whose collector {name}"
        );
    }
    Ok(())
}

fn table(candidates: &[Candidate]) -> Result<String> {
    let first = candidates.first().context("no stack to compare")?;
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["collector", "accepted /s", "", "validated /s", ""]);
    for candidate in candidates {
        let rate = |own: &[f64]| format!("{:.0}", median(own.iter().copied()));
        let difference = |own: &[f64], first: &[f64]| {
            let ratio = median(own.iter().zip(first).map(|(own, first)| own / first));
            format!("{:+.1} %", 100.0 * (ratio - 1.0))
        };
        table.add_row([
            candidate.name.to_owned(),
            rate(&candidate.accepted),
            difference(&candidate.accepted, &first.accepted),
            rate(&candidate.validated),
            difference(&candidate.validated, &first.validated),
        ]);
    }
    Ok(table.trim_fmt())
}
