//! Runs the checker, and reports what it has found.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

/// The result of the checker for one configuration.
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Steps on the longest of the shortest paths to a state.
    pub depth: usize,
    pub took: Duration,
    /// The properties that do not hold, with the steps of a shortest path to a violation.
    pub violations: BTreeMap<&'static str, Vec<String>>,
}

/// Explores every state.
pub fn explore<M>(model: &M) -> Report
where
    M: Clone + Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    run(model.clone(), None)
}

/// Explores until a property is violated, and returns a shortest path to a violation.
pub fn find<M>(model: &M) -> Report
where
    M: Clone + Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let mut report = run(model.clone(), Some(usize::MAX));
    loop {
        let Some(shortest) = report.violations.values().map(Vec::len).min() else {
            return report;
        };
        // The checker keeps the last path that it finds: look for a shorter one, of fewer states.
        let shorter = run(model.clone(), Some(shortest + 1));
        if shorter.violations.is_empty() {
            let is_shortest = |_: &&'static str, path: &mut Vec<String>| path.len() == shortest;
            report.violations.retain(is_shortest);
            return report;
        }
        report = shorter;
    }
}

/// `depth`: stop at the first violation, and explore paths of at most as many states.
fn run<M>(model: M, depth: Option<usize>) -> Report
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq + Send + Sync + 'static,
{
    let began = Instant::now();
    let mut checker = model.checker();
    if let Some(depth) = depth {
        checker = checker
            .finish_when(HasDiscoveries::AnyFailures)
            .target_max_depth(if depth == usize::MAX { 0 } else { depth });
    }
    let checker = checker.spawn_bfs().join();
    let violations = checker.discoveries().into_iter().map(|(name, path)| {
        let actions = path.into_actions();
        let steps = actions.iter().map(|action| format!("{action:?}"));
        (name, steps.collect())
    });
    Report {
        violations: violations.collect(),
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: began.elapsed(),
    }
}
