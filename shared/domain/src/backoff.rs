//! Delays between retries: exponential, capped, with jitter.

use std::time::Duration;

/// A delay that doubles with each retry.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// Starts at `base` and grows up to `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// Returns the delay after `tries` retries, spread over ±20 % by `jitter` in `0.0..1.0`, so that calls that failed
    /// together are not repeated together.
    pub fn wait(&self, tries: u32, jitter: f64) -> Duration {
        let doubled = self.base.saturating_mul(1 << tries.min(20));
        doubled
            .min(self.cap)
            .mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_double_and_the_jitter_changes_them_by_a_fifth() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(10));
        for (tries, jitter, seconds) in [
            (0, 0.5, 1),
            (3, 0.5, 8),
            (99, 0.5, 600),
            (99, 0.0, 480),
            (99, 1.0, 720),
            (99, 7.0, 720),
        ] {
            assert_eq!(
                backoff.wait(tries, jitter),
                Duration::from_secs(seconds),
                "{tries}, {jitter}"
            );
        }
    }

    proptest! {
        #[test]
        fn delays_grow_up_to_the_cap(tries in 0u32..100, jitter in 0.0f64..1.0) {
            let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(10));
            let wait = backoff.wait(tries, jitter);
            prop_assert!(wait >= Duration::from_millis(800) && wait <= Duration::from_mins(12));
            prop_assert!(backoff.wait(tries + 1, jitter) >= wait);
        }
    }
}
