//! RabbitMQ's address, the queues and their declaration.

use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};

/// Deliveries of a message without an acknowledgement, after which RabbitMQ moves it to the dead letters.
const DELIVERY_LIMIT: i32 = 20;

/// Settings of RabbitMQ.
#[derive(Clone, clap::Args)]
pub struct BrokerSettings {
    /// RabbitMQ URL, amqp://user:password@host/vhost (amqps:// for TLS)
    #[arg(long, env = "KHATA_AMQP_URL", hide_env_values = true)]
    pub amqp_url: String,
    /// Prefix of the queue names
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
    /// Returns the broker of these settings.
    pub fn broker(&self) -> Broker {
        Broker::new(&self.amqp_url, &self.queue_prefix)
    }
}

/// The address of RabbitMQ and the names of Khata's queues.
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
    /// Creates a broker with this AMQP URI and prefix of the queue names. RabbitMQ closes a frozen connection after two
    /// heartbeats of ten seconds, unless the URI sets another heartbeat; until then it keeps delivering messages to it.
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

    /// Returns the name of the queue of due validations.
    pub fn queue(&self) -> String {
        format!("{}.validations", self.prefix)
    }

    /// Returns the name of the queue for messages that workers cannot process.
    pub fn dead_letters(&self) -> String {
        format!("{}.validations.dead", self.prefix)
    }

    /// Connects and declares the queues: durable quorum queues, with at-least-once dead-lettering.
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

    /// Connects and consumes, with at most `prefetch` unacknowledged messages. The stream ends with the connection, which lives
    /// as long as the returned handle.
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
