//! Queues per test, deleted when the test ends.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use khata_domain::ValidationKey;
use khata_domain::{MerchantId, ValidationId};
use khata_queue::{Broker, BrokerError, DeliverySignals, Wakeup};
use lapin::message::{BasicGetMessage, Delivery};
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeleteOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use uuid::Uuid;

use crate::deadline::TIMEOUT;

/// Queues with a unique prefix.
#[derive(Debug)]
pub struct Queues {
    url: String,
    prefix: String,
    made_at: Instant,
}

/// Least time from the begin of a test to the deletion of its queues. A process that has ended may have declared one just before, and
/// RabbitMQ 3.10 accepts no quorum queue any more after a few queues were deleted in the moment of their declaration.
const SETTLING_TIME: Duration = Duration::from_secs(3);

impl Queues {
    pub fn new() -> Self {
        let url = std::env::var("KHATA_TEST_AMQP_URL").expect(
            "KHATA_TEST_AMQP_URL is not set: run `make test`, or start the local services and set it to their KHATA_AMQP_URL",
        );
        let prefix = format!("khata-test-{}", Uuid::now_v7().simple());
        Self {
            url,
            prefix,
            made_at: Instant::now(),
        }
    }

    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the broker with these queues.
    pub fn broker(&self) -> Broker {
        self.broker_at(self.url.clone())
    }

    /// Returns the broker through a proxy on this port.
    pub fn broker_through(&self, port: u16) -> Broker {
        let url = self
            .url
            .replacen(&self.address(), &format!("127.0.0.1:{port}"), 1);
        self.broker_at(url)
    }

    /// Connects as a worker that gets signals of due deliveries.
    pub async fn delivery_signals(&self) -> Result<DeliverySignals, BrokerError> {
        DeliverySignals::connect(&self.broker(), Uuid::new_v4()).await
    }

    fn broker_at(&self, amqp_url: String) -> Broker {
        Broker {
            amqp_url,
            queue_prefix: self.prefix.clone(),
        }
    }

    /// Returns host and port of the broker.
    pub fn address(&self) -> String {
        let authority = self.url.split("://").nth(1).unwrap();
        let authority = authority.split('/').next().unwrap();
        authority.rsplit('@').next().unwrap().to_owned()
    }
}

/// Direct access to the queues, without the code under test.
pub struct Tap {
    pub channel: Channel,
    _connection: Connection,
}

impl Queues {
    pub async fn tap(&self) -> Tap {
        let connection = Connection::connect(&self.url, ConnectionProperties::default())
            .await
            .unwrap();
        Tap {
            channel: connection.create_channel().await.unwrap(),
            _connection: connection,
        }
    }
}

impl Tap {
    /// Returns the next message of a queue, unacknowledged; waits a minute for it.
    pub async fn next(&self, queue: &str) -> BasicGetMessage {
        for _ in 0..3_000 {
            if let Some(message) = self.now(queue).await {
                return message;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no message in {queue}")
    }

    /// Returns the next message, if there is one now.
    pub async fn now(&self, queue: &str) -> Option<BasicGetMessage> {
        self.channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .unwrap()
    }

    /// Returns the wake-ups of every message in the queue.
    pub async fn all(&self, queue: &str) -> Vec<Vec<Wakeup>> {
        let mut all = Vec::new();
        while let Some(message) = self.now(queue).await {
            all.push(Wakeup::decode(&message.delivery.data).unwrap());
        }
        all
    }

    /// Publishes a body to a queue.
    pub async fn put(&self, queue: &str, body: &[u8]) {
        self.channel
            .basic_publish(
                "".into(),
                queue.into(),
                BasicPublishOptions::default(),
                body,
                BasicProperties::default(),
            )
            .await
            .unwrap()
            .await
            .unwrap();
    }
}

/// Returns a consumer's next delivery; panics after a minute.
pub async fn delivered(consumer: &mut Consumer) -> Delivery {
    tokio::time::timeout(TIMEOUT, consumer.next())
        .await
        .expect("a delivery")
        .unwrap()
        .unwrap()
}

/// Returns why RabbitMQ dead-lettered a message.
pub fn dead_letter_reason(message: &BasicGetMessage) -> String {
    let headers = message.delivery.properties.headers().as_ref().unwrap();
    let reason = headers.inner().get("x-first-death-reason").unwrap();
    reason.as_long_string().unwrap().to_string()
}

/// Makes wake-ups outside of any trace.
pub fn wakeups(count: usize) -> Vec<Wakeup> {
    let merchant = MerchantId::new();
    (0..count)
        .map(|_| Wakeup {
            key: ValidationKey {
                merchant,
                id: ValidationId::new(),
            },
            trace_parent: None,
        })
        .collect()
}

impl Drop for Queues {
    fn drop(&mut self) {
        std::thread::sleep(SETTLING_TIME.saturating_sub(self.made_at.elapsed()));
        let (url, broker) = (self.url.clone(), self.broker());
        // A runtime of its own, as this may run inside the test's runtime.
        let deleted = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(delete(
                    &url,
                    &[
                        broker.queue(),
                        broker.awaited_queue(),
                        broker.dead_letters(),
                    ],
                ))
        });
        if !matches!(deleted.join(), Ok(Ok(()))) {
            eprintln!("cannot delete the test queues {}", self.prefix);
        }
    }
}

async fn delete(url: &str, queues: &[String]) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in queues {
        channel
            .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
            .await?;
    }
    connection.close(200, "done".into()).await
}
