//! Counts that fade: what happened a half-life ago counts half.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How much of a count is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decay(f64);

impl Decay {
    /// What is left at `now` of what was counted `then`; clocks that differ are no reason for more than all of it.
    pub(crate) fn between(then: DateTime<Utc>, now: DateTime<Utc>, half_life: Duration) -> Self {
        let age = (now - then).to_std().unwrap_or_default();
        Self(0.5f64.powf(age.as_secs_f64() / half_life.as_secs_f64()))
    }

    /// Of this count.
    pub(crate) fn of(self, count: f64) -> f64 {
        count * self.0
    }
}
