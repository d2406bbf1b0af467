//! A test's own queues at the shared RabbitMQ.

use anyhow::Context;
use lapin::options::{
    BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

/// The queues with one prefix. Dropping the value deletes them.
#[derive(Debug)]
pub struct Queues {
    url: String,
    prefix: String,
}

impl Queues {
    /// Returns queues with a new prefix; the services declare them.
    pub(crate) fn create(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: format!("e2e_{}", uuid::Uuid::new_v4().simple()),
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the name of the queue of wake-ups.
    pub fn validations(&self) -> String {
        format!("{}.validations", self.prefix)
    }

    /// Returns the name of the queue of unreadable messages.
    pub fn dead_letters(&self) -> String {
        format!("{}.validations.dead", self.prefix)
    }

    async fn open(&self) -> anyhow::Result<(Connection, Channel)> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default())
            .await
            .context("cannot reach RabbitMQ at KHATA_TEST_AMQP_URL")?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    /// Returns the number of waiting messages, without those at a consumer.
    pub async fn depth(&self, queue: &str) -> anyhow::Result<u32> {
        let (connection, channel) = self.open().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await?;
        let depth = declared.message_count();
        connection.close(200, "done".into()).await?;
        Ok(depth)
    }

    /// Deletes every waiting message of a queue. Returns their number.
    pub async fn purge(&self, queue: &str) -> anyhow::Result<u32> {
        let (connection, channel) = self.open().await?;
        let purged = channel
            .queue_purge(queue.into(), QueuePurgeOptions::default())
            .await?;
        connection.close(200, "done".into()).await?;
        Ok(purged)
    }

    /// Publishes a message to a queue.
    pub async fn publish(&self, queue: &str, body: &[u8]) -> anyhow::Result<()> {
        let (connection, channel) = self.open().await?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        channel
            .basic_publish(
                "".into(),
                queue.into(),
                options,
                body,
                BasicProperties::default(),
            )
            .await?
            .await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }

    /// Deletes both queues with their messages.
    pub async fn delete(&self) -> anyhow::Result<()> {
        let (connection, channel) = self.open().await?;
        for queue in [self.validations(), self.dead_letters()] {
            let _ = channel
                .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
                .await;
        }
        connection.close(200, "done".into()).await?;
        Ok(())
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        // In a thread: this may run inside the test's own runtime.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                if let Ok(runtime) = runtime {
                    let _ = runtime.block_on(self.delete());
                }
            });
        });
    }
}
