//! Waiting for what must come, without guessing how long it takes.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How long a test waits for what takes a second on an idle machine: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(40);

/// Looks until there is something, or until `patience` has passed: then the error names `what` was waited for and what
/// the last look met. An error of a look is only a look that saw nothing: services may be starting.
pub async fn eventually<T, E: Into<anyhow::Error>>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<Option<T>, E>,
) -> anyhow::Result<T> {
    let end = Instant::now() + patience;
    loop {
        let seen = look().await.map_err(Into::into);
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if Instant::now() >= end {
            let seconds = patience.as_secs();
            match seen {
                Err(error) => bail!("{what}: not within {seconds} s; the last look: {error:#}"),
                Ok(_) => bail!("{what}: not within {seconds} s"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
