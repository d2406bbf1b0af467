//! `khata-check HISTORY`: decides from the history of a chaos run whether Khata kept its promises. Exit status 0: every rule
//! held; 1: a rule is violated; 2: the history cannot be read, or checks nothing. `docs/proof.md` describes histories and
//! rules.
//!
//! This program shares no code with Khata: a mistake in Khata's own code cannot hide itself here.

mod findings;
mod history;
mod index;
mod rules;
#[cfg(test)]
mod sample;
mod script;
mod verdict;

use std::process::ExitCode;

use crate::history::History;
use crate::verdict::Verdict;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: khata-check HISTORY");
        return ExitCode::from(2);
    };
    match History::read(path.as_ref()) {
        Ok(history) => {
            let verdict = Verdict::of(&history);
            print!("{verdict}");
            ExitCode::from(verdict.exit_status())
        }
        Err(error) => {
            eprintln!("khata-check: {error:#}");
            ExitCode::from(2)
        }
    }
}
