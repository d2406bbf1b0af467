//! Publishes wake-ups for validations that are due: those that waited until now, those whose wake-up was lost, and those of a
//! stopped worker whose lease expired. Every worker runs a scheduler; `for update skip locked` lets them work side by side.
//! While the broker is unavailable, the scheduler gives due validations to this worker's processor, as many as have a permit.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use khata_config::shutdown::Shutdown;
use khata_domain::ValidationState;
use khata_domain::backoff::Backoff;
use khata_queue::{Broker, BrokerError, Publisher, Wakeup};
use khata_store::validations::{DueRow, take_due};
use khata_store::{self as store, Pool};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::clock::DatabaseClock;
use crate::consumer_load::ConsumerLoad;
use crate::in_progress::InProgress;
use crate::labels::WakeupReason;
use crate::metrics::Metrics;
use crate::processor::ValidationProcessor;

/// Maximum number of validations in one round; one message names as many.
const BATCH: i64 = 256;
/// Queue depth above which lost wake-ups are not repeated.
const MAX_DEPTH: u32 = 16;
/// Time after which a lost wake-up is repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(15);
/// Interval at which dead letters are counted, for metrics.
const DEAD_LETTERS_INTERVAL: Duration = Duration::from_secs(15);
/// Interval at which the scheduler shows that it runs, while Postgres does not respond.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// When the scheduler last showed that it runs, for the health endpoint.
#[derive(Debug)]
pub(crate) struct Heartbeat(Mutex<Instant>);

impl Heartbeat {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Returns the time since then.
    pub(crate) fn age(&self) -> Duration {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }

    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// The scheduler's connection to the broker.
enum Link {
    Open(Box<Publisher>),
    /// Returns the publisher when it is connected again.
    Lost(JoinHandle<Publisher>),
}

/// Why a round did not end.
enum RoundError {
    Broker(BrokerError),
    Database(anyhow::Error),
}

pub(crate) struct Scheduler {
    pub(crate) pool: Pool,
    pub(crate) broker: Broker,
    pub(crate) processor: Arc<ValidationProcessor>,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) clock: Arc<DatabaseClock>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) interval: Duration,
    /// How long validations may take to finish after the shutdown began.
    pub(crate) drain: Duration,
}

