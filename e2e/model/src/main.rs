//! Explores every scenario, and prints the number of states. Fails if a property is violated, or if a scenario that must fail holds.

use std::process::ExitCode;

use clap::Parser;
use khata_model::check::{Report, explore, find};
use khata_model::delivery::DeliveryRepair;
use khata_model::invariants::broken_without;
use khata_model::scenarios::{BROKEN_BY_KNOWN, deliveries, known, sound, without_repairs};

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
    /// Prints a report. `must_break`: the property that must be violated, because the scenario lacks a repair.
    fn add(&mut self, name: &str, report: &Report, must_break: Option<&str>, prints_paths: bool) {
        let seconds = report.took.as_secs_f64();
        println!("{name:<48} {:>10} states {seconds:>8.2} s", report.states);
        for (property, path) in &report.violations {
            println!("    violates \"{property}\" after {} steps", path.len());
            for step in path.iter().filter(|_| prints_paths || must_break.is_none()) {
                println!("        {step}");
            }
        }
        self.states += report.states;
        self.seconds += seconds;
        let failed = match must_break {
            None if report.violations.is_empty() => return,
            None => "FAILED".to_owned(),
            Some(property) if report.violations.contains_key(property) => return,
            Some(property) => format!("FAILED: does not violate \"{property}\" without the repair"),
        };
        println!("    {failed}");
        self.is_failed = true;
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
            total.add(&scenario.name, &report, None, arguments.paths);
        }
    }
    for scenario in &without_repairs() {
        if is_wanted(&scenario.name) {
            let report = find(scenario);
            total.add(
                &scenario.name,
                &report,
                scenario.without.map(broken_without),
                arguments.paths,
            );
        }
    }
    if is_wanted(&known().name) {
        total.add(
            &known().name,
            &find(&known()),
            Some(BROKEN_BY_KNOWN),
            arguments.paths,
        );
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
            let must_break = model.without.map(DeliveryRepair::broken_without);
            total.add(&name, &report, must_break, arguments.paths);
        }
    }
    println!("{} states in {:.0} s", total.states, total.seconds);
    if total.is_failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
