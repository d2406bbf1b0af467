//! The circuit breaker of a gateway account, stored in Postgres and shared by all workers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::decay::Decay;

/// Age at which the result of a call counts half.
const HALF_LIFE: Duration = Duration::from_secs(15);
/// Number of failures below which the circuit stays closed.
const MIN_FAILURES: f64 = 4.5;
/// Share of failed calls at which the circuit opens.
const FAILURE_SHARE: f64 = 0.5;
/// Time for which the circuit is open at first, and at most.
const OPEN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(2));
/// Interval between test calls while the circuit is half open.
const PROBE_INTERVAL: TimeDelta = TimeDelta::seconds(2);

/// The health of a gateway account.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "diesel", derive(diesel::QueryableByName))]
pub struct Circuit {
    /// Recent calls that succeeded, decaying.
    #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Double))]
    pub served: f64,
    /// Recent calls that failed, decaying.
    #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Double))]
    pub failed: f64,
    /// When the counts were updated.
    #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Timestamptz))]
    pub counted_at: DateTime<Utc>,
    /// `Some`: no call is made until then; after that, one test call at a time.
    #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Timestamptz>))]
    pub open_until: Option<DateTime<Utc>>,
    /// How often the circuit opened since it was last closed.
    #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::SmallInt))]
    pub trips: i16,
    /// When the last test call was made.
    #[cfg_attr(feature = "diesel", diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Timestamptz>))]
    pub probed_at: Option<DateTime<Utc>>,
}

/// Whether calls may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    Closed,
    /// One test call may be made.
    HalfOpen,
    /// No call before this time.
    Open(DateTime<Utc>),
}

impl Circuit {
    /// Returns the closed circuit of a gateway account without calls.
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

    pub fn is_closed(&self) -> bool {
        self.open_until.is_none()
    }

    /// Returns whether a call may be made now.
    pub fn state(&self, now: DateTime<Utc>) -> CircuitState {
        let Some(open_until) = self.open_until else {
            return CircuitState::Closed;
        };
        let next = self
            .probed_at
            .map_or(open_until, |probed| open_until.max(probed + PROBE_INTERVAL));
        if now < next {
            CircuitState::Open(next)
        } else {
            CircuitState::HalfOpen
        }
    }

    /// Returns the circuit after these further calls.
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
            // Calls made before the circuit opened may end later: they neither close it nor keep it open.
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
                if next.failed > MIN_FAILURES
                    && next.failed >= FAILURE_SHARE * (next.served + next.failed)
                {
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
    fn the_circuit_opens_after_most_calls_failed_and_not_after_a_few() {
        let fresh = Circuit::new(start());
        assert!(fresh.after(0, 4, seconds(1)).is_closed());
        assert!(fresh.after(20, 9, seconds(1)).is_closed());
        let open = fresh.after(3, 9, seconds(1));
        assert_eq!(open.state(seconds(1)), CircuitState::Open(seconds(6)));
        // Old failures do not count.
        let slow = fresh.after(0, 4, seconds(1)).after(0, 4, seconds(120));
        assert!(slow.is_closed());
    }

    #[test]
    fn a_test_call_closes_the_circuit_or_opens_it_for_longer() {
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
    fn calls_made_before_the_circuit_opened_do_not_change_it() {
        let open = Circuit::new(start()).after(0, 10, start());
        for late in [
            open.after(0, 500, seconds(1)),
            open.after(500, 0, seconds(1)),
        ] {
            assert_eq!((late.open_until, late.trips), (open.open_until, 1));
        }
    }

    #[test]
    fn half_of_the_calls_open_the_circuit_and_more_successes_than_failures_close_it() {
        let fresh = Circuit::new(start());
        assert!(!fresh.after(5, 5, start()).is_closed());
        assert!(fresh.after(6, 5, start()).is_closed());
        let open = fresh.after(1, 9, start());
        assert_eq!(
            open.after(0, 0, seconds(6)).state(seconds(6)),
            CircuitState::HalfOpen
        );
        let longer = open.after(1, 1, seconds(6));
        assert_eq!(longer.state(seconds(6)), CircuitState::Open(seconds(16)));
        // A call that ends at the end of the open time is a test call. Earlier calls do not count any more.
        let closed = open.after(2, 1, seconds(5));
        assert_eq!(
            (closed.is_closed(), closed.served, closed.failed),
            (true, 2.0, 0.0)
        );
        let longest = (0..9).fold(open, |circuit, round| {
            circuit.after(0, 1, seconds(600 * (round + 1)))
        });
        assert_eq!(longest.open_until, Some(seconds(5_400 + 120)));
    }

    #[test]
    fn each_call_decays_from_its_own_time() {
        let counts = Circuit::new(start()).after(8, 4, start());
        let counts = counts.after(0, 0, seconds(15)).after(1, 0, seconds(30));
        assert_eq!((counts.served, counts.failed), (3.0, 1.0));
    }

    proptest! {
        #[test]
        fn an_open_circuit_always_allows_a_test_call_later(calls in proptest::collection::vec((0u32..50, 0u32..50, 0i64..40), 1..60)) {
            let (mut circuit, mut now) = (Circuit::new(start()), start());
            for (served, failed, pause) in calls {
                now += TimeDelta::seconds(pause);
                if circuit.state(now) == CircuitState::HalfOpen {
                    circuit.probed_at = Some(now);
                }
                circuit = circuit.after(served, failed, now);
                prop_assert!(circuit.served >= 0.0 && circuit.failed >= 0.0);
                if let CircuitState::Open(until) = circuit.state(now) {
                    prop_assert!(until > now && until <= now + TimeDelta::minutes(2) + PROBE_INTERVAL);
                    prop_assert_eq!(circuit.state(until), CircuitState::HalfOpen);
                }
            }
        }
    }
}
