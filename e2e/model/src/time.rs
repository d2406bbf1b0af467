//! Time in the model: seconds since the account was created.

use chrono::{DateTime, TimeDelta, Utc};

/// Seconds since the account was created.
pub type Seconds = u32;

/// Returns the product's form of a time.
pub fn time(at: Seconds) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(at.into())
}

/// Returns the seconds until this time, rounded up.
pub fn seconds(at: DateTime<Utc>) -> Seconds {
    let since = at - time(0);
    let whole = since.num_milliseconds().max(0) + 999;
    Seconds::try_from(whole / 1_000).unwrap_or(Seconds::MAX)
}
