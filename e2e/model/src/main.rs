//! Explores every scenario, and prints the number of states. Fails if a property is violated, or if a scenario that must fail holds.

use std::process::ExitCode;

use clap::Parser;
use khata_model::check::{Report, explore, find};
use khata_model::scenarios::{deliveries, known, sound, without_repairs};

/// Check the validation protocol and the deliveries exhaustively
#[derive(Parser)]
struct Arguments {
    /// Explore fewer faults on each path: seconds in place of minutes
    #[arg(long)]
    small: bool,
    /// Explore only the scenarios whose name has this text
    #[arg(long, default_value = "")]
    only: String,
    /// Print the steps of each path that violates a property
    #[arg(long)]
    paths: bool,
}

/// What the scenarios have in common so far.
#[derive(Default)]
struct Total {
    states: usize,
    seconds: f64,
    is_failed: bool,
}

impl Total {
    /// Prints a report. `must_fail`: the scenario lacks a repair.
    fn add(&mut self, name: &str, report: &Report, must_fail: bool, prints_paths: bool) {
        let seconds = report.took.as_secs_f64();
        println!("{name:<48} {:>10} states {seconds:>8.2} s", report.states);
        for (property, path) in &report.violations {
            println!("    violates \"{property}\" after {} steps", path.len());
            for step in path.iter().filter(|_| prints_paths || !must_fail) {
                println!("        {step}");
            }
        }
        self.states += report.states;
        self.seconds += seconds;
        if report.violations.is_empty() == must_fail {
            println!(
                "    {}",
                if must_fail {
                    "FAILED: holds without the repair"
                } else {
                    "FAILED"
                }
            );
            self.is_failed = true;
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (is_large, is_wanted) = (!arguments.small, |name: &str| {
        name.contains(&arguments.only)
    });
    let mut total = Total::default();
    for scenario in &sound(is_large) {
        if is_wanted(&scenario.name) {
            let report = explore(scenario);
            total.add(&scenario.name, &report, false, arguments.paths);
        }
    }
    for scenario in &without_repairs() {
        if is_wanted(&scenario.name) {
            let report = find(scenario);
            total.add(&scenario.name, &report, true, arguments.paths);
        }
    }
    if is_wanted(&known().name) {
        total.add(&known().name, &find(&known()), true, arguments.paths);
    }
    for model in deliveries(is_large) {
        let name = match model.without {
            None => "deliveries".to_owned(),
            Some(repair) => format!("deliveries without {repair:?}"),
        };
        if is_wanted(&name) {
            let report = if model.without.is_none() {
                explore(&model)
            } else {
                find(&model)
            };
            total.add(&name, &report, model.without.is_some(), arguments.paths);
        }
    }
    println!("{} states in {:.0} s", total.states, total.seconds);
    if total.is_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
