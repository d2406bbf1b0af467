//! The rate of the calls to an endpoint.

use std::time::{Duration, Instant};

/// Calls of this time may come together, so that a fast endpoint does not need a claim for each of them.
const BURST: Duration = Duration::from_millis(100);

/// The calls that an endpoint with a limit may get (generic cell rate algorithm): no second has more calls than the limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallBudget {
    interval: Duration,
    /// When the calls so far would allow another one at an even rate.
    next_at: Instant,
}

impl CallBudget {
    pub(super) fn new(calls_per_second: u32, now: Instant) -> Self {
        // Slower by the burst: a second may begin with one. A nanosecond more than the division rounds off.
        let interval =
            (Duration::from_secs(1) + BURST) / calls_per_second.max(1) + Duration::from_nanos(1);
        Self {
            interval,
            next_at: now,
        }
    }

    /// Returns how many calls may be made now.
    pub(super) fn free(&self, now: Instant) -> usize {
        let next_at = self.next_at.max(now);
        let left = (now + BURST).checked_duration_since(next_at);
        left.map_or(0, |left| {
            let further = left.as_nanos() / self.interval.as_nanos();
            1 + usize::try_from(further).unwrap_or(usize::MAX - 1)
        })
    }

    /// Returns when a call may be made.
    pub(super) fn free_at(&self) -> Instant {
        self.next_at.checked_sub(BURST).unwrap_or(self.next_at)
    }

    pub(super) fn take(&mut self, calls: usize, now: Instant) {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.next_at = self.next_at.max(now) + self.interval.saturating_mul(calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_calls_than_the_limit() {
        let start = Instant::now();
        for limit in [1, 2, 5, 100, 1_000] {
            let mut budget = CallBudget::new(limit, start);
            let mut calls: Vec<Instant> = Vec::new();
            let mut now = start;
            while now < start + Duration::from_secs(5) {
                let free = budget.free(now);
                budget.take(free, now);
                calls.extend(std::iter::repeat_n(now, free));
                // A claim comes when a call is free, or later.
                now = budget.free_at().max(now + Duration::from_millis(7));
            }
            let limit = limit as usize;
            let most = calls
                .iter()
                .enumerate()
                .map(|(place, at)| {
                    let later = calls[place..].iter();
                    later
                        .take_while(|later| **later < *at + Duration::from_secs(1))
                        .count()
                })
                .max();
            assert!(most <= Some(limit), "{limit}: {most:?}");
            assert!(calls.len() >= 4 * limit, "{limit}: {}", calls.len());
        }
    }

    #[test]
    fn the_next_call_is_free_when_the_budget_says_so() {
        let start = Instant::now();
        let mut budget = CallBudget::new(5, start);
        assert_eq!(budget.free(start), 1);
        budget.take(1, start);
        assert_eq!(budget.free(start), 0);
        let next = budget.free_at();
        assert!(next > start);
        assert_eq!(budget.free(next), 1);
    }
}