impl Scheduler {
    /// Schedules until shut down, then waits for the validations that it gave to the processor.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut link = Link::Open(Box::new(self.publisher()));
        let mut validations = InProgress::default();
        // Taken, but not published, because the broker became unavailable.
        let mut left = Vec::new();
        let mut has_failed = false;
        let mut dead_letters_at = Instant::now();
        while !shutdown.is_raised() {
            self.heartbeat.beat();
            link = self.reconnected(link).await;
            let round = match &mut link {
                Link::Open(publisher) => {
                    let counts = &mut dead_letters_at;
                    self.publish_due(publisher, counts, &mut left).await
                }
                Link::Lost(_) => self.process_due(&mut left, &mut validations).await,
            };
            let pause = match round {
                Ok(more) => {
                    has_failed = false;
                    if more { Duration::ZERO } else { self.interval }
                }
                Err(RoundError::Broker(failure)) => {
                    // The broker does not report the numbers of messages.
                    self.metrics.queues.clear();
                    warn!(error = %failure, "wake-ups not published; this worker processes due validations without the broker");
                    link = self.lost();
                    Duration::ZERO
                }
                Err(RoundError::Database(failure)) => {
                    if !has_failed {
                        warn!(error = %failure, "due validations not read; retrying");
                    }
                    has_failed = true;
                    self.interval.max(RECONNECT.wait(0, rand::random()))
                }
            };
            tokio::select! {
                () = shutdown.raised() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        match link {
            Link::Open(publisher) => {
                tokio::join!(publisher.close(), validations.finish(self.drain));
            }
            Link::Lost(reconnecting) => {
                reconnecting.abort();
                validations.finish(self.drain).await;
            }
        }
    }

    fn publisher(&self) -> Publisher {
        Publisher::new(self.broker.clone(), "khata-scheduler")
    }

    /// Connects again in the background, so that rounds go on.
    fn lost(&self) -> Link {
        let mut publisher = self.publisher();
        Link::Lost(tokio::spawn(async move {
            let mut failures = 0;
            while publisher.connect().await.is_err() {
                tokio::time::sleep(RECONNECT.wait(failures, rand::random())).await;
                failures += 1;
            }
            publisher
        }))
    }

    async fn reconnected(&self, link: Link) -> Link {
        match link {
            Link::Lost(reconnecting) if reconnecting.is_finished() => {
                info!("broker available again: wake-ups are published");
                let publisher = reconnecting.await;
                Link::Open(Box::new(publisher.unwrap_or_else(|_| self.publisher())))
            }
            link => link,
        }
    }

    /// Publishes wake-ups for one batch; returns whether more may be due. The broker is asked first: while it is unavailable,
    /// nothing is taken from Postgres for it.
    async fn publish_due(
        &self,
        publisher: &mut Publisher,
        dead_letters_at: &mut Instant,
        left: &mut Vec<Wakeup>,
    ) -> Result<bool, RoundError> {
        if Instant::now() >= *dead_letters_at {
            *dead_letters_at = Instant::now() + DEAD_LETTERS_INTERVAL;
            let messages = publisher.dead_letters().await;
            let messages = messages.map_err(RoundError::Broker)?;
            self.metrics.queue_depth("dead_letters", messages);
        }
        let depth = publisher.depth().await.map_err(RoundError::Broker)?;
        self.metrics.queue_depth("validations", depth);
        let hold = depth > MAX_DEPTH || self.load.is_full();
        let mut more = true;
        if left.is_empty() {
            (*left, more) = self.take_due(BATCH, hold).await?;
            if left.is_empty() {
                return Ok(more);
            }
        }
        publisher.publish(left).await.map_err(RoundError::Broker)?;
        left.clear();
        Ok(more)
    }

    /// Gives due validations to the processor, at most as many as there are free permits; returns whether more may be due.
    async fn process_due(
        &self,
        left: &mut Vec<Wakeup>,
        validations: &mut InProgress,
    ) -> Result<bool, RoundError> {
        let mut permits = self.permits(usize::try_from(BATCH).unwrap_or(usize::MAX));
        let rest = left.split_off(left.len().min(permits.len()));
        let first = std::mem::replace(left, rest);
        let others = permits.split_off(first.len());
        self.process(first, permits, validations);
        let limit = i64::try_from(others.len()).unwrap_or(BATCH);
        let (wakeups, is_full) = self.take_due(limit, false).await?;
        self.process(wakeups, others, validations);
        Ok(is_full)
    }

    /// Takes free permits; none while the machine's clock is wrong.
    fn permits(&self, count: usize) -> Vec<OwnedSemaphorePermit> {
        let count = if self.clock.may_claim() { count } else { 0 };
        self.load.take_free(count)
    }

    fn process(
        &self,
        wakeups: Vec<Wakeup>,
        permits: Vec<OwnedSemaphorePermit>,
        validations: &mut InProgress,
    ) {
        for (wakeup, permit) in wakeups.into_iter().zip(permits) {
            validations.start(&self.processor, wakeup, permit, None);
        }
    }

    /// Takes at most `limit` due rows, and sets the clock. Returns their wake-ups, and whether more may be due.
    async fn take_due(&self, limit: i64, hold: bool) -> Result<(Vec<Wakeup>, bool), RoundError> {
        let (pool, clock) = (self.pool.clone(), Arc::clone(&self.clock));
        let mut taking = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let mut connection: store::PooledConnection = pool.get()?;
            clock.set(&mut connection)?;
            if limit == 0 {
                return Ok(Vec::new());
            }
            Ok(take_due(&mut connection, limit, hold, REPEAT_AFTER)?)
        });
        let taken = loop {
            tokio::select! {
                taken = &mut taking => break taken,
                // A scheduler that waits for Postgres is not stuck: a restart would not help.
                () = tokio::time::sleep(BEAT_INTERVAL) => self.heartbeat.beat(),
            }
        };
        let taken = taken.map_err(anyhow::Error::from).flatten();
        let due = taken.map_err(RoundError::Database)?;
        self.metrics.clock_offset(self.clock.offset());
        let is_full = limit > 0 && i64::try_from(due.len()).is_ok_and(|count| count == limit);
        self.count(&due);
        let due = due.into_iter().filter(|row| !row.set_aside);
        let wakeups = due.map(|row| Wakeup {
            key: row.key,
            trace_parent: row.trace_parent,
        });
        Ok((wakeups.collect(), is_full))
    }

    fn count(&self, due: &[DueRow]) {
        for row in due.iter().filter(|row| row.set_aside) {
            error!(
                merchant_id = %row.key.merchant, validation_id = %row.key.id,
                "validation set aside: ten steps in a row failed; it waits until its deadline"
            );
        }
        let count = |state| {
            let rows = due.iter().filter(|row| row.was == state && !row.set_aside);
            rows.count()
        };
        let waited = count(ValidationState::Waiting);
        let lost = count(ValidationState::Due);
        let rescued = count(ValidationState::Leased);
        if rescued > 0 || lost > 0 {
            info!(waited, lost, rescued, "due validations taken");
        } else if waited > 0 {
            debug!(waited, "due validations taken");
        }
        for (reason, count) in [
            (WakeupReason::Waited, waited),
            (WakeupReason::Lost, lost),
            (WakeupReason::Rescued, rescued),
        ] {
            self.metrics.wakeups_published(reason, count);
        }
    }
}
