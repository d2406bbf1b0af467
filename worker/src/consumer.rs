//! Takes messages, one step a validation, with a bound on what is in hand. A message is acknowledged when each of its
//! validations is settled or handed back to Postgres.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use khata_config::shutdown::Shutdown;
use khata_domain::backoff::Backoff;
use khata_queue::{Broker, ReceivedWakeup};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::step::ValidationProcessor;

const NAME: &str = "khata-worker";
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// What of the consumer others may see.
#[derive(Debug)]
pub(crate) struct InHand {
    permits: Arc<Semaphore>,
    concurrency: u16,
    connected: AtomicBool,
}

impl InHand {
    pub(crate) fn new(concurrency: u16) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(concurrency.into())),
            concurrency,
            connected: AtomicBool::new(false),
        }
    }

    /// Whether this worker has all it can carry.
    pub(crate) fn is_full(&self) -> bool {
        self.permits.available_permits() == 0
    }

    /// Whether messages can reach it.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }
}

impl Collector for InHand {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let most = usize::from(self.concurrency);
        let in_hand = most.saturating_sub(self.permits.available_permits());
        for (name, help, value) in [
            (
                "validations_in_hand",
                "Validations that this worker is at",
                in_hand,
            ),
            (
                "validations_in_hand_max",
                "Validations that this worker may be at",
                most,
            ),
            (
                "broker_connected",
                "1 while messages can reach this worker",
                usize::from(self.is_connected()),
            ),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}

/// Consumes until shut down, then waits for what is in hand, `drain` at most.
pub(crate) async fn run(
    broker: Broker,
    stepper: Arc<ValidationProcessor>,
    in_hand: Arc<InHand>,
    concurrency: u16,
    drain: Duration,
    mut shutdown: Shutdown,
) {
    let mut messages = JoinSet::new();
    let mut failures = 0;
    while !shutdown.is_raised() {
        match broker.consume(NAME, concurrency).await {
            Ok((connection, channel, mut consumer)) => {
                info!(queue = broker.queue(), "consuming");
                failures = 0;
                in_hand.connected.store(true, Ordering::Relaxed);
                loop {
                    let delivery = tokio::select! {
                        () = shutdown.raised() => break,
                        delivery = consumer.next() => delivery,
                    };
                    match delivery {
                        Some(Ok(delivery)) => {
                            take(delivery, &stepper, &in_hand, &mut messages, &mut shutdown).await;
                        }
                        Some(Err(failure)) => {
                            warn!(error = %failure, "lost the broker");
                            break;
                        }
                        None => {
                            warn!("the broker ended the delivery");
                            break;
                        }
                    }
                    while messages.try_join_next().is_some() {}
                }
                in_hand.connected.store(false, Ordering::Relaxed);
                if shutdown.is_raised() {
                    let _ = channel
                        .basic_cancel(NAME.into(), BasicCancelOptions::default())
                        .await;
                    wait_for(&mut messages, drain).await;
                    let _ = connection.close(200, "goodbye".into()).await;
                }
            }
            Err(failure) => {
                if failures == 0 {
                    warn!(error = %failure, "the broker is away; trying again");
                }
                tokio::select! {
                    () = shutdown.raised() => {}
                    () = tokio::time::sleep(RECONNECT.wait(failures, rand::random())) => {}
                }
                failures += 1;
            }
        }
    }
    wait_for(&mut messages, drain).await;
}

async fn wait_for(messages: &mut JoinSet<()>, drain: Duration) {
    let drained = tokio::time::timeout(drain, async {
        while messages.join_next().await.is_some() {}
    })
    .await;
    if drained.is_err() {
        error!(
            left = messages.len(),
            "not everything in hand was finished in time; the rescuer takes it over"
        );
    }
}

async fn take(
    delivery: Delivery,
    stepper: &Arc<ValidationProcessor>,
    in_hand: &InHand,
    messages: &mut JoinSet<()>,
    shutdown: &mut Shutdown,
) {
    let wakeups = match ReceivedWakeup::decode(&delivery.data) {
        Ok(wakeups) => wakeups,
        Err(failure) => {
            error!(error = %failure, "message put aside among the dead letters");
            let reject = BasicNackOptions {
                requeue: false,
                ..BasicNackOptions::default()
            };
            if let Err(failure) = delivery.acker.nack(reject).await {
                warn!(error = %failure, "message not rejected; it comes again");
            }
            return;
        }
    };
    let mut steps = Vec::with_capacity(wakeups.len());
    for wakeup in wakeups {
        let permit = tokio::select! {
            // What is not begun goes back with the connection.
            () = shutdown.raised() => return,
            permit = Arc::clone(&in_hand.permits).acquire_owned() => permit,
        };
        let stepper = Arc::clone(stepper);
        steps.push(tokio::spawn(async move {
            let _permit = permit;
            stepper.run(wakeup).await;
        }));
    }
    messages.spawn(async move {
        for step in steps {
            if let Err(failure) = step.await {
                error!(error = %failure, "a step broke; the rescuer takes its validation over");
            }
        }
        // A lost acknowledgement brings the message again, and its validations have moved on.
        let _ = delivery.acker.ack(BasicAckOptions::default()).await;
    });
}
