//! Removes what nobody will ask for again: answers kept for idempotent calls, call-backs of gateways and their scores, once
//! their time is over. Nothing depends on when it happens: what has expired is not looked at any more.

use std::time::Duration;

use khata_config::shutdown::Shutdown;
use khata_store::{Pool, PooledConnection, gateway_health, gateway_webhooks, idempotency};
use tracing::{info, warn};

const EVERY: Duration = Duration::from_mins(1);
/// Rows in one statement: a lock that nobody notices.
const BATCH: usize = 1_000;

/// Cleans up until shut down.
pub(crate) async fn run(pool: Pool, mut shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.raised() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let pool = pool.clone();
        let forgotten = tokio::task::spawn_blocking(move || forget(&pool)).await;
        match forgotten {
            Ok(Ok(0)) => {}
            Ok(Ok(records)) => info!(records, "forgot records whose time is over"),
            Ok(Err(failure)) => warn!(error = %failure, "cannot clean up; trying again"),
            Err(failure) => warn!(error = %failure, "cleaning up broke; trying again"),
        }
    }
}

fn forget(pool: &Pool) -> anyhow::Result<usize> {
    let mut connection: PooledConnection = pool.get()?;
    let batch = i64::try_from(BATCH)?;
    let mut all = 0;
    for forget in [
        idempotency::delete_expired,
        gateway_webhooks::delete_expired,
        gateway_health::delete_expired,
    ] {
        loop {
            let records = forget(&mut connection, batch)?;
            all += records;
            if records < BATCH {
                break;
            }
        }
    }
    Ok(all)
}
