//! A test's own queues at the shared RabbitMQ, looked at and meddled with.

use anyhow::Context;
use lapin::options::{
    BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

/// The queues that start with one prefix.
#[derive(Clone, Debug)]
pub struct Queues {
    url: String,
    prefix: String,
}

impl Queues {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    /// Where validations are rung for.
    pub fn validations(&self) -> String {
        format!("{}.validations", self.prefix)
    }

    /// Where messages go that nobody can read.
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

    /// Messages that wait in a queue, those that are with a consumer not counted.
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

    /// Loses every waiting message of a queue; answers how many there were.
    pub async fn purge(&self, queue: &str) -> anyhow::Result<u32> {
        let (connection, channel) = self.open().await?;
        let purged = channel
            .queue_purge(queue.into(), QueuePurgeOptions::default())
            .await?;
        connection.close(200, "done".into()).await?;
        Ok(purged)
    }

    /// Puts a message with this body into a queue.
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

    /// Deletes both queues with all that is in them.
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

    /// Deletes the queues, from outside any runtime's threads.
    pub(crate) fn remove(&self) {
        let queues = self.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Ok(runtime) = runtime {
                let _ = runtime.block_on(queues.delete());
            }
        });
        let _ = thread.join();
    }
}
