//! Takes messages from the broker and processes their validations, at most `KHATA_WORKER_CONCURRENCY` at once. A message is
//! acknowledged when each of its validations is claimed or left to the scheduler: from then on their leases keep them, so
//! that a slow gateway holds no message back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use khata_config::shutdown::Shutdown;
use khata_domain::backoff::Backoff;
use khata_queue::{Broker, Wakeup};
use lapin::Consumer;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::clock::DatabaseClock;
use crate::consumer_load::ConsumerLoad;
use crate::in_progress::InProgress;
use crate::processor::ValidationProcessor;

const NAME: &str = "khata-worker";
/// Unacknowledged messages; each names up to 256 validations.
const PREFETCH: u16 = 8;
/// How long the broker may take to accept or to cancel a consumer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the broker may take to close the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// The parts of the worker that consume messages.
pub(crate) struct MessageConsumer {
    pub(crate) broker: Broker,
    pub(crate) processor: Arc<ValidationProcessor>,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) clock: Arc<DatabaseClock>,
    pub(crate) concurrency: u16,
    /// How long validations may take to finish after the shutdown began.
    pub(crate) drain: Duration,
}

impl MessageConsumer {
    /// Consumes until shut down, then waits for the validations in progress. Consumes nothing while the machine's clock is
    /// wrong.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut validations = InProgress::default();
        let mut failures = 0;
        while !shutdown.is_raised() {
            let consuming = async {
                self.clock.permits_claims().await;
                let prefetch = self.concurrency.min(PREFETCH);
                let consume = self.broker.consume(NAME, prefetch);
                tokio::time::timeout(CONNECT_TIMEOUT, consume).await
            };
            let result = tokio::select! {
                () = shutdown.raised() => break,
                result = consuming => result,
            };
            let failure = match result {
                Ok(Ok((connection, channel, consumer))) => {
                    info!(queue = self.broker.queue(), "consuming");
                    failures = 0;
                    self.load.set_connected(true);
                    self.consume(consumer, &mut validations, &mut shutdown)
                        .await;
                    self.load.set_connected(false);
                    if shutdown.is_raised() {
                        let cancel =
                            channel.basic_cancel(NAME.into(), BasicCancelOptions::default());
                        let cancel = tokio::time::timeout(CONNECT_TIMEOUT, cancel);
                        let _ = tokio::join!(cancel, validations.finish(self.drain));
                    }
                    // The broker delivers the messages that are not acknowledged to another worker.
                    let close = connection.close(200, "goodbye".into());
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
                    if shutdown.is_raised() {
                        return;
                    }
                    continue;
                }
                Ok(Err(failure)) => failure.to_string(),
                Err(_) => format!("no response within {} s", CONNECT_TIMEOUT.as_secs()),
            };
            if failures == 0 {
                warn!(error = failure, "broker unavailable; retrying");
            }
            tokio::select! {
                () = shutdown.raised() => {}
                () = tokio::time::sleep(RECONNECT.wait(failures, rand::random())) => {}
            }
            failures += 1;
        }
        validations.finish(self.drain).await;
    }

    /// Takes messages until shut down, until the connection breaks or until the machine's clock is wrong.
    async fn consume(
        &self,
        mut consumer: Consumer,
        validations: &mut InProgress,
        shutdown: &mut Shutdown,
    ) {
        loop {
            let delivery = tokio::select! {
                () = self.stops(shutdown) => return,
                delivery = consumer.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => self.take(delivery, validations, shutdown).await,
                Some(Err(failure)) => {
                    warn!(error = %failure, "broker connection lost");
                    return;
                }
                None => {
                    warn!("broker cancelled the consumer");
                    return;
                }
            }
        }
    }

    /// Returns when no more validations may begin.
    async fn stops(&self, shutdown: &mut Shutdown) {
        tokio::select! {
            () = shutdown.raised() => {}
            () = self.clock.forbids_claims() => {}
        }
    }

    async fn take(
        &self,
        delivery: Delivery,
        validations: &mut InProgress,
        shutdown: &mut Shutdown,
    ) {
        let wakeups = match Wakeup::decode(&delivery.data) {
            Ok(wakeups) => wakeups,
            Err(failure) => {
                error!(error = %failure, "message unreadable; moved to the dead letters");
                reject(&delivery).await;
                return;
            }
        };
        let (unclaimed, mut claimed) = mpsc::channel(1);
        for wakeup in wakeups {
            let permit = tokio::select! {
                // The broker delivers a message again of which not every validation was begun.
                () = self.stops(shutdown) => return,
                permit = self.load.acquire() => permit,
            };
            // The semaphore is never closed.
            let Ok(permit) = permit else { return };
            let unclaimed = Some(unclaimed.clone());
            validations.start(&self.processor, wakeup, permit, unclaimed);
        }
        drop(unclaimed);
        validations.spawn(async move {
            // Ends when each validation has dropped its sender.
            claimed.recv().await;
            // If the acknowledgement is lost, the message comes again and its validations are not due any more.
            let _ = delivery.acker.ack(BasicAckOptions::default()).await;
        });
    }
}

async fn reject(delivery: &Delivery) {
    let options = BasicNackOptions {
        requeue: false,
        ..BasicNackOptions::default()
    };
    if let Err(failure) = delivery.acker.nack(options).await {
        warn!(error = %failure, "message not rejected; the broker delivers it again");
    }
}
