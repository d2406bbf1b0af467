//! RabbitMQ: the doorbell. A message carries ids and trace contexts, never a datum; losing every one of them costs
//! seconds, because the database knows what is due.

mod message;
mod publisher;
mod wakeup_publisher;

pub use message::{MessageError, ReceivedWakeup, Wakeup};
pub use publisher::{BrokerError, Publisher};
pub use wakeup_publisher::{WakeupCounts, WakeupPublisher};

use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};

/// A message that returns this often unsettled is put aside among the dead letters.
const DELIVERY_LIMIT: i32 = 20;

/// Where RabbitMQ is.
#[derive(Clone, clap::Args)]
pub struct BrokerSettings {
    /// RabbitMQ, as amqp://user:password@host/vhost (amqps:// for TLS)
    #[arg(long, env = "KHATA_AMQP_URL", hide_env_values = true)]
    pub amqp_url: String,
    /// What the queues' names start with
    #[arg(long, env = "KHATA_QUEUE_PREFIX", default_value = "khata")]
    pub queue_prefix: String,
}

impl std::fmt::Debug for BrokerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerSettings")
            .field("queue_prefix", &self.queue_prefix)
            .finish_non_exhaustive()
    }
}

impl BrokerSettings {
    /// The broker that these settings name.
    pub fn broker(&self) -> Broker {
        Broker::new(&self.amqp_url, &self.queue_prefix)
    }
}

/// Where the broker is and what our queues are called there.
#[derive(Clone)]
pub struct Broker {
    uri: String,
    prefix: String,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// A broker at this AMQP URI; queue names start with `prefix`. A frozen peer is given up after two heartbeats of
    /// ten seconds, unless the URI says otherwise: until then the broker goes on handing messages to it.
    pub fn new(uri: &str, prefix: &str) -> Self {
        let separator = if uri.contains('?') { '&' } else { '?' };
        let uri = if uri.contains("heartbeat=") {
            uri.to_owned()
        } else {
            format!("{uri}{separator}heartbeat=10")
        };
        Self {
            uri,
            prefix: prefix.to_owned(),
        }
    }

    /// The queue of validations to be worked on.
    pub fn queue(&self) -> String {
        format!("{}.validations", self.prefix)
    }

    /// Where messages go that nobody can read.
    pub fn dead_letters(&self) -> String {
        format!("{}.validations.dead", self.prefix)
    }

    /// Connects and makes sure the queues stand: durable quorum queues, dead letters kept at least once.
    pub async fn connect(&self, name: &str) -> lapin::Result<(Connection, Channel)> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect(&self.uri, properties).await?;
        let channel = connection.create_channel().await?;
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        channel
            .queue_declare(
                self.dead_letters().as_str().into(),
                durable,
                arguments.clone(),
            )
            .await?;
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert(
            "x-dead-letter-routing-key".into(),
            text(&self.dead_letters()),
        );
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments.insert(
            "x-delivery-limit".into(),
            AMQPValue::LongInt(DELIVERY_LIMIT),
        );
        channel
            .queue_declare(self.queue().as_str().into(), durable, arguments)
            .await?;
        Ok((connection, channel))
    }

    /// Connects and consumes, with `prefetch` messages unacknowledged at most. The stream ends with the connection,
    /// which lives as long as the returned handle.
    pub async fn consume(
        &self,
        name: &str,
        prefetch: u16,
    ) -> lapin::Result<(Connection, Channel, Consumer)> {
        let (connection, channel) = self.connect(name).await?;
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await?;
        let consumer = channel
            .basic_consume(
                self.queue().as_str().into(),
                name.into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok((connection, channel, consumer))
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
