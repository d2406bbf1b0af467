//! The API's bell: what has been committed is rung for in the background, one message out while the next gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Broker;
use super::message::Wakeup;
use super::publisher::Publisher;
use khata_domain::backoff::Backoff;

/// Validations in one message at most.
const MAX_RINGS: usize = 256;
/// Rings that may wait; what does not fit is left to the scheduler.
const QUEUE: usize = 64 * MAX_RINGS;
/// A message of so many wakeups means that it is busy: the next may gather for `GATHER`, as each message costs the broker
/// a write to disk, and nobody notices ten milliseconds then.
const BUSY: usize = 16;
const GATHER: Duration = Duration::from_millis(10);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// Validations that were rung for since the start. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct WakeupCounts {
    /// The broker has confirmed the message.
    pub wakeup: Counter,
    /// It has not, or there was no room: left to the scheduler.
    pub lost: Counter,
}

impl WakeupCounts {
    fn lost(&self, wakeups: usize) {
        self.lost.inc_by(u64::try_from(wakeups).unwrap_or(u64::MAX));
    }

    fn rung(&self, wakeups: usize) {
        self.wakeup
            .inc_by(u64::try_from(wakeups).unwrap_or(u64::MAX));
    }
}

/// Hands wakeups over without waiting. Dropping every clone ends the task once it has sent what it has.
#[derive(Clone, Debug)]
pub struct WakeupPublisher {
    sender: mpsc::Sender<Wakeup>,
    connected: Arc<AtomicBool>,
    counts: WakeupCounts,
}

impl WakeupPublisher {
    /// Starts the task that wakeups.
    pub fn start(broker: Broker, name: &'static str) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let connected = Arc::new(AtomicBool::new(false));
        let counts = WakeupCounts::default();
        let task = tokio::spawn(run(
            Publisher::new(broker, name),
            receiver,
            Arc::clone(&connected),
            counts.clone(),
        ));
        let wakeup_publisher = Self {
            sender,
            connected,
            counts,
        };
        (wakeup_publisher, task)
    }

    /// Rings soon, or not at all: while the broker is away, and when too much waits, the scheduler wakeups instead.
    pub fn publish(&self, wakeup: Wakeup) {
        if self.sender.try_send(wakeup).is_err() {
            self.counts.lost(1);
        }
    }

    /// What became of the wakeups so far.
    pub fn counts(&self) -> WakeupCounts {
        self.counts.clone()
    }

    /// Whether the last message reached the broker.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

async fn run(
    mut publisher: Publisher,
    mut receiver: mpsc::Receiver<Wakeup>,
    connected: Arc<AtomicBool>,
    counts: WakeupCounts,
) {
    let mut failures = 0;
    let mut wakeups = Vec::with_capacity(MAX_RINGS);
    loop {
        match publisher.connect().await {
            Ok(()) => {
                info!("connected to the broker");
                connected.store(true, Ordering::Relaxed);
                failures = 0;
            }
            Err(error) => {
                connected.store(false, Ordering::Relaxed);
                if failures == 0 {
                    warn!(%error, "the broker is away; the scheduler wakeups for what is stored meanwhile");
                }
                if !pause(
                    &mut receiver,
                    RECONNECT.wait(failures, rand::random()),
                    &counts,
                )
                .await
                {
                    return;
                }
                failures += 1;
                continue;
            }
        }
        loop {
            wakeups.clear();
            if receiver.recv_many(&mut wakeups, MAX_RINGS).await == 0 {
                publisher.close().await;
                return;
            }
            if let Err(error) = publisher.publish(&wakeups).await {
                warn!(%error, count = wakeups.len(), "wakeups lost; the scheduler wakeups again");
                counts.lost(wakeups.len());
                break;
            }
            counts.rung(wakeups.len());
            if wakeups.len() >= BUSY {
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}

/// Waits while the broker is away, dropping what comes in; false once nobody can ring any more.
async fn pause(
    receiver: &mut mpsc::Receiver<Wakeup>,
    duration: Duration,
    counts: &WakeupCounts,
) -> bool {
    let over = tokio::time::sleep(duration);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return true,
            ring = receiver.recv() => match ring {
                Some(_) => counts.lost(1),
                None => return false,
            },
        }
    }
}
