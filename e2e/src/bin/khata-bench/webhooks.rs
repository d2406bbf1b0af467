//! Webhooks: the time from a settle to its event at the endpoint, the cost of an endpoint, and a backlog of events at a dead one.
//! All endpoints have the settings of one that sets none.

mod endpoint;
mod receiver;

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use khata_e2e::create_unlimited_merchant;

use crate::calls::Calls;
use crate::figures::Bound::{AtLeast, AtMost};
use crate::figures::{Bound, Bounded};
use crate::load::{Load, median, quantile_ms};
use crate::usage::resident;
use crate::{Bench, CUSTOMERS, DRAIN};
use endpoint::Endpoint;
use receiver::Receiver;

/// The merchant of the stack.
const MERCHANT: &str = "local";
/// The merchant whose endpoint is dead.
const DEAD_MERCHANT: &str = "bench_dead";
/// Accounts per second while the time of an event is measured, and for how long.
const PACE: u32 = 200;
const PACED: Duration = Duration::from_secs(20);
const PACED_BESIDE: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;
const SLICE: Duration = Duration::from_secs(3);
/// Events of each account at the dead endpoint.
const EVENTS: usize = 10;
/// Longer than a circuit stays open.
const UNTIL_TRIED: Duration = Duration::from_mins(3);
/// How long the recovery is measured at most.
const RECOVERY: Duration = Duration::from_mins(1);

pub(crate) struct Webhooks {
    alone: Delays,
    cost: Cost,
    /// Events of the dead endpoint, and resident MB of the worker before.
    backlog: usize,
    before: f64,
    beside: Beside,
    recovery: Recovery,
}

/// Milliseconds from settles to their events.
struct Delays {
    median: f64,
    p99: f64,
}

/// Accounts per second of one load.
#[derive(Clone, Copy)]
struct Rates {
    /// From the first POST to the last outcome.
    validated: f64,
    /// From the first POST to the last event's delivery.
    delivered: f64,
}

/// Medians, without and with an endpoint.
struct Cost {
    without: Rates,
    with: Rates,
}

/// An endpoint without and with the dead one beside it.
struct Beside {
    delays: [Delays; 2],
    rates: [Rates; 2],
    /// Most resident MB of the worker.
    resident: f64,
}

/// The dead endpoint works again.
struct Recovery {
    /// Seconds to the first event.
    first: f64,
    delivered: usize,
    per_second: f64,
    /// Resident MB of the worker afterwards.
    resident: f64,
}

/// An endpoint that works, and the load of its merchant.
struct Live {
    receiver: Receiver,
    endpoint: Endpoint,
    load: Load,
}

pub(crate) async fn measure(bench: &mut Bench, backlog: usize) -> Result<Webhooks> {
    println!(
        "Webhooks: {PACE} accounts a second, {} s …",
        PACED.as_secs()
    );
    let mut live = Live::start(bench).await?;
    let alone = Delays::of(&live.times(bench, PACED).await?);
    println!(
        "{ROUNDS} rounds of {} s without and with an endpoint …",
        SLICE.as_secs()
    );
    let cost = live.cost(bench).await?;
    let mut before = resident(bench.processes.worker)?;
    println!("Writing {backlog} events for a dead endpoint …");
    let (dead, endpoint) = start_dead(bench, backlog).await?;
    before = before.max(resident(bench.processes.worker)?);
    println!(
        "{ROUNDS} rounds of {} s without and with the dead endpoint …",
        (PACED_BESIDE + SLICE).as_secs()
    );
    let beside = live.beside(bench, &dead, &endpoint).await?;
    println!(
        "The dead endpoint replies again: deliveries for at most {} s …",
        RECOVERY.as_secs()
    );
    let recovery = Recovery::measure(bench, &dead, backlog).await?;
    Ok(Webhooks {
        alone,
        cost,
        backlog,
        before,
        beside,
        recovery,
    })
}

