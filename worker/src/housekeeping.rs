//! Work that no validation waits for. Deletes expired rows: replies stored for idempotent calls, gateway webhooks, scores, old counts
//! of penny drops, events and the deliveries of deleted endpoints; the time of deletion does not matter, because expired rows are not
//! read any more. Disables webhook endpoints that fail. Counts this process's encryptions.

use std::sync::Arc;
use std::time::Duration;

use khata_config::shutdown::Shutdown;
use khata_domain::events::DisabledBy;
use khata_store::encryption_counts::EncryptionCounter;
use khata_store::{
    Pool, PooledConnection, events, gateway_health, gateway_webhooks, idempotency,
    merchant_settings, webhooks,
};
use tracing::{info, warn};

use crate::deliveries::{Signals, disable, report_disabled};
use crate::metrics::Metrics;

const INTERVAL: Duration = Duration::from_mins(1);
/// Rows in one statement, few enough for a short lock.
const BATCH: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Housekeeping {
    pub(crate) pool: Pool,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) signals: Arc<Signals>,
}

impl Housekeeping {
    /// Counts encryptions, disables and deletes until shut down.
    pub(crate) async fn run(self, counter: EncryptionCounter, mut shutdown: Shutdown) {
        let counter = Arc::new(counter);
        loop {
            let is_last = shutdown.is_raised();
            let (connections, shared) = (self.pool.clone(), Arc::clone(&counter));
            let stored = tokio::task::spawn_blocking(move || count(&connections, &shared)).await;
            if let Ok(Err(failure)) = stored {
                warn!(error = %failure, "encryptions not counted; retrying");
            }
            if is_last {
                return;
            }
            tokio::select! {
                () = shutdown.raised() => continue,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            let this = self.clone();
            let disabled = tokio::task::spawn_blocking(move || this.disable_failing()).await;
            if let Err(failure) = disabled.map_err(anyhow::Error::from).flatten() {
                warn!(error = %failure, "failing webhook endpoints not disabled; retrying");
            }
            let pool = self.pool.clone();
            let deleted = tokio::task::spawn_blocking(move || delete_expired(&pool)).await;
            match deleted {
                Ok(Ok(0)) => {}
                Ok(Ok(records)) => info!(records, "expired records deleted"),
                Ok(Err(failure)) => {
                    warn!(error = %failure, "expired records not deleted; retrying");
                }
                Err(failure) => {
                    warn!(error = %failure, "deleting expired records panicked; retrying");
                }
            }
        }
    }

    /// Disables the endpoints at which no call succeeded for five days.
    fn disable_failing(&self) -> anyhow::Result<()> {
        let mut connection: PooledConnection = self.pool.get()?;
        for key in webhooks::failing(&mut connection, i64::try_from(BATCH)?)? {
            if disable(&mut connection, key, DisabledBy::Failing)? {
                report_disabled(&self.metrics, key, DisabledBy::Failing);
                self.signals.has_deliveries(key.merchant);
            }
        }
        Ok(())
    }
}

fn count(pool: &Pool, counter: &EncryptionCounter) -> anyhow::Result<()> {
    let mut connection: PooledConnection = pool.get()?;
    Ok(counter.store(&mut connection)?)
}

fn delete_expired(pool: &Pool) -> anyhow::Result<usize> {
    let mut connection: PooledConnection = pool.get()?;
    let batch = i64::try_from(BATCH)?;
    let mut total = 0;
    for delete in [
        idempotency::delete_expired,
        gateway_webhooks::delete_expired,
        gateway_health::delete_expired,
        merchant_settings::delete_expired,
        events::delete_expired,
        webhooks::delete_expired,
    ] {
        loop {
            let records = delete(&mut connection, batch)?;
            total += records;
            if records < BATCH {
                break;
            }
        }
    }
    Ok(total)
}
