//! Decaying counts: an event one half-life ago counts half.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The remaining share of a count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decay(f64);

impl Decay {
    /// Returns the share at `now` of a count taken `then`; at most 1, even if clocks differ.
    pub(crate) fn between(then: DateTime<Utc>, now: DateTime<Utc>, half_life: Duration) -> Self {
        let age = (now - then).to_std().unwrap_or_default();
        Self(0.5f64.powf(age.as_secs_f64() / half_life.as_secs_f64()))
    }

    /// Returns the remaining count.
    pub(crate) fn of(self, count: f64) -> f64 {
        count * self.0
    }
}
