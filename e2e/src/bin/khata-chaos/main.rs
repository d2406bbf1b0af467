//! `khata-chaos [--seed SEED] [--soak HOURS | --mutants] [SCENARIO]…`: produces faults and checks that Khata keeps its promises; all
//! scenarios once if none is named. Scenarios under load write a history, which `khata-check` judges (docs/proof.md); the
//! others produce one fault or one overload each and check its figures. `make chaos` and `make soak` run it.

mod client;
mod fairness;
mod faults;
mod history;
mod injections;
mod load;
mod mutants;
mod random;
mod receiver;
mod run;
mod scenarios;
mod servers;
mod steps;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The arguments of the command line.
struct Arguments {
    seed: u64,
    /// Go on with new seeds for this time.
    soak: Option<Duration>,
    /// The scenarios are deliberate faults of Khata, which must be found.
    mutants: bool,
    scenarios: Vec<String>,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut parsed = Self {
            seed: history::now() % 1_000_000,
            soak: None,
            mutants: false,
            scenarios: Vec::new(),
        };
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            match argument.as_str() {
                "--seed" => {
                    let seed = given.next().context("--seed needs a number")?;
                    parsed.seed = seed.parse().context("--seed needs a number")?;
                }
                "--soak" => {
                    let hours = given.next().context("--soak needs a number of hours")?;
                    let hours: f64 = hours.parse().context("--soak needs a number of hours")?;
                    parsed.soak = Some(Duration::try_from_secs_f64(hours * 3_600.0)?);
                }
                "--mutants" => parsed.mutants = true,
                name if parsed.names().contains(&name) => parsed.scenarios.push(argument),
                other => bail!(
                    "no scenario {other:?}; name some of {}",
                    parsed.names().join(", ")
                ),
            }
        }
        if parsed.scenarios.is_empty() {
            let all = match parsed.soak {
                Some(_) => scenarios::loaded_names(),
                None => parsed.names(),
            };
            parsed.scenarios = all.into_iter().map(str::to_owned).collect();
        }
        Ok(parsed)
    }

    /// Returns the names that may be given.
    fn names(&self) -> Vec<&'static str> {
        if self.mutants {
            mutants::names()
        } else {
            scenarios::names()
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("khata-chaos: {error:#}");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let mut failed = Vec::new();
    let mut seed = arguments.seed;
    loop {
        for name in &arguments.scenarios {
            if !run(name, seed, arguments.mutants).await {
                failed.push((name, seed));
            }
        }
        match arguments.soak {
            Some(time) if began.elapsed() < time => seed += 1,
            _ => break,
        }
    }
    if failed.is_empty() {
        if arguments.mutants {
            println!("khata-chaos: every deliberate fault was found");
        } else {
            println!("khata-chaos: every promise held");
        }
        return ExitCode::SUCCESS;
    }
    println!("khata-chaos: broken; run again with:");
    let target = if arguments.mutants {
        "mutants"
    } else {
        "chaos"
    };
    for (name, seed) in failed {
        println!("  make {target} SCENARIO={name} SEED={seed}");
    }
    ExitCode::FAILURE
}

/// Runs a scenario and prints its line of the table. Returns whether every promise held.
async fn run(name: &str, seed: u64, is_mutant: bool) -> bool {
    let began = Instant::now();
    let result = if is_mutant {
        mutants::run(name, seed).await
    } else {
        scenarios::run(name, seed).await
    };
    let seconds = began.elapsed().as_secs();
    match &result {
        Ok(figures) => println!("  {name:<16} seed {seed:<7} held    {seconds:>4} s  {figures}"),
        Err(error) => println!("  {name:<16} seed {seed:<7} BROKEN  {seconds:>4} s  {error:#}"),
    }
    result.is_ok()
}
