//! The verdict on a history: every rule with its counts, and the first violations of each.

use std::fmt;

use crate::findings::Findings;
use crate::history::History;
use crate::rules::RULES;

/// Maximum number of violations of one rule that are printed.
const PRINTED: usize = 5;

#[derive(Debug)]
pub(crate) struct Verdict {
    run: String,
    rules: Vec<(&'static str, &'static str, bool, Findings)>,
}

impl Verdict {
    /// Applies every rule.
    pub(crate) fn of(history: &History) -> Self {
        let rules = RULES.iter().map(|rule| {
            let mut findings = Findings::default();
            (rule.check)(history, &mut findings);
            (rule.name, rule.sentence, rule.is_core, findings)
        });
        let run = &history.run;
        Self {
            run: format!(
                "scenario {}, seed {}: {} calls, {} rupees, {} webhooks, {} faults ({} without effect), {} accounts",
                run.scenario,
                run.seed,
                history.calls.len(),
                history.drops.len(),
                history.receipts.len(),
                history.faults.len(),
                history
                    .faults
                    .iter()
                    .filter(|fault| fault.hits == 0)
                    .count(),
                history.accounts.len(),
            ),
            rules: rules.collect(),
        }
    }

    /// Returns the rules that are violated.
    pub(crate) fn violated(&self) -> Vec<&'static str> {
        let rules = self.rules.iter();
        let violated = rules.filter(|(.., findings)| !findings.violations.is_empty());
        violated.map(|(name, ..)| *name).collect()
    }

    /// Returns the rules that had nothing to check although every history must give them something.
    pub(crate) fn vacuous(&self) -> Vec<&'static str> {
        let rules = self.rules.iter();
        let vacuous = rules.filter(|(_, _, is_core, findings)| *is_core && findings.checked == 0);
        vacuous.map(|(name, ..)| *name).collect()
    }

    /// Returns 0 if every rule held, 1 if one is violated, 2 if the history checks nothing.
    pub(crate) fn exit_status(&self) -> u8 {
        if !self.violated().is_empty() {
            1
        } else if !self.vacuous().is_empty() {
            2
        } else {
            0
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.run)?;
        for (name, _, is_core, findings) in &self.rules {
            let word = match (findings.violations.len(), findings.checked) {
                (0, 0) if *is_core => "VACUOUS".to_owned(),
                (0, _) => "held".to_owned(),
                (violated, _) => format!("VIOLATED {violated}"),
            };
            write!(f, "  {name:<28} {:>7}  {word}", findings.checked)?;
            for (what, count) in &findings.counts {
                write!(f, "; {what}: {count}")?;
            }
            writeln!(f)?;
        }
        for (name, sentence, _, findings) in &self.rules {
            if findings.violations.is_empty() {
                continue;
            }
            writeln!(f, "\n{name}: {sentence}")?;
            for violation in findings.violations.iter().take(PRINTED) {
                writeln!(f, "  VIOLATION {violation}")?;
            }
            let more = findings.violations.len().saturating_sub(PRINTED);
            if more > 0 {
                writeln!(f, "  VIOLATION and {more} more")?;
            }
        }
        let (violated, vacuous) = (self.violated(), self.vacuous());
        if !violated.is_empty() {
            writeln!(f, "khata-check: violated: {}", violated.join(", "))
        } else if vacuous.is_empty() {
            writeln!(f, "khata-check: every rule held")
        } else {
            writeln!(
                f,
                "khata-check: the history gives these rules nothing to check: {}",
                vacuous.join(", ")
            )
        }
    }
}
