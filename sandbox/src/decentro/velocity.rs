//! The velocity limits: the validations of one account within a minute, an hour and a day. Decentro
//! publishes them per mobile number, which a bank validation does not have; here the account takes its
//! place.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Largest number of validations within each time (Decentro: 3 a minute, 4 an hour, 5 a day).
const LIMITS: [(usize, Duration); 3] = [
    (3, Duration::from_mins(1)),
    (4, Duration::from_hours(1)),
    (5, Duration::from_hours(24)),
];

/// The times of each account's validations of the last day.
#[derive(Debug, Default)]
pub(super) struct Velocity(HashMap<String, Vec<Instant>>);

impl Velocity {
    /// Returns whether one more validation of this account is admitted now; if so, it counts.
    pub(super) fn admit(&mut self, account: &str, now: Instant) -> bool {
        // Beyond this number of accounts all are dropped.
        if self.0.len() >= 100_000 && !self.0.contains_key(account) {
            self.0.clear();
        }
        let times = self.0.entry(account.to_owned()).or_default();
        let age = |at: &Instant| now.saturating_duration_since(*at);
        times.retain(|at| age(at) < LIMITS[2].1);
        let admitted = LIMITS
            .iter()
            .all(|(most, time)| times.iter().filter(|at| age(at) < *time).count() < *most);
        if admitted {
            times.push(now);
        }
        admitted
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
