//! `khata-chaos [--seed SEED] [--soak HOURS | --mutants | --failpoints] [SCENARIO]…`: produces faults and checks that Khata keeps its
//! promises; all scenarios but the long ones once if none is named. Scenarios under load write a history, which `khata-check` judges
//! (docs/proof.md); the others produce one fault or one overload each and check its figures. `make chaos` and `make soak` run it.

mod client;
mod failpoints;
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
    /// The scenarios are points at which a process fails.
    failpoints: bool,
    /// The scenarios are those that the caller named.
    are_named: bool,
    scenarios: Vec<String>,
}

impl Arguments {
    fn parse() -> Result<Self> {
        let mut parsed = Self {
            seed: history::now() % 1_000_000,
            soak: None,
            mutants: false,
            failpoints: false,
            are_named: false,
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
                "--failpoints" => parsed.failpoints = true,
                name if parsed.names().contains(&name)
                    || (!parsed.mutants
                        && !parsed.failpoints
                        && scenarios::long_names().contains(&name)) =>
                {
                    parsed.scenarios.push(argument);
                }
                other => bail!(
                    "no scenario {other:?}; name some of {}",
                    parsed.names().join(", ")
                ),
            }
        }
        parsed.are_named = !parsed.scenarios.is_empty();
        if !parsed.are_named {
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
        if self.failpoints {
            failpoints::names()
        } else if self.mutants {
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
    if arguments.failpoints {
        let (points, seed) = (&arguments.scenarios, arguments.seed);
        return tokio::task::block_in_place(|| failpoints::run(points, seed));
    }
    let began = Instant::now();
    let mut runs = Vec::new();
    let mut seed = arguments.seed;
    loop {
        for name in &arguments.scenarios {
            runs.push(run(name, seed, arguments.mutants).await);
        }
        match arguments.soak {
            Some(time) if began.elapsed() < time => seed += 1,
            _ => break,
        }
    }
    print_table(&runs, began.elapsed());
    let is_skipped = |run: &&Finished<'_>| run.result == scenarios::SKIPPED;
    let skipped = runs.iter().filter(is_skipped).count();
    let is_failed = |run: &&Finished<'_>| !run.is_good || (arguments.are_named && is_skipped(run));
    let failed: Vec<&Finished<'_>> = runs.iter().filter(is_failed).collect();
    if failed.is_empty() {
        if arguments.mutants {
            println!("khata-chaos: every deliberate fault was found");
        } else if skipped > 0 {
            println!("khata-chaos: every promise held, {skipped} runs were skipped");
        } else {
            println!("khata-chaos: every promise held");
        }
        return ExitCode::SUCCESS;
    }
    println!("khata-chaos: broken, or skipped; run again with:");
    let target = if arguments.mutants {
        "mutants"
    } else {
        "chaos"
    };
    for run in failed {
        println!("  make {target} SCENARIO={} SEED={}", run.name, run.seed);
    }
    ExitCode::FAILURE
}

/// A run that has ended.
struct Finished<'a> {
    name: &'a str,
    seed: u64,
    /// Every promise held, or the deliberate fault was found.
    is_good: bool,
    result: &'static str,
    seconds: u64,
}

/// Prints every run with its seed and its time, and the time of all. The logs of processes are between the lines of the runs.
fn print_table(runs: &[Finished<'_>], took: Duration) {
    println!("  {:<20} {:>7} {:>6}  result", "scenario", "seed", "time");
    for run in runs {
        println!(
            "  {:<20} {:>7} {:>4} s  {}",
            run.name, run.seed, run.seconds, run.result
        );
    }
    println!("{} runs in {} s", runs.len(), took.as_secs());
}

/// Runs a scenario and prints its figures.
async fn run(name: &str, seed: u64, is_mutant: bool) -> Finished<'_> {
    let began = Instant::now();
    let result = if is_mutant {
        mutants::run(name, seed).await
    } else {
        scenarios::run(name, seed).await
    };
    let seconds = began.elapsed().as_secs();
    let (good, bad) = if is_mutant {
        ("found", "MISSED")
    } else {
        ("held", "BROKEN")
    };
    let is_skipped = |figures: &String| figures.starts_with(scenarios::SKIPPED);
    let good = match &result {
        Ok(figures) if is_skipped(figures) => scenarios::SKIPPED,
        _ => good,
    };
    match &result {
        Ok(figures) => println!("  {name:<20} seed {seed:<7} {good:<6} {seconds:>4} s  {figures}"),
        Err(error) => println!("  {name:<20} seed {seed:<7} {bad:<6} {seconds:>4} s  {error:#}"),
    }
    let is_good = result.is_ok();
    Finished {
        name,
        seed,
        is_good,
        result: if is_good { good } else { bad },
        seconds,
    }
}
