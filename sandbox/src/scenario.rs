//! Test data that all gateways have in common, besides the data that each publishes: an account number,
//! or the part of a VPA before its `@`, selects an outcome by its last eight digits. The table is in the
//! crate's README. Everything else that is well formed is valid.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Mutex;
use std::time::Duration;

use crate::gateway::{Gateway, lock};

/// Digits before the last two that select a row of the common table.
const COMMON: &str = "990099";
/// Digits before the last two that select a row of the gateway's own table.
const OWN: &str = "990088";

/// Name of the account holder where the scenario has a name that was not sent.
const OTHER_NAME: &str = "ZUBIN IRANI";

/// An outcome that every gateway expresses in its own words; the crate's README has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Valid,
    Invalid,
    InvalidIfsc,
    Closed,
    Blocked,
    Fraud,
    Nre,
    Inconclusive,
    Technical,
    /// A row, 0 to 99, of the gateway's own table.
    OwnRow(usize),
}

impl Outcome {
    /// Returns whether the account or VPA is not usable.
    pub(crate) fn is_unusable(self) -> bool {
        use Outcome::{Blocked, Closed, Fraud, Invalid, InvalidIfsc};
        matches!(self, Invalid | InvalidIfsc | Closed | Blocked | Fraud)
    }
}

/// Time when an outcome appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timing {
    /// As soon as the gateway's behaviour allows.
    AtOnce,
    /// After the sandbox's published pending time, or the behaviour's if that is longer.
    Later,
    /// Never: the verification stays pending.
    Never,
}

impl Timing {
    /// Returns the time from the call to the outcome; `None`: the outcome never appears.
    pub(crate) fn after(self, pending: Duration, published: Duration) -> Option<Duration> {
        match self {
            Self::AtOnce => Some(pending),
            Self::Later => Some(pending.max(published)),
            Self::Never => None,
        }
    }
}

/// The row that a number selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) outcome: Outcome,
    pub(crate) timing: Timing,
    /// Name that the bank returns for a valid account or VPA: "" for none. `None`: the name sent in
    /// capitals, or a name that the number decides.
    name: Option<&'static str>,
}

impl Scenario {
    const fn new(outcome: Outcome, timing: Timing, name: Option<&'static str>) -> Self {
        Self {
            outcome,
            timing,
            name,
        }
    }

    /// The scenario of everything that selects none.
    const VALID: Self = Self::new(Outcome::Valid, Timing::AtOnce, None);

    /// Returns the scenario that a number selects, and whether it applies to the first call only.
    fn of(number: &str) -> (Self, bool) {
        let ending = number
            .len()
            .checked_sub(COMMON.len() + 2)
            .and_then(|start| number.get(start..));
        let (table, row) = ending
            .unwrap_or_default()
            .split_at_checked(COMMON.len())
            .unwrap_or_default();
        match (table, row.parse()) {
            (COMMON, Ok(row)) => (Self::in_common_table(row), row == 43),
            (OWN, Ok(row)) => (Self::new(Outcome::OwnRow(row), Timing::AtOnce, None), false),
            _ => (Self::VALID, false),
        }
    }

    fn in_common_table(row: usize) -> Self {
        let named = |name| Self::new(Outcome::Valid, Timing::AtOnce, Some(name));
        let outcome = match row {
            11 => return Self::new(Outcome::Valid, Timing::Later, None),
            12 => return Self::new(Outcome::Invalid, Timing::Later, None),
            13 => return Self::new(Outcome::Valid, Timing::Never, None),
            21 => return named(""),
            22 => return named("VERIFIED"),
            23 => return named("NA"),
            24 => return named(OTHER_NAME),
            31 => Outcome::Invalid,
            32 => Outcome::InvalidIfsc,
            33 => Outcome::Closed,
            34 => Outcome::Blocked,
            35 => Outcome::Fraud,
            36 => Outcome::Nre,
            41 => Outcome::Inconclusive,
            42 | 43 => Outcome::Technical,
            _ => Outcome::Valid,
        };
        Self::new(outcome, Timing::AtOnce, None)
    }

    /// Returns the name that the bank has for a valid account or VPA; `None` if it returns none.
    pub(crate) fn holder(self, payee: &str, sent: Option<&str>) -> Option<String> {
        match self.name {
            Some("") => None,
            Some(name) => Some(name.to_owned()),
            None => Some(usual_name(payee, sent)),
        }
    }
}

