//! The velocity limits: so many validations of one account within a minute, an hour and a day.
//!
//! Decentro publishes them per mobile number, which a bank validation does not name; here the account
//! takes its place.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How many within how long (Decentro: 3 a minute, 4 an hour, 5 a day).
const LIMITS: [(usize, Duration); 3] = [
    (3, Duration::from_mins(1)),
    (4, Duration::from_hours(1)),
    (5, Duration::from_hours(24)),
];

/// The most that is ever let in within the longest span, and so all that is worth keeping.
const KEPT: usize = 5;

/// Accounts watched at once; beyond that, all that was seen is forgotten.
const WATCHED: usize = 100_000;

/// When each account was validated lately.
#[derive(Debug, Default)]
pub(super) struct Velocity {
    by_account: HashMap<Box<str>, VecDeque<Instant>>,
}

impl Velocity {
    /// Whether one more validation of this account is let in now; if so, it counts.
    pub(super) fn let_in(&mut self, account: &str, now: Instant) -> bool {
        if self.by_account.len() >= WATCHED && !self.by_account.contains_key(account) {
            self.by_account.clear();
        }
        let times = self.by_account.entry(account.into()).or_default();
        let exceeded = LIMITS.iter().any(|(most, span)| {
            let recent = times
                .iter()
                .filter(|at| now.saturating_duration_since(**at) < *span);
            recent.count() >= *most
        });
        if exceeded {
            return false;
        }
        times.push_back(now);
        if times.len() > KEPT {
            times.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_has_its_limit() {
        let start = Instant::now();
        let mut velocity = Velocity::default();
        for (seconds, let_in) in [
            (0, true),
            (1, true),
            (2, true),
            (59, false),
            (60, true),
            (61, false),
            (3_599, false),
            (3_600, true),
            (7_200, false),
            (86_399, false),
            (86_400, true),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(velocity.let_in("1", now), let_in, "at {seconds} s");
        }
        assert!(velocity.let_in("2", start), "another account");
    }
}
