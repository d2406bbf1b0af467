//! Faults of Postgres and of the connections to it.

use std::time::Duration;

use anyhow::Result;
use diesel::connection::SimpleConnection;
use khata_e2e::{as_role, texts};
use tokio::time::sleep;

use super::{Effect, RECONNECTED};
use crate::run::Run;

/// Number of times that connections are lost, around COMMITs among other moments.
const LOSSES: usize = 8;

impl Run {
    /// Returns the number of the services' connections to Postgres.
    pub(super) fn backends(&self) -> Result<u64> {
        let backends = "select count(*) from pg_stat_activity
            where datname = current_database() and usename in ('khata_api', 'khata_worker')";
        Ok(self.stack.database.number(backends)?.unsigned_abs())
    }

    pub(super) async fn reset_postgres(&mut self) -> Result<Effect> {
        let mut hits = 0;
        for _ in 0..LOSSES {
            hits += self.backends()?;
            self.stack.proxies()?.postgres.restore();
            sleep(self.random.milliseconds(40, 700)).await;
        }
        Ok(Effect::new(RECONNECTED, hits))
    }

    /// Ends every backend of the services. A role may end only its own.
    pub(super) async fn kill_backends(&mut self) -> Result<Effect> {
        const END: &str = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and usename = current_user and pid <> pg_backend_pid()";
        let mut hits = 0;
        for _ in 0..LOSSES {
            for role in ["khata_api", "khata_worker"] {
                let url = as_role(&self.stack.database.url, role);
                hits += texts(url.as_str(), END)?.len() as u64;
            }
            sleep(self.random.milliseconds(40, 700)).await;
        }
        Ok(Effect::new(RECONNECTED, hits))
    }

    pub(super) async fn hang_postgres(&mut self) -> Result<Effect> {
        let mut hits = 0;
        for _ in 0..5 {
            hits += self.backends()?;
            self.stack.proxies()?.postgres.hang();
            sleep(self.random.milliseconds(3_000, 4_500)).await;
            self.stack.proxies()?.postgres.thaw();
            sleep(self.random.milliseconds(500, 1_500)).await;
        }
        Ok(Effect::new(RECONNECTED, hits))
    }

    pub(super) async fn silence_postgres(&mut self) -> Result<Effect> {
        let hits = self.backends()?;
        self.stack.proxies()?.postgres.hang_open_connections();
        sleep(Duration::from_secs(15)).await;
        self.stack.proxies()?.postgres.restore();
        Ok(Effect::new(RECONNECTED, hits))
    }

    /// A deferred trigger runs in COMMIT. Hits the transactions that store accounts.
    pub(super) async fn slow_commits(&mut self) -> Result<Effect> {
        let database = &self.stack.database;
        database.execute(
            "create sequence slow_commits;
             grant usage on sequence slow_commits to public;
             create function slow_commit() returns trigger language plpgsql as $$
             begin
                -- Once in a transaction, however many accounts it stores.
                if current_setting('khata.slow', true) is distinct from 'yes' then
                    perform set_config('khata.slow', 'yes', true), nextval('public.slow_commits'), pg_sleep(3);
                end if;
                return null;
             end $$;
             create constraint trigger slow_commit after insert on customer_accounts
                deferrable initially deferred for each row execute function slow_commit()",
        )?;
        sleep(self.random.milliseconds(8_000, 10_000)).await;
        database.execute(
            "drop trigger slow_commit on customer_accounts; drop function slow_commit()",
        )?;
        let hits = database
            .number("select case when is_called then last_value else 0 end from slow_commits")?;
        database.execute("drop sequence slow_commits")?;
        Ok(Effect::new(RECONNECTED, hits.unsigned_abs()))
    }

    /// Hits the events that are written meanwhile: the cursor shows none of them before the transaction ends.
    pub(super) async fn idle_transaction(&mut self, from: u64, to: u64) -> Result<Effect> {
        let events = "select count(*) from events";
        let mut connection = self.stack.database.connect()?;
        connection.batch_execute("begin; select pg_current_xact_id()")?;
        let before = self.stack.database.number(events)?;
        sleep(self.random.milliseconds(from, to)).await;
        let hits = self.stack.database.number(events)? - before;
        connection.batch_execute("rollback")?;
        Ok(Effect::new(5_000, hits.unsigned_abs()))
    }
}
