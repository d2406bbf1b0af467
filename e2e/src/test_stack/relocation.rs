//! A test stack that continues with another database, as after a restore.

use super::TestStack;
use crate::database::Database;
use crate::queues::Queues;
use crate::settings::settings;

impl TestStack {
    /// Makes services that start from now on use this database and new queues. Returns the old database.
    pub fn use_database(&mut self, database: Database) -> anyhow::Result<Database> {
        let amqp = std::env::var("KHATA_TEST_AMQP_URL")?;
        self.queues = Queues::create(&amqp);
        self.services.retain(|(name, _)| {
            !["KHATA_DATABASE_URL", "KHATA_QUEUE_PREFIX"].contains(&name.as_str())
        });
        self.services.extend(settings(&[
            ("KHATA_DATABASE_URL", database.url.as_str()),
            ("KHATA_QUEUE_PREFIX", self.queues.prefix()),
        ]));
        Ok(std::mem::replace(&mut self.database, database))
    }
}