/// Returns the name sent in capitals; where none was sent, a name that the number decides, always the
/// same.
fn usual_name(payee: &str, sent: Option<&str>) -> String {
    const FIRST: [&str; 7] = ["ASHA", "RAVI", "MEENA", "IMRAN", "KAVYA", "JOSEPH", "DIVYA"];
    const LAST: [&str; 5] = ["RAO", "SHARMA", "KRISHNAN", "D SOUZA", "BANERJEE"];
    if let Some(sent) = sent.map(str::trim).filter(|sent| !sent.is_empty()) {
        return sent.to_uppercase();
    }
    let sum = payee
        .bytes()
        .fold(0_usize, |sum, byte| (sum * 31 + usize::from(byte)) % 9_973);
    format!("{} {}", FIRST[sum % FIRST.len()], LAST[sum % LAST.len()])
}

/// The numbers whose first call at a gateway failed as their scenario demands, kept as hashes.
#[derive(Debug, Default)]
pub(crate) struct FirstCalls {
    hasher: RandomState,
    seen: Mutex<HashSet<u64>>,
}

impl FirstCalls {
    /// Returns the scenario of an account number or a VPA. Row 43 fails at the first call with this
    /// number and is valid at later ones.
    pub(crate) fn scenario(&self, gateway: Gateway, payee: &str) -> Scenario {
        let number = payee.split_once('@').map_or(payee, |(user, _)| user);
        let (scenario, first_call_only) = Scenario::of(number);
        if first_call_only && !self.is_first(gateway, payee) {
            return Scenario::VALID;
        }
        scenario
    }

    fn is_first(&self, gateway: Gateway, payee: &str) -> bool {
        let hash = self.hasher.hash_one((gateway, payee));
        let mut seen = lock(&self.seen);
        // Enough for a test run; beyond it all are dropped.
        if seen.len() >= 100_000 {
            seen.clear();
        }
        seen.insert(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(payee: &str) -> (Outcome, Timing) {
        let scenario = FirstCalls::default().scenario(Gateway("SETU"), payee);
        (scenario.outcome, scenario.timing)
    }

    #[test]
    fn the_last_eight_digits_select_a_scenario() {
        use {Outcome as O, Timing as T};
        for (payee, expected) in [
            ("99009911", (O::Valid, T::Later)),
            ("12399009913", (O::Valid, T::Never)),
            ("12399009943", (O::Technical, T::AtOnce)),
            ("asha99009931", (O::Invalid, T::AtOnce)),
            ("12399008807", (O::OwnRow(7), T::AtOnce)),
            ("12399009910", (O::Valid, T::AtOnce)),
            ("1239900991", (O::Valid, T::AtOnce)),
            ("990099111", (O::Valid, T::AtOnce)),
            ("9009911", (O::Valid, T::AtOnce)),
            ("नमस्ते990099", (O::Valid, T::AtOnce)),
            ("", (O::Valid, T::AtOnce)),
            ("asha.99009936@okhdfcbank", (O::Nre, T::AtOnce)),
            ("asha@99009936", (O::Valid, T::AtOnce)),
        ] {
            assert_eq!(outcome(payee), expected, "{payee}");
        }
    }

    #[test]
    fn names_follow_the_scenario() {
        assert_eq!(usual_name("123456", Some(" Asha Rao ")), "ASHA RAO");
        assert_eq!(usual_name("123456", None), usual_name("123456", Some("  ")));
        assert!(!usual_name("123456", None).is_empty());
        let distinct: HashSet<String> = (0..50)
            .map(|number| usual_name(&format!("1234{number:02}"), None))
            .collect();
        assert!(distinct.len() > 10, "numbers have names of their own");
        for (row, name) in [
            (21, None),
            (22, Some("VERIFIED")),
            (23, Some("NA")),
            (24, Some(OTHER_NAME)),
            (11, Some("ASHA")),
        ] {
            let holder = Scenario::in_common_table(row).holder("1", Some("Asha"));
            assert_eq!(holder.as_deref(), name);
        }
    }

    #[test]
    fn row_43_fails_once_for_each_number_and_gateway() {
        let calls = FirstCalls::default();
        let outcome = |gateway, number| calls.scenario(gateway, number).outcome;
        let (once, always) = ("199009943", "199009942");
        assert_eq!(outcome(Gateway("SETU"), once), Outcome::Technical);
        assert_eq!(outcome(Gateway("SETU"), once), Outcome::Valid);
        assert_eq!(outcome(Gateway("PAYU"), once), Outcome::Technical);
        assert_eq!(outcome(Gateway("SETU"), "299009943"), Outcome::Technical);
        for _ in 0..3 {
            assert_eq!(outcome(Gateway("SETU"), always), Outcome::Technical);
        }
    }

    #[test]
    fn a_later_outcome_waits_for_the_longer_of_both_times() {
        let [short, long] = [1, 2].map(Duration::from_secs);
        assert_eq!(Timing::AtOnce.after(short, long), Some(short));
        assert_eq!(Timing::Later.after(short, long), Some(long));
        assert_eq!(Timing::Later.after(long, short), Some(long));
        assert_eq!(Timing::Never.after(short, long), None);
    }
}
