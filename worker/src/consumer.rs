//! Takes messages from the broker and queues their validations, each for the turn of its merchant. A message is acknowledged
//! when each of its validations is claimed or left to the scheduler: from then on their leases keep them, so that a slow
//! gateway holds no message back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use khata_config::shutdown::Shutdown;
use khata_domain::failpoints::{self, Failpoint};
use khata_queue::{Broker, RECONNECT, Wakeup};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use lapin::{Channel, Connection, Consumer};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::clock::DatabaseClock;
use crate::consumer_load::ConsumerLoad;
use crate::in_progress::InProgress;
use crate::turns::{MAX_QUEUED, Urgency};

const NAME: &str = "khata-worker";
/// Unacknowledged messages. Each has a validation that is queued or about to be claimed, so that the messages of a merchant
/// whose queue is full never keep the broker from delivering those of others.
#[allow(clippy::cast_possible_truncation, reason = "both are far below 65,536")]
const PREFETCH: u16 = MAX_QUEUED as u16 + 16_384;
/// How long the broker may take to accept or to cancel a consumer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the broker may take to close the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The parts of the worker that consume messages.
pub(crate) struct MessageConsumer {
    pub(crate) broker: Broker,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) clock: Arc<DatabaseClock>,
    /// How long claims may take to finish after the shutdown began.
    pub(crate) drain: Duration,
}

/// A connection that consumes the queues.
struct Consuming {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    awaited_channel: Channel,
    awaited: Consumer,
}

impl MessageConsumer {
    /// Consumes until shut down, then waits for the claims in progress. Consumes nothing while the machine's clock is wrong.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut messages = InProgress::default();
        let mut failures = 0;
        while !shutdown.is_raised() {
            let consuming = async {
                self.clock.permits_claims().await;
                tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await
            };
            let result = tokio::select! {
                () = shutdown.raised() => break,
                result = consuming => result,
            };
            let failure = match result {
                Ok(Ok(mut consuming)) => {
                    info!(queue = self.broker.queue(), "consuming");
                    failures = 0;
                    self.load.set_connected(true);
                    self.consume(&mut consuming, &mut messages, &mut shutdown)
                        .await;
                    self.load.set_connected(false);
                    if shutdown.is_raised() {
                        tokio::join!(consuming.cancel(), messages.finish(self.drain));
                    }
                    // The broker delivers the messages that are not acknowledged to another worker.
                    let close = consuming.connection.close(200, "goodbye".into());
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
        messages.finish(self.drain).await;
    }

    async fn connect(&self) -> lapin::Result<Consuming> {
        let (connection, channel, consumer) = self.broker.consume(NAME, PREFETCH).await?;
        let awaited = self.broker.consume_awaited(&connection, NAME, PREFETCH);
        let (awaited_channel, awaited) = awaited.await?;
        Ok(Consuming {
            connection,
            channel,
            consumer,
            awaited_channel,
            awaited,
        })
    }

    /// Takes messages until shut down, until the connection breaks or until the machine's clock is wrong.
    async fn consume(
        &self,
        consuming: &mut Consuming,
        messages: &mut InProgress,
        shutdown: &mut Shutdown,
    ) {
        loop {
            let (urgency, delivery) = tokio::select! {
                biased;
                () = shutdown.raised() => return,
                () = self.clock.forbids_claims() => return,
                delivery = consuming.awaited.next() => (Urgency::Awaited, delivery),
                delivery = consuming.consumer.next() => (Urgency::Other, delivery),
            };
            match delivery {
                Some(Ok(delivery)) => self.take(urgency, delivery, messages).await,
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

    async fn take(&self, urgency: Urgency, delivery: Delivery, messages: &mut InProgress) {
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
            self.load.queue(urgency, wakeup, Some(unclaimed.clone()));
        }
        drop(unclaimed);
        let acker = delivery.acker;
        messages.spawn(async move {
            // Ends when each validation has dropped its sender. The broker delivers a message again of which not every
            // validation was begun.
            if claimed.recv().await.is_none() {
                failpoints::pass(Failpoint::MESSAGE_BEFORE_ACK).await;
                // If the acknowledgement is lost, the message comes again and its validations are not due any more.
                let _ = acker.ack(BasicAckOptions::default()).await;
                failpoints::pass(Failpoint::MESSAGE_AFTER_ACK).await;
            }
        });
    }
}

impl Consuming {
    /// Receives no more messages.
    async fn cancel(&self) {
        for channel in [&self.channel, &self.awaited_channel] {
            let cancel = channel.basic_cancel(NAME.into(), BasicCancelOptions::default());
            let _ = tokio::time::timeout(CONNECT_TIMEOUT, cancel).await;
        }
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
