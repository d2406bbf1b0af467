//! Test support: a database and queues per test, a proxy that fails on demand, and threads in many orders. Development only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::new_without_default,
    reason = "a failed set-up fails the test"
)]

pub mod database;
mod deadline;
mod orders;
pub mod proxy;
pub mod queues;

pub use database::Database;
pub use deadline::{TIMEOUT, until};
pub use khata_queue::DeliverySignals;
pub use orders::in_many_orders;
pub use proxy::Proxy;
pub use queues::Queues;

use std::time::{Duration, SystemTime};

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
