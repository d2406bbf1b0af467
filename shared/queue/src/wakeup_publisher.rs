//! The API's wake-up publisher: publishes the wake-ups of committed validations in the background. While one message waits
//! for its confirm, the next one gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::broker::{Broker, RECONNECT};
use super::message::Wakeup;
use super::publisher::Publisher;

/// Maximum validations in one message.
const MAX_WAKEUPS: usize = 256;
/// Maximum waiting wake-ups; the scheduler publishes the others.
const QUEUE_LENGTH: usize = 64 * MAX_WAKEUPS;
/// Wake-ups in one message from which the publisher is busy. The next message then gathers for `GATHER_INTERVAL`: each message
/// costs the broker a write to disk, and ten milliseconds do not matter under load.
const BUSY: usize = 16;
const GATHER_INTERVAL: Duration = Duration::from_millis(10);

/// Counts of published wake-ups since the start. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub struct WakeupCounts {
    /// Wake-ups that the broker confirmed.
    pub published: Counter,
    /// Wake-ups without a confirm, or beyond the queue: the scheduler publishes them later.
    pub lost: Counter,
}

/// Publishes wake-ups without waiting. After the last clone is dropped, the task publishes the rest and ends.
#[derive(Clone, Debug)]
pub struct WakeupPublisher {
    sender: mpsc::Sender<Wakeup>,
    awaited: mpsc::Sender<Wakeup>,
    connected: Arc<AtomicBool>,
    counts: WakeupCounts,
}

impl WakeupPublisher {
    /// Starts the publishing task.
    pub fn start(broker: Broker, name: &'static str) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let (awaited, awaited_receiver) = mpsc::channel(QUEUE_LENGTH);
        let waiting = Waiting {
            awaited: awaited_receiver,
            others: receiver,
        };
        let connected = Arc::new(AtomicBool::new(false));
        let counts = WakeupCounts::default();
        let task = tokio::spawn(run(
            Publisher::new(broker, name),
            waiting,
            Arc::clone(&connected),
            counts.clone(),
        ));
        let wakeup_publisher = Self {
            sender,
            awaited,
            connected,
            counts,
        };
        (wakeup_publisher, task)
    }

    /// Publishes a wake-up soon, or not at all: while the broker is unreachable, and when the queue is full, the scheduler
    /// publishes it later.
    pub fn publish(&self, wakeup: Wakeup) {
        self.send(&self.sender, wakeup);
    }

    /// The same for a validation that a caller waits for: it comes before all others.
    pub fn publish_awaited(&self, wakeup: Wakeup) {
        self.send(&self.awaited, wakeup);
    }

    fn send(&self, sender: &mpsc::Sender<Wakeup>, wakeup: Wakeup) {
        if sender.try_send(wakeup).is_err() {
            self.counts.lost.inc();
        }
    }

    /// Returns the counts.
    pub fn counts(&self) -> WakeupCounts {
        self.counts.clone()
    }

    /// Whether the publisher is connected.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

/// Wake-ups that no message has yet.
struct Waiting {
    awaited: mpsc::Receiver<Wakeup>,
    others: mpsc::Receiver<Wakeup>,
}

/// The wake-ups of one message.
enum Message {
    Awaited(Vec<Wakeup>),
    Others(Vec<Wakeup>),
}

impl Waiting {
    /// Returns the next message; `None` when every handle is dropped.
    async fn next(&mut self) -> Option<Message> {
        let (mut awaited, mut others) = (Vec::new(), Vec::new());
        tokio::select! {
            biased;
            1.. = self.awaited.recv_many(&mut awaited, MAX_WAKEUPS) => Some(Message::Awaited(awaited)),
            1.. = self.others.recv_many(&mut others, MAX_WAKEUPS) => Some(Message::Others(others)),
            else => None,
        }
    }
}

async fn run(
    mut publisher: Publisher,
    mut waiting: Waiting,
    connected: Arc<AtomicBool>,
    counts: WakeupCounts,
) {
    let mut failures = 0;
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
                    warn!(%error, "broker unreachable; the scheduler publishes the wake-ups later");
                }
                let wait = RECONNECT.wait(failures, rand::random());
                if !pause(&mut waiting, wait, &counts).await {
                    return;
                }
                failures += 1;
                continue;
            }
        }
        let closed = publisher.closed();
        tokio::pin!(closed);
        loop {
            let message = tokio::select! {
                message = waiting.next() => message,
                () = &mut closed => {
                    connected.store(false, Ordering::Relaxed);
                    warn!("connection to the broker lost");
                    // A broker that ends each connection at once is not asked without a pause. Wake-ups wait in the queue.
                    tokio::time::sleep(RECONNECT.wait(0, rand::random())).await;
                    break;
                }
            };
            let Some(message) = message else {
                publisher.close().await;
                return;
            };
            let (count, result) = match &message {
                Message::Awaited(wakeups) => {
                    (wakeups.len(), publisher.publish_awaited(wakeups).await)
                }
                Message::Others(wakeups) => (wakeups.len(), publisher.publish(wakeups).await),
            };
            if let Err(error) = result {
                warn!(%error, count, "wake-ups lost; the scheduler publishes them again");
                counts.lost.inc_by(count as u64);
                break;
            }
            counts.published.inc_by(count as u64);
            if count >= BUSY {
                tokio::time::sleep(GATHER_INTERVAL).await;
            }
        }
    }
}

/// Waits while the broker is unreachable and drops new wake-ups; false when every handle is dropped.
async fn pause(waiting: &mut Waiting, duration: Duration, counts: &WakeupCounts) -> bool {
    let over = tokio::time::sleep(duration);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return true,
            message = waiting.next() => match message {
                Some(Message::Awaited(wakeups) | Message::Others(wakeups)) => {
                    counts.lost.inc_by(wakeups.len() as u64);
                }
                None => return false,
            },
        }
    }
}
