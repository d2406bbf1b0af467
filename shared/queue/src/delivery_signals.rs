//! Signals to workers: which merchants have due deliveries of events. The worker that owns an endpoint makes its calls, and another
//! process may have written the events. A lost signal delays a delivery by about a second, so that nothing is confirmed or kept.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer, ExchangeKind};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;
use uuid::Uuid;

use super::broker::{Broker, RECONNECT};
use super::message::DueDeliveries;
use super::publisher::{BrokerError, within};
use khata_domain::MerchantId;
use khata_domain::failpoints::{self, Failpoint};

/// Signals that wait in the queue of a worker; of more, the broker drops the oldest.
const MAX_WAITING: i32 = 1_000;
/// Signals that a publisher gathers at most for one message.
const MAX_GATHERED: usize = 1_024;
/// How long a message gathers merchants: the calls of one group commit end together.
const GATHER_INTERVAL: Duration = Duration::from_millis(2);

/// A worker's connection for signals.
#[derive(Debug)]
pub struct DeliverySignals {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    exchange: String,
}

impl DeliverySignals {
    /// Connects, and declares the exchange and the worker's own queue, which ends with the connection.
    pub async fn connect(broker: &Broker, worker: Uuid) -> Result<Self, BrokerError> {
        within(async {
            let (connection, channel) = broker.open("khata-deliveries").await?;
            let exchange = declare_exchange(&channel, broker).await?;
            let queue = format!("{exchange}.{}", worker.simple());
            let exclusive = QueueDeclareOptions {
                exclusive: true,
                auto_delete: true,
                ..QueueDeclareOptions::default()
            };
            let mut bounded = FieldTable::default();
            bounded.insert("x-max-length".into(), AMQPValue::LongInt(MAX_WAITING));
            channel
                .queue_declare(queue.as_str().into(), exclusive, bounded)
                .await?;
            channel
                .queue_bind(
                    queue.as_str().into(),
                    exchange.as_str().into(),
                    "".into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
            let without_acknowledgements = BasicConsumeOptions {
                no_ack: true,
                ..BasicConsumeOptions::default()
            };
            let consumer = channel
                .basic_consume(
                    queue.as_str().into(),
                    "khata-deliveries".into(),
                    without_acknowledgements,
                    FieldTable::default(),
                )
                .await?;
            Ok(Self {
                connection,
                channel,
                consumer,
                exchange,
            })
        })
        .await
    }

    /// Signals due deliveries to all connected workers, this one included.
    pub async fn publish(&self, due: &DueDeliveries) -> Result<(), BrokerError> {
        publish(&self.channel, &self.exchange, due).await
    }

    /// Waits for the next signal; `None` when the connection has ended. A message that is no signal is left out.
    pub async fn next(&mut self) -> Option<DueDeliveries> {
        loop {
            let delivery = self.consumer.next().await?.ok()?;
            match DueDeliveries::decode(&delivery.data) {
                Ok(due) => return Some(due),
                Err(error) => tracing::warn!(%error, "signal of due deliveries left out"),
            }
        }
    }

    /// Closes the connection.
    pub async fn close(self) {
        let close = async { Ok(self.connection.close(200, "closing".into()).await?) };
        let _ = within(close).await;
    }
}

/// Declares the exchange, and returns its name. The broker deletes it with the queue of the last worker.
async fn declare_exchange(channel: &Channel, broker: &Broker) -> lapin::Result<String> {
    let exchange = broker.delivery_exchange();
    let auto_delete = ExchangeDeclareOptions {
        auto_delete: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            exchange.as_str().into(),
            ExchangeKind::Fanout,
            auto_delete,
            FieldTable::default(),
        )
        .await?;
    Ok(exchange)
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    due: &DueDeliveries,
) -> Result<(), BrokerError> {
    let properties = BasicProperties::default().with_content_type("application/json".into());
    within(async {
        failpoints::pass(Failpoint::SIGNAL_BEFORE_PUBLISH).await;
        channel
            .basic_publish(
                exchange.into(),
                "".into(),
                BasicPublishOptions::default(),
                &due.encode(),
                properties,
            )
            .await?;
        Ok(())
    })
    .await
}

/// Publishes signals of a process that delivers nothing itself, without waiting. Connects with the first signal. After the last
/// clone is dropped, the task publishes the rest and ends.
#[derive(Clone, Debug)]
pub struct DeliverySignalPublisher(mpsc::Sender<MerchantId>);

impl DeliverySignalPublisher {
    /// Starts the publishing task.
    pub fn start(broker: Broker, name: &'static str) -> (Self, JoinHandle<()>) {
        let (sender, merchants) = mpsc::channel(MAX_GATHERED);
        let link = PublishingLink {
            broker,
            name,
            open: None,
        };
        (Self(sender), tokio::spawn(link.run(merchants)))
    }

    /// Signals soon that the merchant has due deliveries, or not at all: while the broker is unreachable, and when too many signals
    /// wait, workers find the deliveries within about a second.
    pub fn publish(&self, merchant: MerchantId) {
        let _ = self.0.try_send(merchant);
    }
}

/// The connection of a publisher.
struct PublishingLink {
    broker: Broker,
    name: &'static str,
    open: Option<(Connection, Channel, String)>,
}

impl PublishingLink {
    async fn run(mut self, mut merchants: mpsc::Receiver<MerchantId>) {
        let (mut gathered, mut failures) = (Vec::new(), 0);
        while merchants.recv_many(&mut gathered, MAX_GATHERED).await > 0 {
            tokio::time::sleep(GATHER_INTERVAL).await;
            while gathered.len() < MAX_GATHERED
                && let Ok(merchant) = merchants.try_recv()
            {
                gathered.push(merchant);
            }
            let each: HashSet<MerchantId> = gathered.drain(..).collect();
            let merchants = each.into_iter().collect();
            match self.publish(&DueDeliveries { merchants }).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    debug!(%error, "signal of due deliveries lost");
                    self.open = None;
                    tokio::time::sleep(RECONNECT.wait(failures, rand::random())).await;
                    failures += 1;
                }
            }
        }
        if let Some((connection, ..)) = self.open {
            let close = async { Ok(connection.close(200, "closing".into()).await?) };
            let _ = within(close).await;
        }
    }

    async fn publish(&mut self, due: &DueDeliveries) -> Result<(), BrokerError> {
        // The broker closes the channel of a publisher whose exchange is gone with the last worker.
        let is_usable = |open: &(_, Channel, _)| open.1.status().connected();
        let open = match self.open.take().filter(is_usable) {
            Some(open) => open,
            None => {
                within(async {
                    let (connection, channel) = self.broker.open(self.name).await?;
                    let exchange = declare_exchange(&channel, &self.broker).await?;
                    Ok((connection, channel, exchange))
                })
                .await?
            }
        };
        let (_, channel, exchange) = self.open.insert(open);
        publish(channel, exchange, due).await
    }
}
