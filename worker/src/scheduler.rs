//! Publishes wake-ups for validations that are due: those that waited until now, those whose wake-up was lost, and those of a
//! stopped worker whose lease expired. Every worker runs a scheduler; `for update skip locked` lets them work side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use khata_config::shutdown::Shutdown;
use khata_domain::ValidationState;
use khata_domain::backoff::Backoff;
use khata_queue::{Broker, Publisher, Wakeup};
use khata_store::validations::{DueRow, take_due};
use khata_store::{self as store, Pool};
use tracing::{debug, info, warn};

use crate::consumer_load::ConsumerLoad;
use crate::labels::WakeupReason;
use crate::metrics::Metrics;

/// Maximum number of validations in one round; one message names as many.
const BATCH: i64 = 256;
/// Queue depth above which lost wake-ups are not repeated.
const MAX_DEPTH: u32 = 16;
/// Time after which a lost wake-up is repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(15);
/// Interval at which dead letters are counted, for metrics.
const DEAD_LETTERS_INTERVAL: Duration = Duration::from_secs(15);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// When the scheduler's last round began, for the health endpoint.
#[derive(Debug)]
pub(crate) struct Heartbeat(AtomicI64);

impl Heartbeat {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(chrono::Utc::now().timestamp()))
    }

    /// Returns the seconds since then.
    pub(crate) fn age(&self) -> i64 {
        chrono::Utc::now().timestamp() - self.0.load(Ordering::Relaxed)
    }

    fn beat(&self) {
        self.0
            .store(chrono::Utc::now().timestamp(), Ordering::Relaxed);
    }
}

pub(crate) struct Scheduler {
    pub(crate) pool: Pool,
    pub(crate) broker: Broker,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) interval: Duration,
}

impl Scheduler {
    /// Schedules until shut down.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut publisher = Publisher::new(self.broker.clone(), "khata-scheduler");
        let mut failures = 0;
        let mut dead_letters_at = Instant::now();
        loop {
            self.heartbeat.beat();
            if Instant::now() >= dead_letters_at {
                dead_letters_at = Instant::now() + DEAD_LETTERS_INTERVAL;
                if let Ok(messages) = publisher.dead_letters().await {
                    self.metrics.queue_depth("dead_letters", messages);
                }
            }
            let pause = match self.publish_due(&mut publisher).await {
                Ok(more) => {
                    failures = 0;
                    if more { Duration::ZERO } else { self.interval }
                }
                Err(failure) => {
                    // The broker does not report the numbers of messages.
                    self.metrics.queues.clear();
                    if failures == 0 {
                        warn!(error = %failure, "wake-ups not published; retrying");
                    }
                    failures += 1;
                    let pause = RECONNECT.wait(failures - 1, rand::random());
                    pause.max(self.interval)
                }
            };
            tokio::select! {
                () = shutdown.raised() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        publisher.close().await;
    }

    /// Publishes wake-ups for one batch; returns whether more may be due. The broker is asked first: while it is unavailable,
    /// nothing is taken from Postgres.
    async fn publish_due(&self, publisher: &mut Publisher) -> anyhow::Result<bool> {
        let depth = publisher.depth().await?;
        self.metrics.queue_depth("validations", depth);
        let hold = depth > MAX_DEPTH || self.load.is_full();
        let pool = self.pool.clone();
        let due: Vec<DueRow> = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let mut connection: store::PooledConnection = pool.get()?;
            Ok(take_due(&mut connection, BATCH, hold, REPEAT_AFTER)?)
        })
        .await??;
        if due.is_empty() {
            return Ok(false);
        }
        let count = |state| due.iter().filter(|row| row.was == state).count();
        let waited = count(ValidationState::Waiting);
        let lost = count(ValidationState::Due);
        let rescued = count(ValidationState::Leased);
        if rescued > 0 || lost > 0 {
            info!(waited, lost, rescued, "wake-ups published");
        } else {
            debug!(waited, "wake-ups published");
        }
        let is_full = i64::try_from(due.len()).is_ok_and(|count| count == BATCH);
        let wakeup = |DueRow {
                          key, trace_parent, ..
                      }| Wakeup { key, trace_parent };
        let wakeups: Vec<Wakeup> = due.into_iter().map(wakeup).collect();
        publisher.publish(&wakeups).await?;
        for (reason, count) in [
            (WakeupReason::Waited, waited),
            (WakeupReason::Lost, lost),
            (WakeupReason::Rescued, rescued),
        ] {
            self.metrics.wakeups_published(reason, count);
        }
        Ok(is_full)
    }
}
