//! The cost of fairness: the same load of one merchant and of a thousand, in turn, and the creates of one more merchant beside
//! it. The gateway is DUMMY, which responds at once.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use khata_e2e::create_unlimited_merchant;

use crate::figures::Bound::AtMost;
use crate::figures::Bounded;
use crate::load::{Accepted, Load, median};
use crate::{Bench, CUSTOMERS, DRAIN};

const MERCHANTS: usize = 1_000;
const ROUNDS: usize = 5;
const SLICE: Duration = Duration::from_secs(3);
/// Creates of one more merchant, without load.
const IDLE_CREATES: usize = 200;
/// Pause between creates of one more merchant beside the load.
const PAUSE: Duration = Duration::from_millis(20);

/// Medians.
pub(crate) struct Fairness {
    one: Rates,
    many: Rates,
    /// Milliseconds of a single create, without load.
    idle_create: f64,
    /// Milliseconds of a single create beside the load of one merchant.
    create_beside_one: f64,
}

#[derive(Clone, Copy)]
struct Rates {
    /// Accepted accounts per second.
    accepted: f64,
    /// Final accounts per second, from the first POST to the last outcome.
    validated: f64,
}

pub(crate) async fn measure(bench: &mut Bench) -> Result<Fairness> {
    let Bench {
        api_url, postgres, ..
    } = bench;
    println!("Registering {MERCHANTS} more merchants …");
    let keys = create_merchants()?;
    let (few, thousand) = keys.split_at(2);
    let mut single = Load::new(api_url, &few[..1], 1)?.at_dummy();
    let mut of_one = Load::new(api_url, &few[1..], CUSTOMERS)?.at_dummy();
    let mut of_many = Load::new(api_url, thousand, CUSTOMERS)?.at_dummy();
    for load in [&mut of_one, &mut of_many] {
        load.one_each(CUSTOMERS).await?;
        postgres.wait_until_final(DRAIN)?;
    }
    let mut idle = Vec::with_capacity(IDLE_CREATES);
    for _ in 0..IDLE_CREATES {
        let began = Instant::now();
        single.one_each(1).await?;
        idle.push(began.elapsed());
    }
    postgres.wait_until_final(DRAIN)?;
    println!(
        "{ROUNDS} rounds of {} s with 1 and with {} merchants …",
        SLICE.as_secs(),
        thousand.len()
    );
    let (mut one, mut many, mut beside) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let (accepted, times) = tokio::try_join!(of_one.run(SLICE), creates(&mut single))?;
        postgres.wait_until_final(DRAIN)?;
        one.push(Rates::of(&accepted, began));
        beside.extend(times);
        let began = Instant::now();
        let accepted = of_many.run(SLICE).await?;
        postgres.wait_until_final(DRAIN)?;
        many.push(Rates::of(&accepted, began));
    }
    let millis =
        |times: Vec<Duration>| median(times.iter().map(|time| 1_000.0 * time.as_secs_f64()));
    Ok(Fairness {
        one: Rates::median(&one),
        many: Rates::median(&many),
        idle_create: millis(idle),
        create_beside_one: millis(beside),
    })
}

/// Creates single accounts, with pauses, for as long as a slice.
async fn creates(load: &mut Load) -> Result<Vec<Duration>> {
    let end = Instant::now() + SLICE;
    let mut times = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        load.one_each(1).await?;
        times.push(began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    Ok(times)
}

/// Creates the merchants with the operator's commands, and returns their API keys.
fn create_merchants() -> Result<Vec<String>> {
    let numbers: Vec<usize> = (0..MERCHANTS + 2).collect();
    let create = |numbers: &[usize]| -> Result<Vec<String>> {
        let of = |number| create_unlimited_merchant(&format!("bench_{number}"));
        numbers.iter().map(of).collect()
    };
    let halves = numbers.split_at(MERCHANTS / 2);
    thread::scope(|scope| {
        let other = scope.spawn(|| create(halves.1));
        let mut keys = create(halves.0)?;
        let others = other.join();
        keys.extend(others.map_err(|_| anyhow!("creating merchants panicked"))??);
        Ok(keys)
    })
}

impl Rates {
    fn of(accepted: &Accepted, began: Instant) -> Self {
        Self {
            accepted: accepted.per_second(),
            validated: accepted.count() / began.elapsed().as_secs_f64(),
        }
    }

    fn median(rounds: &[Self]) -> Self {
        Self {
            accepted: median(rounds.iter().map(|rates| rates.accepted)),
            validated: median(rounds.iter().map(|rates| rates.validated)),
        }
    }
}

impl fmt::Display for Fairness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, many) = (self.one, self.many);
        writeln!(
            f,
            "accepted from 1 / {MERCHANTS} merchants    {:>9.0} / {:.0} /s   ratio {:.2}",
            one.accepted,
            many.accepted,
            many.accepted / one.accepted
        )?;
        writeln!(
            f,
            "validated of 1 / {MERCHANTS} merchants     {:>9.0} / {:.0} /s   ratio {:.2}, gateway DUMMY",
            one.validated,
            many.validated,
            many.validated / one.validated
        )?;
        writeln!(
            f,
            "create beside another's full load  {:>9.1} ms  median",
            self.create_beside_one,
        )?;
        let times = Bounded {
            value: self.create_beside_one / self.idle_create,
            bound: AtMost(3.0),
        };
        writeln!(f, "times as long as idle              {times}")
    }
}
