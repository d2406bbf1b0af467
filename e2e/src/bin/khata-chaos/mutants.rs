//! Deliberate faults in Khata, and the scenario that must find each. The programs must be built with the feature `mutants` of
//! `khata-domain`: `make mutants` does that.

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::scenarios;

/// Names of the faults (`shared/domain/src/mutants.rs`), each with the scenario that finds it and the rules of which one must be
/// violated: another rule, or a run that ends too early, proves nothing about the fault.
const MUTANTS: [(&str, &str, &[&str]); 14] = [
    (
        "unfenced-settlement",
        "frozen-call",
        &["one-outcome", "status-machine"],
    ),
    ("no-scheduler", "worker-kill", &["one-outcome"]),
    ("no-rescue", "worker-kill", &["one-outcome"]),
    ("no-recovery", "lost-responses", &["rupees-per-validation"]),
    ("no-flag", "setu", &["rupees-per-validation"]),
    ("new-reference", "lost-responses", &["rupee-has-attempt"]),
    (
        "revived-account",
        "lost-responses",
        &["deleted-stays-deleted"],
    ),
    ("lost-event", "worker-kill", &["versions-grow-by-one"]),
    ("lost-record", "worker-kill", &["same-key-same-reply"]),
    ("eager-cursor", "idle-transaction", &["cursor-complete"]),
    (
        "false-rejection",
        "slow-commits",
        &["rejected-is-not-stored"],
    ),
    ("changed-body", "receivers", &["webhook-body"]),
    ("unordered-deliveries", "receivers", &["webhook-in-order"]),
    // The next event follows one that the endpoint never accepted.
    ("any-reply-delivers", "receivers", &["webhook-in-order"]),
];

/// Returns the names of all faults.
pub(crate) fn names() -> Vec<&'static str> {
    MUTANTS.iter().map(|(name, ..)| *name).collect()
}

/// Seeds that are tried: whether a run gives a fault the occasion to do harm depends on what meets at one moment.
const SEEDS: usize = 3;

/// Runs the scenario that must find the fault, with the seed and then the following ones. Returns the rules that are violated; an error
/// if none of those that must be is, with any seed.
pub(crate) async fn run(name: &str, seed: u64) -> Result<String> {
    let Some((name, scenario, rules)) = MUTANTS.iter().find(|(known, ..)| *known == name) else {
        bail!("no fault {name:?}; name one of {}", names().join(", "));
    };
    let mut missed = Vec::new();
    for seed in (seed..).take(SEEDS) {
        let found = match scenarios::run_with(scenario, seed, Some(name)).await {
            Ok(figures) => Err(anyhow!("no rule is violated: {figures}")),
            Err(error) => {
                let said = format!("{error:#}");
                violated(&said, rules).map(str::to_owned)
            }
        };
        match found {
            Ok(rules) => return Ok(format!("found by {scenario}, seed {seed}: {rules}")),
            Err(error) => missed.push(format!("seed {seed}: {error:#}")),
        }
    }
    bail!("not found by {scenario}: {}", missed.join("; "))
}

/// Returns the violated rules that a failed run names; an error if none of `rules` is among them.
fn violated<'a>(said: &'a str, rules: &[&str]) -> Result<&'a str> {
    let violated = said.split("khata-check: violated: ").nth(1);
    let violated = violated.and_then(|rules| rules.lines().next());
    let violated = violated.with_context(|| format!("no rule is violated: {said}"))?;
    ensure!(
        violated.split(", ").any(|rule| rules.contains(&rule)),
        "the run violates {violated}, and not {}",
        rules.join(" or ")
    );
    Ok(violated)
}

#[cfg(test)]
mod tests {
    use super::{MUTANTS, names, violated};

    #[test]
    fn only_the_rules_of_a_fault_find_it() {
        let said = "khata-check history.jsonl\nkhata-check: violated: available, webhook-body\n";
        let found = violated(said, &["webhook-body"]);
        assert_eq!(found.ok(), Some("available, webhook-body"));
        for (said, rule) in [
            (said, "webhook"),
            (said, "one-outcome"),
            ("a time-out", "available"),
        ] {
            assert!(violated(said, &[rule]).is_err(), "{rule}");
        }
    }

    #[test]
    fn the_page_names_the_scenario_and_the_rules_of_every_fault() {
        let page = include_str!("../../../../docs/proof.md");
        let rules_of_checker = include_str!("../../../check/src/rules.rs");
        for (name, scenario, rules) in MUTANTS {
            for rule in rules {
                assert!(rules_of_checker.contains(&format!("\"{rule}\",")), "{rule}");
            }
            let rules = rules.join("`, `");
            let end = format!(" | `{scenario}` | `{rules}` |");
            let mut rows = page.lines();
            assert!(
                rows.any(|row| row.starts_with(&format!("| `{name}` |")) && row.ends_with(&end)),
                "docs/proof.md lacks the row of {name}, with{end}"
            );
        }
    }

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
