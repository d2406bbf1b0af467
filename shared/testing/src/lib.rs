//! What the tests stand on. `database` is used by the worker's tests too, so it needs nothing beside diesel.

pub mod database;
pub mod proxy;
pub mod queues;

pub use database::Database;
pub use proxy::Proxy;
pub use queues::Queues;

use std::time::Duration;

/// Asks every few milliseconds until it is so; fails after ten seconds.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < patience, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
