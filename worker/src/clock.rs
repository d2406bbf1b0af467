//! The time by Postgres's clock. Deadlines, leases, quotas, circuits and waits are rows, so that all workers judge them by this
//! clock and not by that of their machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use khata_store::database_time;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Difference from which on the worker reports its own clock.
const MAX_OFFSET: TimeDelta = TimeDelta::seconds(2);
/// Difference from which on the worker claims nothing: the machine is not to be trusted, and gateways reject signed calls.
const MAX_OFFSET_OF_CLAIMS: TimeDelta = TimeDelta::seconds(30);
/// A response that took longer than this is not precise enough.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(1);

/// How far this machine's clock is from Postgres's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Unknown,
    Right,
    /// More than [`MAX_OFFSET`].
    Doubtful,
    /// More than [`MAX_OFFSET_OF_CLAIMS`].
    Wrong,
}

impl Trust {
    fn of(offset: TimeDelta) -> Self {
        match offset.abs() {
            offset if offset > MAX_OFFSET_OF_CLAIMS => Self::Wrong,
            offset if offset > MAX_OFFSET => Self::Doubtful,
            _ => Self::Right,
        }
    }

    fn may_claim(self) -> bool {
        matches!(self, Self::Right | Self::Doubtful)
    }
}

/// Postgres's clock, as this process knows it.
#[derive(Debug)]
pub(crate) struct DatabaseClock {
    /// Postgres's time at an instant of this process. An instant does not follow changes of the machine's clock.
    known: Mutex<(Instant, DateTime<Utc>)>,
    trust: watch::Sender<Trust>,
    /// Whether the log says that Postgres is too slow to set the clock.
    is_slow: AtomicBool,
}

impl DatabaseClock {
    /// Returns a clock that shows this machine's time until it is set.
    pub(crate) fn new() -> Self {
        Self {
            known: Mutex::new((Instant::now(), Utc::now())),
            trust: watch::channel(Trust::Unknown).0,
            is_slow: AtomicBool::new(false),
        }
    }

    /// Returns Postgres's time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let (instant, time) = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        time + instant.elapsed()
    }

    /// Returns the time by which this machine's clock is ahead of Postgres's.
    pub(crate) fn offset(&self) -> TimeDelta {
        Utc::now() - self.now()
    }

    /// Sets the clock by Postgres.
    pub(crate) fn set(&self, connection: &mut PgConnection) -> QueryResult<()> {
        let asked_at = Instant::now();
        let time = database_time(connection)?;
        let took = asked_at.elapsed();
        if took <= MAX_RESPONSE_TIME {
            let known = (asked_at + took / 2, time);
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
            self.judge();
        } else if *self.trust.borrow() == Trust::Unknown
            && !self.is_slow.swap(true, Ordering::Relaxed)
        {
            warn!(
                took_ms = took.as_millis(),
                "clock not set: claims nothing until Postgres tells the time within a second; check the load of Postgres and the network"
            );
        }
        Ok(())
    }

    fn judge(&self) {
        let offset = self.offset();
        let trust = Trust::of(offset);
        let before = self.trust.send_replace(trust);
        if trust == before {
            return;
        }
        let offset_ms = offset.num_milliseconds();
        match trust {
            Trust::Wrong => error!(
                offset_ms,
                "clock wrong: claims nothing until the machine's clock agrees with Postgres's; check its time synchronisation"
            ),
            Trust::Doubtful => warn!(
                offset_ms,
                "clock differs from Postgres's, which the worker uses instead; check the machine's time synchronisation"
            ),
            Trust::Right if before != Trust::Unknown => {
                info!(offset_ms, "clock agrees with Postgres's again");
            }
            Trust::Right | Trust::Unknown => {}
        }
    }

    /// Whether the worker may claim validations.
    pub(crate) fn may_claim(&self) -> bool {
        self.trust.borrow().may_claim()
    }

    /// Returns when the worker may claim validations.
    pub(crate) async fn permits_claims(&self) {
        let mut trust = self.trust.subscribe();
        let _ = trust.wait_for(|trust| trust.may_claim()).await;
    }

    /// Returns when the worker may claim no validations.
    pub(crate) async fn forbids_claims(&self) {
        let mut trust = self.trust.subscribe();
        let _ = trust.wait_for(|trust| !trust.may_claim()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_far_from_postgres_claims_nothing() {
        for (seconds, may_claim) in [
            (0, true),
            (-5, true),
            (30, true),
            (31, false),
            (-176_400, false),
        ] {
            let trust = Trust::of(TimeDelta::seconds(seconds));
            assert_eq!(trust.may_claim(), may_claim, "{seconds}");
        }
        assert!(!DatabaseClock::new().may_claim(), "not before it is set");
    }
}
