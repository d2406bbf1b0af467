//! RabbitMQ's address, the queues and their declaration.

use std::str::FromStr;
use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Consumer};

use khata_domain::backoff::Backoff;

/// Delays between attempts to connect to RabbitMQ again.
pub const RECONNECT: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));
/// Maximum length of the prefix: RabbitMQ permits 255 bytes for a name.
const MAX_PREFIX: usize = 200;
/// Deliveries of a message without an acknowledgement, after which RabbitMQ moves it to the dead letters.
const DELIVERY_LIMIT: i32 = 20;

/// The address of RabbitMQ and the names of Khata's queues.
#[derive(Clone, clap::Args)]
pub struct Broker {
    /// RabbitMQ URL, amqp://user:password@host/vhost (amqps:// for TLS)
    #[arg(long, env = "KHATA_AMQP_URL", hide_env_values = true, value_parser = check_url)]
    pub amqp_url: String,
    /// Prefix of the queue names
    #[arg(long, env = "KHATA_QUEUE_PREFIX", default_value = "khata", value_parser = check_prefix)]
    pub queue_prefix: String,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("queue_prefix", &self.queue_prefix)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Returns the name of the queue of due validations.
    pub fn queue(&self) -> String {
        format!("{}.validations", self.queue_prefix)
    }

    /// Returns the name of the queue of due validations that a caller waits for.
    pub fn awaited_queue(&self) -> String {
        format!("{}.validations.awaited", self.queue_prefix)
    }

    /// Returns the name of the queue for messages that workers cannot process.
    pub fn dead_letters(&self) -> String {
        format!("{}.validations.dead", self.queue_prefix)
    }

    /// Returns the name of the exchange by which workers signal deliveries to each other.
    pub(super) fn delivery_exchange(&self) -> String {
        format!("{}.deliveries", self.queue_prefix)
    }

    /// Connects, and declares nothing.
    pub(super) async fn open(&self, name: &str) -> lapin::Result<(Connection, Channel)> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect(&self.uri(), properties).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    /// Connects and declares the queues: durable quorum queues, with at-least-once dead-lettering.
    pub async fn connect(&self, name: &str) -> lapin::Result<(Connection, Channel)> {
        let (connection, channel) = self.open(name).await?;
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
        for queue in [self.queue(), self.awaited_queue()] {
            channel
                .queue_declare(queue.as_str().into(), durable, arguments.clone())
                .await?;
        }
        Ok((connection, channel))
    }

    /// Returns the URL with a heartbeat of ten seconds, unless it sets another one. RabbitMQ closes a frozen connection after
    /// two heartbeats; until then it keeps delivering messages to it.
    fn uri(&self) -> String {
        let separator = if self.amqp_url.contains('?') {
            '&'
        } else {
            '?'
        };
        if self.amqp_url.contains("heartbeat=") {
            self.amqp_url.clone()
        } else {
            format!("{}{separator}heartbeat=10", self.amqp_url)
        }
    }

    /// Connects and consumes the queue of due validations, with at most `prefetch` unacknowledged messages. The stream ends
    /// with the connection, which lives as long as the returned handle.
    pub async fn consume(
        &self,
        name: &str,
        prefetch: u16,
    ) -> lapin::Result<(Connection, Channel, Consumer)> {
        let (connection, channel) = self.connect(name).await?;
        let consumer = consume(&channel, &self.queue(), name, prefetch).await?;
        Ok((connection, channel, consumer))
    }

    /// Consumes the queue of awaited validations on a connection that [`Self::consume`] returned.
    pub async fn consume_awaited(
        &self,
        connection: &Connection,
        name: &str,
        prefetch: u16,
    ) -> lapin::Result<(Channel, Consumer)> {
        let channel = connection.create_channel().await?;
        let consumer = consume(&channel, &self.awaited_queue(), name, prefetch).await?;
        Ok((channel, consumer))
    }
}

/// Returns the URL unchanged if the client can read it. An error does not quote it, as it holds a password.
fn check_url(url: &str) -> Result<String, &'static str> {
    match AMQPUri::from_str(url) {
        Ok(_) => Ok(url.to_owned()),
        Err(_) => Err(
            "expected amqp://user:password@host:port/vhost, or amqps:// for TLS; percent-encode the characters of the user, the \
             password and the virtual host that are no letters or digits (`@` as %40, `/` as %2F)",
        ),
    }
}

fn check_prefix(prefix: &str) -> Result<String, &'static str> {
    let is_name = prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if prefix.is_empty() || prefix.len() > MAX_PREFIX || !is_name {
        return Err("expected 1 to 200 visible ASCII characters, as `khata`");
    }
    Ok(prefix.to_owned())
}

async fn consume(
    channel: &Channel,
    queue: &str,
    name: &str,
    prefetch: u16,
) -> lapin::Result<Consumer> {
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    channel
        .basic_consume(
            queue.into(),
            name.into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_can_never_work_is_refused_without_a_quotation() {
        for url in [
            "amqp://h",
            "amqps://khata:p%40ss@host:5671/%2f?heartbeat=30",
        ] {
            assert_eq!(check_url(url).as_deref(), Ok(url));
        }
        for url in [
            "",
            "khata",
            "http://secret",
            "amqp://u:sec/ret@h",
            "amqp://u:secret@h:port",
        ] {
            let why = check_url(url).expect_err(url);
            assert!(!why.contains("sec"), "{url}: {why}");
        }
    }

    #[test]
    fn a_prefix_is_a_name() {
        assert!(check_prefix("khata-2.live_a").is_ok());
        for prefix in ["", "a b", "ख", &"a".repeat(201)] {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
    }
}
