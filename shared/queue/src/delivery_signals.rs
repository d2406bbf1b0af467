//! Signals between workers: which merchants have due deliveries of events. The worker that owns an endpoint makes its calls, and
//! another worker may have written the events. A lost signal delays a delivery by about a second, so that nothing is confirmed or
//! kept.

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer, ExchangeKind};
use uuid::Uuid;

use super::broker::Broker;
use super::message::DueDeliveries;
use super::publisher::{BrokerError, within};

/// Signals that wait in the queue of a worker; of more, the broker drops the oldest.
const MAX_WAITING: i32 = 1_000;

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
            let exchange = broker.delivery_exchange();
            let queue = format!("{exchange}.{}", worker.simple());
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
        let properties = BasicProperties::default().with_content_type("application/json".into());
        within(async {
            self.channel
                .basic_publish(
                    self.exchange.as_str().into(),
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
