//! Whether a gateway account can be asked at all: a circuit breaker, kept in Postgres and shared by all workers. Pure:
//! whoever has news brings it, with the time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::decay::Decay;

/// After so long what a call came to counts half.
const HALF_LIFE: Duration = Duration::from_secs(15);
/// Fewer failures than this say nothing.
const FEWEST: f64 = 4.5;
/// Opens if so many of the calls fail.
const SHARE: f64 = 0.5;
/// How long it is open at first, and at most.
const OPEN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(2));
/// While it is half open one call in so long is let through to see.
const PROBE_EVERY: TimeDelta = TimeDelta::seconds(2);

/// What is known of a gateway account's health.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circuit {
    /// Calls that were of use, lately.
    pub served: f64,
    /// Calls that were not.
    pub failed: f64,
    /// When they were counted.
    pub counted_at: DateTime<Utc>,
    /// `Some`: no call passes until then; after it one at a time, to see.
    pub open_until: Option<DateTime<Utc>>,
    /// How often it opened without having closed in between.
    pub trips: i16,
    /// When the last call was let through to see.
    pub probed_at: Option<DateTime<Utc>>,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// As usual.
    Closed,
    /// This one call, to see whether the gateway is back.
    HalfOpen,
    /// Not before.
    Open(DateTime<Utc>),
}

impl Circuit {
    /// A gateway account that nothing is known of.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self {
            served: 0.0,
            failed: 0.0,
            counted_at: now,
            open_until: None,
            trips: 0,
            probed_at: None,
        }
    }

    /// Whether calls pass as usual.
    pub fn is_closed(&self) -> bool {
        self.open_until.is_none()
    }

    /// Whether a call may be made now.
    pub fn state(&self, now: DateTime<Utc>) -> CircuitState {
        let Some(open_until) = self.open_until else {
            return CircuitState::Closed;
        };
        let next = self
            .probed_at
            .map_or(open_until, |probed| open_until.max(probed + PROBE_EVERY));
        if now < next {
            CircuitState::Open(next)
        } else {
            CircuitState::HalfOpen
        }
    }

    /// What becomes of it when so many calls more were of use and so many were not.
    #[must_use]
    pub fn after(self, served: u32, failed: u32, now: DateTime<Utc>) -> Self {
        let decay = Decay::between(self.counted_at, now, HALF_LIFE);
        let mut next = Self {
            served: decay.of(self.served) + f64::from(served),
            failed: decay.of(self.failed) + f64::from(failed),
            counted_at: now,
            ..self
        };
        match self.open_until {
            // Calls that were under way when it opened come back late: they neither close it nor prolong it.
            Some(open_until) if now < open_until => {}
            Some(_) if served > failed => {
                next = Self {
                    served: f64::from(served),
                    failed: 0.0,
                    open_until: None,
                    trips: 0,
                    probed_at: None,
                    ..next
                };
            }
            Some(_) if failed > 0 => next.open(now),
            Some(_) => {}
            None => {
                if next.failed > FEWEST && next.failed >= SHARE * (next.served + next.failed) {
                    next.open(now);
                }
            }
        }
        next
    }

    fn open(&mut self, now: DateTime<Utc>) {
        let doubled = OPEN.0.saturating_mul(1 << self.trips.clamp(0, 10));
        self.open_until = Some(now + TimeDelta::from_std(doubled.min(OPEN.1)).unwrap_or_default());
        self.trips = self.trips.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn seconds(count: i64) -> DateTime<Utc> {
        start() + TimeDelta::seconds(count)
    }

    #[test]
    fn it_opens_when_most_calls_fail_and_not_for_a_few() {
        let fresh = Circuit::new(start());
        assert!(fresh.after(0, 4, seconds(1)).is_closed());
        assert!(fresh.after(20, 9, seconds(1)).is_closed());
        let open = fresh.after(3, 9, seconds(1));
        assert_eq!(open.state(seconds(1)), CircuitState::Open(seconds(6)));
        // Long ago is not now.
        let slow = fresh.after(0, 4, seconds(1)).after(0, 4, seconds(120));
        assert!(slow.is_closed());
    }

    #[test]
    fn one_call_is_let_through_and_closes_it_or_opens_it_for_longer() {
        let open = Circuit::new(start()).after(0, 10, start());
        assert_eq!(open.state(seconds(5)), CircuitState::HalfOpen);
        let probing = Circuit {
            probed_at: Some(seconds(5)),
            ..open
        };
        assert_eq!(probing.state(seconds(5)), CircuitState::Open(seconds(7)));
        assert_eq!(probing.state(seconds(7)), CircuitState::HalfOpen);
        let longer = probing.after(0, 1, seconds(6));
        assert_eq!(longer.state(seconds(6)), CircuitState::Open(seconds(16)));
        let closed = probing.after(1, 0, seconds(6));
        assert_eq!(closed.state(seconds(6)), CircuitState::Closed);
        assert_eq!(closed.trips, 0);
    }

    #[test]
    fn what_was_under_way_when_it_opened_changes_nothing() {
        let open = Circuit::new(start()).after(0, 10, start());
        for late in [
            open.after(0, 500, seconds(1)),
            open.after(500, 0, seconds(1)),
        ] {
            assert_eq!((late.open_until, late.trips), (open.open_until, 1));
        }
    }

    proptest! {
        #[test]
        fn it_is_never_shut_for_ever(news in proptest::collection::vec((0u32..50, 0u32..50, 0i64..40), 1..60)) {
            let (mut circuit, mut now) = (Circuit::new(start()), start());
            for (served, failed, pause) in news {
                now += TimeDelta::seconds(pause);
                if circuit.state(now) == CircuitState::HalfOpen {
                    circuit.probed_at = Some(now);
                }
                circuit = circuit.after(served, failed, now);
                prop_assert!(circuit.served >= 0.0 && circuit.failed >= 0.0);
                if let CircuitState::Open(until) = circuit.state(now) {
                    prop_assert!(until > now && until <= now + TimeDelta::minutes(2) + PROBE_EVERY);
                    prop_assert_eq!(circuit.state(until), CircuitState::HalfOpen);
                }
            }
        }
    }
}
