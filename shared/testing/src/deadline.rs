//! Waiting for a state.

use std::time::Duration;

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
