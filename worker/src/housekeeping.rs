//! Deletes expired rows: replies stored for idempotent calls, gateway webhooks and scores. The time of deletion does not
//! matter, because expired rows are not read any more.

use std::time::Duration;

use khata_config::shutdown::Shutdown;
use khata_store::{Pool, PooledConnection, gateway_health, gateway_webhooks, idempotency};
use tracing::{info, warn};

const INTERVAL: Duration = Duration::from_mins(1);
/// Rows in one statement, few enough for a short lock.
const BATCH: usize = 1_000;

/// Deletes until shut down.
pub(crate) async fn run(pool: Pool, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.raised() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let pool = pool.clone();
        let deleted = tokio::task::spawn_blocking(move || delete_expired(&pool)).await;
        match deleted {
            Ok(Ok(0)) => {}
            Ok(Ok(records)) => info!(records, "expired records deleted"),
            Ok(Err(failure)) => warn!(error = %failure, "expired records not deleted; retrying"),
            Err(failure) => warn!(error = %failure, "deleting expired records panicked; retrying"),
        }
    }
}

fn delete_expired(pool: &Pool) -> anyhow::Result<usize> {
    let mut connection: PooledConnection = pool.get()?;
    let batch = i64::try_from(BATCH)?;
    let mut total = 0;
    for delete in [
        idempotency::delete_expired,
        gateway_webhooks::delete_expired,
        gateway_health::delete_expired,
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
