//! Publishes wake-ups for validations that are due: those that waited until now, those whose wake-up was lost, and those of a
//! stopped worker whose lease expired. Every worker runs a scheduler; `for update skip locked` lets them work side by side.
//! While the broker is unavailable, the scheduler queues due validations in this worker, as many as there is room for.

use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use khata_config::shutdown::Shutdown;
use khata_domain::ValidationState;
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::gateway::GatewayKey;
use khata_domain::mutants::{self, Mutant};
use khata_queue::{Broker, BrokerError, Publisher, RECONNECT, Wakeup};
use khata_store::validations::{DueRow, DueTurns, GatewayQueue, Taken, Wanted, queues};
use khata_store::{self as store, Pool};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::clock::DatabaseClock;
use crate::consumer_load::{BATCH, ConsumerLoad, Holds};
use crate::health_reporter::HealthReporter;
use crate::labels::WakeupReason;
use crate::metrics::Metrics;
use crate::turns::Urgency;

/// Queues of gateway accounts that one round lets go on.
const MAX_QUEUES: i64 = 100;
/// Due validations that the scheduler checks for an expired lease in each interval: a million within half a minute.
const CHECKS: i64 = 20_000;
/// Queue depth above which lost wake-ups are not repeated.
const MAX_DEPTH: u32 = 16;
/// Time after which a lost wake-up is repeated.
const REPEAT_AFTER: Duration = Duration::from_secs(15);
/// Interval at which dead letters are counted, for metrics.
const DEAD_LETTERS_INTERVAL: Duration = Duration::from_secs(15);
/// Interval at which the scheduler shows that it runs, while Postgres does not respond.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

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

    pub(crate) fn beat(&self) {
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
    pub(crate) health: Arc<HealthReporter>,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) clock: Arc<DatabaseClock>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) interval: Duration,
}

/// Wake-ups that were taken from Postgres and are not published yet; none are lost when the broker becomes unavailable.
#[derive(Default)]
struct Unpublished {
    turns: DueTurns,
    queues: QueueList,
    awaited: Vec<Wakeup>,
    others: Vec<Wakeup>,
}

/// The scheduler's position in the list of gateway accounts' queues.
#[derive(Clone, Copy, Default)]
struct QueueList {
    /// When the queues were listed and leases checked: once in an interval, however often rounds follow each other.
    read_at: Option<Instant>,
    last: Option<GatewayKey>,
}

impl Unpublished {
    fn is_empty(&self) -> bool {
        self.awaited.is_empty() && self.others.is_empty()
    }
}

