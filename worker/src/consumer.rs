//! Takes messages from the broker and processes their validations, at most `KHATA_WORKER_CONCURRENCY` at once. A message is
//! acknowledged when each of its validations is settled or left to the scheduler.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use khata_config::shutdown::Shutdown;
use khata_domain::backoff::Backoff;
use khata_queue::{Broker, Wakeup};
use lapin::Consumer;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::consumer_load::ConsumerLoad;
use crate::processor::ValidationProcessor;

const NAME: &str = "khata-worker";
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// The parts of the worker that consume messages.
pub(crate) struct MessageConsumer {
    pub(crate) broker: Broker,
    pub(crate) processor: Arc<ValidationProcessor>,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) concurrency: u16,
    /// How long validations may take to finish after the shutdown began.
    pub(crate) drain: Duration,
}

impl MessageConsumer {
    /// Consumes until shut down, then waits for the validations in progress.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut messages = JoinSet::new();
        let mut failures = 0;
        while !shutdown.is_raised() {
            match self.broker.consume(NAME, self.concurrency).await {
                Ok((connection, channel, consumer)) => {
                    info!(queue = self.broker.queue(), "consuming");
                    failures = 0;
                    self.load.set_connected(true);
                    self.consume(consumer, &mut messages, &mut shutdown).await;
                    self.load.set_connected(false);
                    if shutdown.is_raised() {
                        let options = BasicCancelOptions::default();
                        let _ = channel.basic_cancel(NAME.into(), options).await;
                        self.finish(&mut messages).await;
                        let _ = connection.close(200, "goodbye".into()).await;
                    }
                }
                Err(failure) => {
                    if failures == 0 {
                        warn!(error = %failure, "broker unavailable; retrying");
                    }
                    tokio::select! {
                        () = shutdown.raised() => {}
                        () = tokio::time::sleep(RECONNECT.wait(failures, rand::random())) => {}
                    }
                    failures += 1;
                }
            }
        }
        self.finish(&mut messages).await;
    }

    /// Takes messages until shut down or until the connection breaks.
    async fn consume(
        &self,
        mut consumer: Consumer,
        messages: &mut JoinSet<()>,
        shutdown: &mut Shutdown,
    ) {
        loop {
            let delivery = tokio::select! {
                () = shutdown.raised() => return,
                delivery = consumer.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => self.take(delivery, messages, shutdown).await,
                Some(Err(failure)) => {
                    warn!(error = %failure, "broker connection lost");
                    return;
                }
                None => {
                    warn!("broker cancelled the consumer");
                    return;
                }
            }
            while messages.try_join_next().is_some() {}
        }
    }

    async fn finish(&self, messages: &mut JoinSet<()>) {
        let finished = async { while messages.join_next().await.is_some() {} };
        if tokio::time::timeout(self.drain, finished).await.is_err() {
            error!(
                left = messages.len(),
                "shutdown left messages unfinished; another worker takes their validations over"
            );
        }
    }

    async fn take(&self, delivery: Delivery, messages: &mut JoinSet<()>, shutdown: &mut Shutdown) {
        let wakeups = match Wakeup::decode(&delivery.data) {
            Ok(wakeups) => wakeups,
            Err(failure) => {
                error!(error = %failure, "message unreadable; moved to the dead letters");
                reject(&delivery).await;
                return;
            }
        };
        let (mut tasks, count) = (Vec::with_capacity(wakeups.len()), wakeups.len());
        for wakeup in wakeups {
            let permit = tokio::select! {
                () = shutdown.raised() => break,
                permit = self.load.acquire() => permit,
            };
            let processor = Arc::clone(&self.processor);
            tasks.push(tokio::spawn(async move {
                let _permit = permit;
                processor.run(wakeup).await;
            }));
        }
        // The broker delivers a message again of which not every validation was begun.
        let is_complete = tasks.len() == count;
        messages.spawn(async move {
            for task in tasks {
                if let Err(failure) = task.await {
                    error!(error = %failure, "processing panicked; the scheduler takes the validation back");
                }
            }
            // If the acknowledgement is lost, the message comes again and its validations are not due any more.
            if is_complete {
                let _ = delivery.acker.ack(BasicAckOptions::default()).await;
            }
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
