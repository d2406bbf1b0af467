//! Rings for what is due: what waited for its time, what was rung for and never claimed, and what a worker held when
//! it died. Every worker runs one; `for update skip locked` keeps them out of each other's way.

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

use crate::consumer::InHand;
use crate::metrics::Metrics;

/// Validations rung for in one look; as many as one message names.
const BATCH: i64 = 256;
/// Messages that may wait in the queue before what was rung for is rung for again.
const DEEP: u32 = 16;
/// When a ring that came to nothing is repeated.
const RING_AGAIN: Duration = Duration::from_secs(15);
/// How often it is asked how many messages were put aside, for metrics.
const DEAD_LETTERS_EVERY: Duration = Duration::from_secs(15);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// When the scheduler last looked, for the health endpoint.
#[derive(Debug)]
pub(crate) struct Heartbeat(AtomicI64);

impl Heartbeat {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(chrono::Utc::now().timestamp()))
    }

    /// Seconds since the last look.
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
    pub(crate) in_hand: Arc<InHand>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) interval: Duration,
}

impl Scheduler {
    /// Looks until shut down.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut publisher = Publisher::new(self.broker.clone(), "khata-scheduler");
        let mut failures = 0;
        let mut dead_letters_at = Instant::now();
        loop {
            self.heartbeat.beat();
            if Instant::now() >= dead_letters_at {
                dead_letters_at = Instant::now() + DEAD_LETTERS_EVERY;
                if let Ok(messages) = publisher.dead_letters().await {
                    self.metrics.dead_letters(messages);
                }
            }
            let pause = match self.look(&mut publisher).await {
                Ok(more) => {
                    failures = 0;
                    if more { Duration::ZERO } else { self.interval }
                }
                Err(failure) => {
                    self.metrics.depth_unknown();
                    if failures == 0 {
                        warn!(error = %failure, "cannot ring for what is due; trying again");
                    }
                    failures += 1;
                    RECONNECT
                        .wait(failures - 1, rand::random())
                        .max(self.interval)
                }
            };
            tokio::select! {
                () = shutdown.raised() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        publisher.close().await;
    }

    /// One look; answers whether there may be more at once. Nothing is taken from Postgres while the broker is away:
    /// it could not be rung for.
    async fn look(&self, publisher: &mut Publisher) -> anyhow::Result<bool> {
        let depth = publisher.depth().await?;
        self.metrics.depth(depth);
        let hold = depth > DEEP || self.in_hand.is_full();
        let pool = self.pool.clone();
        let due: Vec<DueRow> = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let mut connection: store::PooledConnection = pool.get()?;
            Ok(take_due(&mut connection, BATCH, hold, RING_AGAIN)?)
        })
        .await??;
        if due.is_empty() {
            return Ok(false);
        }
        let of = |state| due.iter().filter(|row| row.was == state).count();
        let (waited, lost, rescued) = (
            of(ValidationState::Waiting),
            of(ValidationState::Due),
            of(ValidationState::Leased),
        );
        if rescued > 0 || lost > 0 {
            info!(waited, lost, rescued, "wakeups for what is due");
        } else {
            debug!(waited, "wakeups for what is due");
        }
        let full = i64::try_from(due.len()).is_ok_and(|count| count == BATCH);
        let wakeups: Vec<Wakeup> = due
            .into_iter()
            .map(|row| Wakeup {
                key: row.key,
                trace_parent: row.trace_parent,
            })
            .collect();
        publisher.publish(&wakeups).await?;
        self.metrics.rang(waited, lost, rescued);
        Ok(full)
    }
}