impl Scheduler {
    /// Schedules until shut down.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut link = Link::Open(Box::new(self.publisher()));
        let mut due = Unpublished::default();
        let mut has_failed = false;
        let mut dead_letters_at = Instant::now();
        while !shutdown.is_raised() {
            self.heartbeat.beat();
            link = self.reconnected(link).await;
            let round = match &mut link {
                Link::Open(publisher) => {
                    self.publish_due(publisher, &mut dead_letters_at, &mut due)
                        .await
                }
                Link::Lost(_) => self.queue_due(&mut due).await,
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
            Link::Open(publisher) => publisher.close().await,
            Link::Lost(reconnecting) => reconnecting.abort(),
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
        due: &mut Unpublished,
    ) -> Result<bool, RoundError> {
        if Instant::now() >= *dead_letters_at {
            *dead_letters_at = Instant::now() + DEAD_LETTERS_INTERVAL;
            let messages = publisher.dead_letters().await;
            let messages = messages.map_err(RoundError::Broker)?;
            self.metrics.queue_depth("dead_letters", messages);
        }
        let awaited = publisher.awaited_depth().await;
        let awaited = awaited.map_err(RoundError::Broker)?;
        self.metrics.queue_depth("awaited", awaited);
        let depth = publisher.depth().await.map_err(RoundError::Broker)?;
        self.metrics.queue_depth("validations", depth);
        let mut more = true;
        if due.is_empty() {
            let mut holds = self.load.holds();
            holds.all |= depth > MAX_DEPTH;
            more = self.take_due(BATCH, holds, due).await?;
        }
        if !due.awaited.is_empty() {
            let result = publisher.publish_awaited(&due.awaited).await;
            result.map_err(RoundError::Broker)?;
            due.awaited.clear();
        }
        if !due.others.is_empty() {
            let result = publisher.publish(&due.others).await;
            result.map_err(RoundError::Broker)?;
            due.others.clear();
        }
        Ok(more)
    }

    /// Queues due validations in this worker; returns whether more may be due.
    async fn queue_due(&self, due: &mut Unpublished) -> Result<bool, RoundError> {
        // A worker whose clock is wrong would not begin them.
        let limit = if self.clock.may_claim() { BATCH } else { 0 };
        let more = self.take_due(limit, self.load.holds(), due).await?;
        for (urgency, wakeups) in [
            (Urgency::Awaited, &mut due.awaited),
            (Urgency::Other, &mut due.others),
        ] {
            for wakeup in wakeups.drain(..) {
                self.load.queue(urgency, wakeup, None);
            }
        }
        Ok(more)
    }

    /// Takes at most `limit` due rows, and sets the clock. Returns whether more may be due.
    async fn take_due(
        &self,
        limit: usize,
        holds: Holds,
        due: &mut Unpublished,
    ) -> Result<bool, RoundError> {
        let (pool, clock) = (self.pool.clone(), Arc::clone(&self.clock));
        let (mut turns, after) = (std::mem::take(&mut due.turns), due.queues.last);
        let is_recent = |at: Instant| at.elapsed() < self.interval;
        let is_first = limit > 0 && !due.queues.read_at.is_some_and(is_recent);
        let held = holds.held.clone();
        let mut taking = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
            let mut connection: store::PooledConnection = pool.get()?;
            clock.set(&mut connection)?;
            if limit == 0 {
                return Ok((Taken::default(), turns, Vec::new()));
            }
            let listed = if is_first {
                queues(&mut connection, after, MAX_QUEUES)?
            } else {
                Vec::new()
            };
            let wanted = Wanted {
                limit: i64::try_from(limit)?,
                hold: holds.all,
                held: &holds.held,
                full: &holds.full,
                full_of_waited: &holds.full_of_first,
                checks: if is_first { CHECKS } else { 0 },
                wakeup_grace: REPEAT_AFTER,
            };
            Ok((turns.take(&mut connection, &wanted)?, turns, listed))
        });
        let taken = loop {
            tokio::select! {
                taken = &mut taking => break taken,
                // A scheduler that waits for Postgres is not stuck: a restart would not help.
                () = tokio::time::sleep(BEAT_INTERVAL) => self.heartbeat.beat(),
            }
        };
        let taken = taken.map_err(anyhow::Error::from).flatten();
        let (taken, turns, listed) = taken.map_err(RoundError::Database)?;
        due.turns = turns;
        if !taken.rows.is_empty() {
            failpoints::pass(Failpoint::SCHEDULE_AFTER_COMMIT).await;
        }
        if is_first {
            due.queues.read_at = Some(Instant::now());
            self.continue_queues(&listed, &mut due.queues);
        }
        self.metrics.clock_offset(self.clock.offset());
        self.count(&taken.rows);
        let is_published = |row: &DueRow| !row.set_aside && !mutants::is_on(Mutant::NoScheduler);
        for row in taken.rows.into_iter().filter(is_published) {
            let wakeup = Wakeup {
                key: row.key,
                trace_parent: row.trace_parent,
            };
            if row.awaited {
                due.awaited.push(wakeup);
            } else if row.has_waited && held.contains(&row.key.merchant) {
                // Published, it would wait behind all that its merchant has created.
                self.load.queue_first(wakeup);
            } else {
                due.others.push(wakeup);
            }
        }
        Ok(taken.more)
    }

    /// Lets the queues of gateway accounts go on, in case the worker that should claim their next validation was stopped.
    fn continue_queues(&self, listed: &[GatewayQueue], list: &mut QueueList) {
        for queue in listed {
            self.health.set_queue(queue.gateway, true);
            let urgency = if queue.awaited {
                Urgency::Awaited
            } else {
                Urgency::Other
            };
            self.load.queue_next_at(urgency, queue.gateway);
        }
        let is_full = i64::try_from(listed.len()).is_ok_and(|count| count == MAX_QUEUES);
        list.last = listed.last().filter(|_| is_full).map(|queue| queue.gateway);
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
