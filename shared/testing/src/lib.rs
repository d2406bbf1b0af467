//! Test support: a database and queues per test, and a proxy that fails on demand. Development only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::new_without_default,
    reason = "a failed set-up fails the test"
)]

pub mod database;
pub mod proxy;
pub mod queues;

pub use database::Database;
pub use proxy::Proxy;
pub use queues::Queues;

use std::time::Duration;

/// Polls every few milliseconds until the condition holds; panics after ten seconds.
pub async fn until(condition: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {condition}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