/// Starts an endpoint that never replies, with this number of open deliveries. The endpoint is disabled.
async fn start_dead(bench: &mut Bench, backlog: usize) -> Result<(Receiver, Endpoint)> {
    let key = create_unlimited_merchant(DEAD_MERCHANT)?;
    let accounts = backlog.div_ceil(EVENTS);
    Calls::new(&bench.api_url, &key)?.fill(accounts).await?;
    bench.postgres.wait_until_final(DRAIN)?;
    let receiver = Receiver::start(true)?;
    let endpoint = Endpoint::add(DEAD_MERCHANT, &receiver)?;
    endpoint.enable(false)?;
    let written = endpoint.fill(&mut bench.postgres, i32::try_from(EVENTS)?)?;
    ensure!(
        written >= backlog,
        "only {written} events were written: accounts are missing"
    );
    Ok((receiver, endpoint))
}

impl Live {
    async fn start(bench: &mut Bench) -> Result<Self> {
        let mut load = Load::new(
            &bench.api_url,
            std::slice::from_ref(&bench.api_key),
            CUSTOMERS,
        )?;
        let receiver = Receiver::start(false)?;
        let endpoint = Endpoint::add(MERCHANT, &receiver)?;
        load.one_each(CUSTOMERS).await?;
        bench.postgres.wait_until_final(DRAIN)?;
        endpoint.wait_until_delivered(&mut bench.postgres, DRAIN)?;
        Ok(Self {
            receiver,
            endpoint,
            load,
        })
    }

    /// Returns the times from the settles of an even load to the first bytes of their events, sorted.
    async fn times(&mut self, bench: &mut Bench, duration: Duration) -> Result<Vec<Duration>> {
        let postgres = &mut bench.postgres;
        let (since, before) = (postgres.mark()?, self.receiver.count());
        self.load.run_at(PACE, duration).await?;
        postgres.wait_until_final(DRAIN)?;
        self.endpoint.wait_until_delivered(postgres, DRAIN)?;
        let mut arrived = HashMap::new();
        self.receiver.accepted(|all| {
            for arrival in &all[before..] {
                arrived.entry(arrival.event).or_insert(arrival.at);
            }
        });
        let settled = self.endpoint.settled_since(postgres, since)?;
        let times = settled.into_iter().map(|(event, settled_at)| {
            let at = arrived.get(&event);
            let at = *at.context("an event that is DELIVERED did not arrive")?;
            Ok((at - settled_at).to_std().unwrap_or_default())
        });
        let mut times = times.collect::<Result<Vec<_>>>()?;
        ensure!(!times.is_empty(), "no settle wrote an event");
        times.sort_unstable();
        Ok(times)
    }

    async fn rates(&mut self, bench: &mut Bench) -> Result<Rates> {
        let began = Instant::now();
        let accepted = self.load.run(SLICE).await?.count();
        bench.postgres.wait_until_final(DRAIN)?;
        let validated = accepted / began.elapsed().as_secs_f64();
        self.endpoint
            .wait_until_delivered(&mut bench.postgres, DRAIN)?;
        Ok(Rates {
            validated,
            delivered: accepted / began.elapsed().as_secs_f64(),
        })
    }

    async fn cost(&mut self, bench: &mut Bench) -> Result<Cost> {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // Another one is first in each round.
            for enabled in [round % 2 == 1, round % 2 == 0] {
                self.endpoint.enable(enabled)?;
                let rates = self.rates(bench).await?;
                if enabled { &mut with } else { &mut without }.push(rates);
            }
        }
        self.endpoint.enable(true)?;
        Ok(Cost {
            without: Rates::median(&without),
            with: Rates::median(&with),
        })
    }

    async fn beside(
        &mut self,
        bench: &mut Bench,
        dead: &Receiver,
        endpoint: &Endpoint,
    ) -> Result<Beside> {
        let (mut times, mut rates) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut most = 0.0_f64;
        for _ in 0..ROUNDS {
            for enabled in [false, true] {
                endpoint.enable(enabled)?;
                if enabled {
                    dead.wait_for_call(UNTIL_TRIED).await?;
                }
                let index = usize::from(enabled);
                times[index].extend(self.times(bench, PACED_BESIDE).await?);
                rates[index].push(self.rates(bench).await?);
                if enabled {
                    most = most.max(resident(bench.processes.worker)?);
                }
            }
        }
        let delays = times.map(|mut times| {
            times.sort_unstable();
            Delays::of(&times)
        });
        Ok(Beside {
            delays,
            rates: rates.map(|rates| Rates::median(&rates)),
            resident: most,
        })
    }
}

