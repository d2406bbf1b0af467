//! Deliberate faults in Khata, and the scenario that must find each. The programs must be built with the feature `mutants` of
//! `khata-domain`: `make mutants` does that.

use anyhow::{Result, bail};

use crate::scenarios;

/// Names of the faults (`shared/domain/src/mutants.rs`) with the scenario that finds each.
const MUTANTS: [(&str, &str); 14] = [
    ("unfenced-settlement", "frozen-call"),
    ("no-scheduler", "worker-kill"),
    ("no-rescue", "worker-kill"),
    ("no-recovery", "lost-responses"),
    ("no-flag", "setu"),
    ("new-reference", "lost-responses"),
    ("revived-account", "worker-kill"),
    ("lost-event", "worker-kill"),
    ("lost-record", "worker-kill"),
    ("eager-cursor", "idle-transaction"),
    ("false-rejection", "postgres-silent"),
    ("changed-body", "receivers"),
    ("unordered-deliveries", "receivers"),
    ("any-reply-delivers", "receivers"),
];

/// Returns the names of all faults.
pub(crate) fn names() -> Vec<&'static str> {
    MUTANTS.iter().map(|(name, _)| *name).collect()
}

/// Runs the scenario that must find the fault. Returns the rules that are violated; an error if none is.
pub(crate) async fn run(name: &str, seed: u64) -> Result<String> {
    let Some((name, scenario)) = MUTANTS.iter().find(|(known, _)| *known == name) else {
        bail!("no fault {name:?}; name one of {}", names().join(", "));
    };
    match scenarios::run_with(scenario, seed, Some(name)).await {
        Ok(figures) => bail!("not found by {scenario}: {figures}"),
        Err(error) => {
            let said = format!("{error:#}");
            let violated = said.split("khata-check: violated: ").nth(1);
            let Some(violated) = violated.and_then(|rules| rules.lines().next()) else {
                bail!("{scenario} failed in another way: {said}");
            };
            Ok(format!("found by {scenario}: {violated}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn every_fault_has_a_scenario() {
        let source = include_str!("../../../../shared/domain/src/mutants.rs");
        let named: Vec<&str> = source
            .lines()
            .filter_map(|line| line.split("=> \"").nth(1)?.split('"').next())
            .collect();
        assert!(named.len() >= 12);
        assert_eq!(named, names());
    }
}
