//! `make bench-collector`: stacks beside each other that differ in their collector only. Each in its turn takes a short load,
//! again and again, so that whatever else the machine does meets all of them alike.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use khata_e2e::{Setup, World};

use crate::load::Load;
use crate::postgres::Postgres;
use crate::{CONNECTIONS, DRAIN};

const CUSTOMERS: usize = 100;
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

/// The first is what the others are compared with.
const COLLECTORS: [Collector; 4] = [There, Refuses, Hangs, NotConfigured];

impl Collector {
    fn name(self) -> &'static str {
        match self {
            There => "takes spans",
            Refuses => "refuses connections",
            Hangs => "takes connections, never answers",
            NotConfigured => "not configured, nothing is traced",
        }
    }
}

struct Candidate {
    collector: Collector,
    // Held, so that it stands.
    _world: World,
    load: Load,
    postgres: Postgres,
    /// Accepted a second, a slice each.
    accepted: Vec<f64>,
    /// Final a second, first POST to last outcome.
    proven: Vec<f64>,
    // What the world's processes are waited for in.
    _runtime: tokio::runtime::Runtime,
}

impl Candidate {
    fn start(collector: Collector) -> Result<Self> {
        let traces = collector != NotConfigured;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let world = runtime.block_on(World::start(Setup {
            traces,
            // Before all of them, as they cost something.
            proxies: true,
            log: "warn",
            service_settings: &[("KHATA_TRACES_PER_SECOND", "100")],
            ..Setup::default()
        }))?;
        if let Some(proxy) = world.proxies().ok().and_then(|p| p.collector.as_ref()) {
            match collector {
                Refuses => proxy.cut(),
                Hangs => proxy.hang(),
                There | NotConfigured => {}
            }
        }
        let mut load = Load::new(&world.api.url, &world.api.key, CONNECTIONS, CUSTOMERS)?;
        let mut postgres = Postgres::connect(world.database.url.as_str())?;
        load.one_each(CUSTOMERS)?;
        load.run(SLICE)?;
        postgres.wait_until_final(DRAIN)?;
        Ok(Self {
            collector,
            _world: world,
            load,
            postgres,
            accepted: Vec::new(),
            proven: Vec::new(),
            _runtime: runtime,
        })
    }

    fn take_a_turn(&mut self) -> Result<()> {
        let began = Instant::now();
        let accepted = self.load.run(SLICE)?;
        self.postgres.wait_until_final(DRAIN)?;
        self.accepted.push(accepted.per_second());
        self.proven
            .push(accepted.count_f64() / began.elapsed().as_secs_f64());
        Ok(())
    }
}

pub(crate) fn compare() -> Result<()> {
    let mut candidates = Vec::new();
    for collector in COLLECTORS {
        println!(
            "Starting and warming up: the collector {} …",
            collector.name()
        );
        candidates.push(Candidate::start(collector)?);
    }
    println!("{ROUNDS} rounds of {} s each …", SLICE.as_secs());
    for round in 0..ROUNDS {
        // Who comes first changes.
        for turn in 0..candidates.len() {
            let index = (turn + round) % COLLECTORS.len();
            candidates[index].take_a_turn()?;
        }
    }
    println!();
    println!("median of {ROUNDS} rounds, and to the first of the same round:");
    let [first, ..] = &candidates[..] else {
        anyhow::bail!("nothing to compare");
    };
    for candidate in &candidates {
        let ratio = |own: &[f64], first: &[f64]| {
            median(own.iter().zip(first).map(|(own, first)| own / first))
        };
        println!(
            "{:<34} accepted {:>6.0} /s {:>+6.1} %   proven {:>6.0} /s {:>+6.1} %",
            candidate.collector.name(),
            median(candidate.accepted.iter().copied()),
            100.0 * (ratio(&candidate.accepted, &first.accepted) - 1.0),
            median(candidate.proven.iter().copied()),
            100.0 * (ratio(&candidate.proven, &first.proven) - 1.0),
        );
    }
    for candidate in &mut candidates {
        let unproven = candidate.postgres.not_active()?;
        let name = candidate.collector.name();
        ensure!(
            unproven == 0,
            "{unproven} accounts are not ACTIVE where the collector {name}"
        );
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
