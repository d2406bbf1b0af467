//! A test's own queues at the shared RabbitMQ.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::FieldTable;

/// The queues with one prefix; the services declare them. Dropping the value deletes them.
#[derive(Debug)]
pub struct Queues(khata_testing::Queues);

impl Queues {
    /// Returns queues with a new prefix at the server of `KHATA_TEST_AMQP_URL`.
    pub(crate) fn create() -> Self {
        Self(khata_testing::Queues::new())
    }

    pub(crate) fn prefix(&self) -> &str {
        self.0.prefix()
    }

    /// Returns the name of the queue of wake-ups.
    pub fn validations(&self) -> String {
        self.0.broker().queue()
    }

    /// Returns the name of the queue of wake-ups for validations that a caller waits for.
    pub fn awaited(&self) -> String {
        self.0.broker().awaited_queue()
    }

    /// Returns the name of the queue of unreadable messages.
    pub fn dead_letters(&self) -> String {
        self.0.broker().dead_letters()
    }

    /// Returns the signals of due deliveries from now on, as a worker gets them.
    pub async fn delivery_signals(&self) -> anyhow::Result<khata_testing::DeliverySignals> {
        Ok(self.0.delivery_signals().await?)
    }

    /// Returns the number of waiting messages, without those at a consumer.
    pub async fn depth(&self, queue: &str) -> anyhow::Result<u32> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let tap = self.0.tap().await;
        let declared = tap
            .channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await?;
        Ok(declared.message_count())
    }

    /// Deletes every waiting message of a queue. Returns their number.
    pub async fn purge(&self, queue: &str) -> anyhow::Result<u32> {
        let tap = self.0.tap().await;
        let options = QueuePurgeOptions::default();
        Ok(tap.channel.queue_purge(queue.into(), options).await?)
    }

    /// Publishes a message to a queue.
    pub async fn publish(&self, queue: &str, body: &[u8]) {
        self.0.tap().await.put(queue, body).await;
    }

    /// Deletes the queues with their messages.
    pub async fn delete(&self) -> anyhow::Result<()> {
        let tap = self.0.tap().await;
        for queue in [self.validations(), self.awaited(), self.dead_letters()] {
            let options = QueueDeleteOptions::default();
            tap.channel.queue_delete(queue.into(), options).await?;
        }
        Ok(())
    }
}
