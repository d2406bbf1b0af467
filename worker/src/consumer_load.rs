//! The validations that this worker has queued and processes now, and its connection to the broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use khata_domain::MerchantId;
use khata_domain::gateway::GatewayKey;
use khata_queue::Wakeup;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::{Notify, mpsc};

use crate::turns::{MAX_QUEUED, Turns, Urgency, awaited_permits};

/// Held by each validation of a message until its claim has ended; or sends that it was not begun.
pub(crate) type Unclaimed = mpsc::Sender<NotBegun>;

/// The worker stopped before it began the validation.
#[derive(Debug)]
pub(crate) struct NotBegun;

/// Work that waits for its turn.
#[derive(Debug)]
pub(crate) enum QueuedWork {
    Wakeup(Wakeup, Option<Unclaimed>),
    /// Claim the first validation in the queue of a gateway account.
    NextAt(GatewayKey),
}

impl QueuedWork {
    /// Gives the validation back to the broker.
    fn give_back(self) {
        if let Self::Wakeup(_, Some(unclaimed)) = self {
            // One is enough: the message is not acknowledged.
            let _ = unclaimed.try_send(NotBegun);
        }
    }
}

/// Wake-ups in the queue of one message or round of the scheduler.
pub(crate) const BATCH: usize = 256;

/// Merchants of which this worker takes no more wake-ups from Postgres for now.
#[derive(Debug)]
pub(crate) struct Holds {
    /// No merchant's lost wake-ups are repeated.
    pub(crate) all: bool,
    /// The worker has wake-ups of theirs for all its permits.
    pub(crate) held: Vec<MerchantId>,
    /// The worker has twice as many.
    pub(crate) full: Vec<MerchantId>,
    /// The worker has as many that come before the others of their merchant.
    pub(crate) full_of_first: Vec<MerchantId>,
}

/// The load of the worker, shared with consumer, scheduler, dispatcher, health endpoints and metrics.
#[derive(Debug)]
pub(crate) struct ConsumerLoad {
    turns: Mutex<Turns<QueuedWork>>,
    is_stopped: AtomicBool,
    changed: Notify,
    concurrency: usize,
    is_connected: AtomicBool,
}

/// A validation in progress, until dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    load: Arc<ConsumerLoad>,
    urgency: Urgency,
    merchant: MerchantId,
}

impl Permit {
    pub(crate) fn urgency(&self) -> Urgency {
        self.urgency
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.load.turns().end(self.urgency, self.merchant);
        self.load.changed.notify_one();
    }
}

impl ConsumerLoad {
    pub(crate) fn new(concurrency: u16) -> Self {
        let concurrency = usize::from(concurrency);
        Self {
            turns: Mutex::new(Turns::new(concurrency)),
            is_stopped: AtomicBool::new(false),
            changed: Notify::new(),
            concurrency,
            is_connected: AtomicBool::new(false),
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns<QueuedWork>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a wake-up for its turn. Leaves it to the scheduler if the merchant's queue is full: its row stays due.
    pub(crate) fn queue(&self, urgency: Urgency, wakeup: Wakeup, unclaimed: Option<Unclaimed>) {
        let id = (wakeup.key.merchant, wakeup.key.id.0);
        let work = QueuedWork::Wakeup(wakeup, unclaimed);
        self.push(work, |turns, work| turns.push(urgency, id, work));
    }

    /// Queues a wake-up for the next turn of its merchant.
    pub(crate) fn queue_first(&self, wakeup: Wakeup) {
        let id = (wakeup.key.merchant, wakeup.key.id.0);
        let work = QueuedWork::Wakeup(wakeup, None);
        self.push(work, |turns, work| {
            turns.push_first(Urgency::Other, id, work)
        });
    }

    /// Queues the claim of the first validation in the queue of a gateway account for the next turn of its merchant. If it is
    /// [`Urgency::Awaited`], only one that a caller waits for is claimed.
    pub(crate) fn queue_next_at(&self, urgency: Urgency, gateway: GatewayKey) {
        let id = (gateway.merchant, gateway.account.0);
        let work = QueuedWork::NextAt(gateway);
        self.push(work, |turns, work| turns.push_first(urgency, id, work));
    }

    fn push(
        &self,
        work: QueuedWork,
        push: impl FnOnce(&mut Turns<QueuedWork>, QueuedWork) -> Result<(), QueuedWork>,
    ) {
        let mut turns = self.turns();
        if self.is_stopped() {
            work.give_back();
        } else if push(&mut turns, work).is_ok() {
            self.changed.notify_one();
        }
    }

    /// Whether the holder of a permit should give it back, and not go on with the next validation of a queue.
    pub(crate) fn should_yield(&self, permit: &Permit) -> bool {
        self.turns().should_yield(permit.urgency, permit.merchant)
    }

    /// Takes the work whose turn it is, if any may begin now. The validation counts as in progress until the permit is dropped.
    pub(crate) fn next_now(self: &Arc<Self>) -> Option<(QueuedWork, Permit)> {
        let (urgency, merchant, queued) = self.turns().next()?;
        let permit = Permit {
            load: Arc::clone(self),
            urgency,
            merchant,
        };
        Some((queued, permit))
    }

    /// Waits for the next turn.
    pub(crate) async fn next(self: &Arc<Self>) -> (QueuedWork, Permit) {
        loop {
            if let Some(next) = self.next_now() {
                return next;
            }
            self.changed.notified().await;
        }
    }

    /// Begins no more validations, and gives the queued ones back.
    pub(crate) fn stop(&self) {
        let mut turns = self.turns();
        self.is_stopped.store(true, Ordering::Relaxed);
        turns.drain().into_iter().for_each(QueuedWork::give_back);
    }

    /// Whether no more validations may begin.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Leaves wake-ups to the scheduler that were queued for too long. Returns of which merchants to take no more.
    pub(crate) fn holds(&self) -> Holds {
        let mut turns = self.turns();
        turns.drop_old(Instant::now());
        let enough = self.concurrency.max(BATCH);
        Holds {
            // One merchant alone fills half of the queues.
            all: turns.queued() >= MAX_QUEUED / 8 * 7,
            held: turns.merchants_with(enough),
            full: turns.merchants_with(2 * enough),
            full_of_first: turns.merchants_with_first(enough),
        }
    }

    /// Whether the broker can deliver messages.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }
}

impl Collector for ConsumerLoad {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let (in_progress, queued) = {
            let turns = self.turns();
            (turns.in_progress(), turns.queued())
        };
        for (name, help, value) in [
            (
                "validations_in_progress",
                "Validations that this worker processes now",
                in_progress,
            ),
            (
                "validations_in_progress_max",
                "Maximum number of validations that this worker processes at once",
                self.concurrency + awaited_permits(self.concurrency),
            ),
            (
                "validations_queued",
                "Validations whose wake-ups wait in this worker for their turn",
                queued,
            ),
            (
                "broker_connected",
                "1 while the broker can deliver messages to this worker",
                usize::from(self.is_connected()),
            ),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}
