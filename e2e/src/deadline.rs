//! Waiting for an event whose time is unknown.

use std::time::{Duration, Instant};

use anyhow::bail;

pub use khata_testing::TIMEOUT;

/// Time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(40);

/// Calls `check` until it returns a value. After `patience` the error names `what` the test waited for, and the last
/// check's error. An error of a check counts as "not yet": services may be starting.
pub async fn eventually<T, E: Into<anyhow::Error>>(
    patience: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Result<Option<T>, E>,
) -> anyhow::Result<T> {
    let end = Instant::now() + patience;
    loop {
        let seen = check().await.map_err(Into::into);
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if Instant::now() >= end {
            let seconds = patience.as_secs();
            match seen {
                Err(error) => bail!("{what}: not within {seconds} s; last check: {error:#}"),
                Ok(_) => bail!("{what}: not within {seconds} s"),
            }
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}
