//! The velocity limits: the validations of one account within a minute, an hour and a day. Decentro
//! publishes them per mobile number, which a bank validation does not have; here the account takes its
//! place.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Largest number of validations within each time (Decentro: 3 a minute, 4 an hour, 5 a day).
const LIMITS: [(usize, Duration); 3] = [
    (3, Duration::from_mins(1)),
    (4, Duration::from_hours(1)),
    (5, Duration::from_hours(24)),
];

/// Number of times that are kept for an account: the limit of the longest time.
const KEPT: usize = 5;

/// Number of accounts that are kept; beyond it all are dropped.
const CAPACITY: usize = 100_000;

/// The times of each account's newest validations.
#[derive(Debug, Default)]
pub(super) struct Velocity {
    by_account: HashMap<Box<str>, VecDeque<Instant>>,
}

impl Velocity {
    /// Returns whether one more validation of this account is admitted now; if so, it counts.
    pub(super) fn admit(&mut self, account: &str, now: Instant) -> bool {
        if self.by_account.len() >= CAPACITY && !self.by_account.contains_key(account) {
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
    fn each_time_has_its_limit() {
        let start = Instant::now();
        let mut velocity = Velocity::default();
        for (seconds, admitted) in [
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
            assert_eq!(velocity.admit("1", now), admitted, "at {seconds} s");
        }
        assert!(velocity.admit("2", start), "another account");
    }
}