impl Delays {
    /// `times`: sorted.
    fn of(times: &[Duration]) -> Self {
        Self {
            median: quantile_ms(times, 0.5),
            p99: quantile_ms(times, 0.99),
        }
    }
}

impl Rates {
    fn median(rounds: &[Self]) -> Self {
        Self {
            validated: median(rounds.iter().map(|rates| rates.validated)),
            delivered: median(rounds.iter().map(|rates| rates.delivered)),
        }
    }
}

impl Recovery {
    /// The deliveries are due; their time counts from the first that is accepted.
    async fn measure(bench: &Bench, dead: &Receiver, backlog: usize) -> Result<Self> {
        let began = Instant::now();
        dead.revive();
        dead.wait_until_accepted(1, UNTIL_TRIED).await?;
        let first = began.elapsed().as_secs_f64();
        // A recovery that takes longer is measured so far.
        let _ = dead.wait_until_accepted(backlog, RECOVERY).await;
        let (delivered, took) = dead.accepted(|all| {
            let times = all.first().zip(all.last());
            let took = times.map(|(first, last)| last.at - first.at);
            (all.len(), took.unwrap_or_default())
        });
        let took = took.to_std()?.as_secs_f64();
        #[allow(clippy::cast_precision_loss)]
        let per_second = delivered as f64 / took.max(0.001);
        Ok(Self {
            first,
            delivered,
            per_second,
            resident: resident(bench.processes.worker)?,
        })
    }
}

impl fmt::Display for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost { without, with } = &self.cost;
        let Beside {
            delays: [alone, beside],
            rates,
            resident: most,
        } = &self.beside;
        let ratio = |of: fn(&Rates) -> f64| of(&rates[1]) / of(&rates[0]);
        let Recovery {
            first,
            delivered,
            per_second,
            resident,
        } = &self.recovery;
        writeln!(f, "one endpoint, {PACE} accounts a second")?;
        self.alone.write(f)?;
        writeln!(
            f,
            "one endpoint, full load: {:.0} accounts a second, {:.0} without it, {:.0} to the last delivery",
            with.validated, without.validated, with.delivered
        )?;
        line(
            f,
            "ratio to the load without it",
            with.validated / without.validated,
            AtLeast(0.8),
        )?;
        writeln!(
            f,
            "before {} undelivered events of a dead endpoint",
            self.backlog
        )?;
        alone.write(f)?;
        writeln!(
            f,
            "beside them, full load: {:.0} accounts a second, {:.0} before; {:.0} to the last delivery, {:.0} before",
            rates[1].validated, rates[0].validated, rates[1].delivered, rates[0].delivered
        )?;
        beside.write(f)?;
        line(
            f,
            "ratio to the last outcome",
            ratio(|rates| rates.validated),
            AtLeast(0.95),
        )?;
        line(
            f,
            "ratio to the last delivery",
            ratio(|rates| rates.delivered),
            AtLeast(0.95),
        )?;
        line(
            f,
            "MB more in khata-worker",
            most - self.before,
            AtMost(20.0),
        )?;
        writeln!(
            f,
            "the endpoint is back: {delivered} events delivered, the first after {first:.1} s; khata-worker has {resident:.0} MB"
        )?;
        line(f, "deliveries a second", *per_second, AtLeast(2_000.0))
    }
}

impl Delays {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(
            f,
            "settle to first byte, ms, median",
            self.median,
            AtMost(15.0),
        )?;
        line(f, "settle to first byte, ms, p99", self.p99, AtMost(100.0))
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: f64, bound: Bound) -> fmt::Result {
    writeln!(f, "  {name:<33}{}", Bounded { value, bound })
}
