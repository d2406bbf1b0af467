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
pub use khata_queue::DeliverySignals;
pub use proxy::Proxy;
pub use queues::Queues;

use std::time::{Duration, SystemTime};

/// Time-out for an event that takes a second on an idle machine: other tests may keep the machine busy.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// Polls every few milliseconds until the condition holds; panics after a minute.
pub async fn until(condition: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {condition}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns at once, or after midnight in India if that is less than a minute away. A test of penny drops per day calls this
/// first, because each Indian day has a budget of its own.
pub fn avoid_midnight() {
    const DAY: u64 = 24 * 60 * 60;
    const INDIAN_OFFSET: u64 = 5 * 60 * 60 + 30 * 60;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since_midnight = (now.expect("the clock is right").as_secs() + INDIAN_OFFSET) % DAY;
    let left = DAY - since_midnight;
    if left < 60 {
        std::thread::sleep(Duration::from_secs(left + 1));
    }
}
