//! The findings of a rule.

use std::collections::BTreeMap;

/// The findings of one rule.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Number of cases.
    pub(crate) checked: usize,
    pub(crate) violations: Vec<String>,
    /// Facts to count that are no violation.
    pub(crate) counts: BTreeMap<&'static str, usize>,
}

impl Findings {
    /// Checks one case; the sentence describes a violation.
    pub(crate) fn check(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.violations.push(violation());
        }
    }

    /// Counts a fact that the reader should know.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}
