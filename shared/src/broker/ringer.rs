//! The API's bell: what has been committed is rung for in the background, one message out while the next gathers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Broker;
use super::message::Ring;
use super::publisher::Publisher;
use crate::backoff::Backoff;

/// Validations in one message at most.
const MAX_RINGS: usize = 256;
/// Rings that may wait; what does not fit is left to the scheduler.
const QUEUE: usize = 64 * MAX_RINGS;
/// A message of so many rings means that it is busy: the next may gather for `GATHER`, as each message costs the broker
/// a write to disk, and nobody notices ten milliseconds then.
const BUSY: usize = 16;
const GATHER: Duration = Duration::from_millis(10);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// Hands rings over without waiting. Dropping every clone ends the task once it has sent what it has.
#[derive(Clone, Debug)]
pub struct Ringer {
    sender: mpsc::Sender<Ring>,
    connected: Arc<AtomicBool>,
}

impl Ringer {
    /// Starts the task that rings.
    pub fn start(broker: Broker, name: &'static str) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let connected = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(run(
            Publisher::new(broker, name),
            receiver,
            Arc::clone(&connected),
        ));
        (Self { sender, connected }, task)
    }

    /// Rings soon, or not at all: while the broker is away, and when too much waits, the scheduler rings instead.
    pub fn ring(&self, ring: Ring) {
        let _ = self.sender.try_send(ring);
    }

    /// Whether the last message reached the broker.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

async fn run(
    mut publisher: Publisher,
    mut receiver: mpsc::Receiver<Ring>,
    connected: Arc<AtomicBool>,
) {
    let mut failures = 0;
    let mut rings = Vec::with_capacity(MAX_RINGS);
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
                    warn!(%error, "the broker is away; the scheduler rings for what is stored meanwhile");
                }
                if !pause(&mut receiver, RECONNECT.wait(failures, rand::random())).await {
                    return;
                }
                failures += 1;
                continue;
            }
        }
        loop {
            rings.clear();
            if receiver.recv_many(&mut rings, MAX_RINGS).await == 0 {
                publisher.close().await;
                return;
            }
            if let Err(error) = publisher.ring(&rings).await {
                warn!(%error, count = rings.len(), "rings lost; the scheduler rings again");
                break;
            }
            if rings.len() >= BUSY {
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}

/// Waits while the broker is away, dropping what comes in; false once nobody can ring any more.
async fn pause(receiver: &mut mpsc::Receiver<Ring>, duration: Duration) -> bool {
    let over = tokio::time::sleep(duration);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return true,
            ring = receiver.recv() => if ring.is_none() { return false },
        }
    }
}
