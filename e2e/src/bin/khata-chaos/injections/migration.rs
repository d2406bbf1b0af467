//! A migration of the schema while the services run on it.

use std::time::Duration;

use anyhow::{Result, ensure};
use diesel::connection::SimpleConnection;
use khata_e2e::{TIMEOUT, eventually};
use tokio::time::sleep;

use super::{Effect, RECONNECTED};
use crate::run::Run;

/// The versions of two steps without which the services work, with the statements that revert them: an index that needs a lock
/// of a table that is always written to, and settings of three tables.
const STEPS: [(&str, &str); 2] = [
    (
        "20261203000033",
        include_str!("../../../../../migrations/2026-12-03-000033_accounts_in_review/down.sql"),
    ),
    (
        "20261202000023",
        include_str!("../../../../../migrations/2026-12-02-000023_room_for_updates/down.sql"),
    ),
];
/// Longer than a step waits for its lock, so that its first try fails.
const LOCKED: Duration = Duration::from_millis(2_500);

impl Run {
    /// Takes two steps of the schema back and runs `khata migrate`, while a transaction of another program holds a lock. No call may fail
    /// meanwhile. Hits the steps that run.
    pub(super) async fn migrate(&mut self) -> Result<Effect> {
        let database = &self.stack.database;
        for (version, down) in STEPS {
            // As a step of a migration does: others wait behind it for a second at most.
            let revert = format!(
                "begin; set local lock_timeout = '1s'; {down};
                 delete from __diesel_schema_migrations where version = '{version}'; commit"
            );
            eventually(TIMEOUT, "a step being taken back", async || {
                database.execute(&revert).map(Some)
            })
            .await?;
        }
        let missing = "select 2 - count(*) from __diesel_schema_migrations where version in ('20261203000033', '20261202000023')";
        let hits = database.number(missing)?;
        let mut holder = database.connect()?;
        holder.batch_execute("begin; lock table validations in row exclusive mode")?;
        let mut migration = self.stack.start_program("khata", &["migrate"], &[])?;
        sleep(LOCKED).await;
        ensure!(
            migration.ended().is_none(),
            "the migration did not wait for its lock: {}",
            migration.log()
        );
        holder.batch_execute("commit")?;
        let status = migration.wait(TIMEOUT).await?;
        ensure!(status.success(), "khata migrate: {}", migration.log());
        let missing = self.stack.database.number(missing)?;
        ensure!(missing == 0, "{missing} steps did not run");
        Ok(Effect::new(RECONNECTED, hits.unsigned_abs()))
    }
}
