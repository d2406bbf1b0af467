//! How many requests an API key may make: a token bucket a key, in each process. It keeps one merchant's loop from taking
//! the service away from the others; what costs rupees is limited in Postgres, for all processes together.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use khata_crypto::ApiKeyHash;

use crate::error::ApiError;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit");
const KEYS: u64 = 10_000;
/// A bucket that nobody took from for so long is full.
const FULL: Duration = Duration::from_mins(5);

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// The buckets of the keys seen lately.
pub(crate) struct Limits {
    buckets: moka::sync::Cache<ApiKeyHash, Arc<(u32, Bucket)>>,
    clock: DefaultClock,
}

/// What a request is told of its key's limit (draft-ietf-httpapi-ratelimit-headers-11).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    per_second: u32,
    remaining: u32,
    /// Seconds until the bucket gives again; 0 where it does now.
    wait: u64,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            buckets: moka::sync::Cache::builder()
                .max_capacity(KEYS)
                .time_to_idle(FULL)
                .build(),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one request from the key's bucket: `per_second` go in, and it holds as many.
    pub(crate) fn take(
        &self,
        key: ApiKeyHash,
        per_second: u32,
    ) -> (Standing, Result<(), ApiError>) {
        let size = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let bucket = self
            .buckets
            .get(&key)
            // The merchant's setting may have changed.
            .filter(|bucket| bucket.0 == per_second)
            .unwrap_or_else(|| {
                let limiter = RateLimiter::direct(Quota::per_second(size))
                    .with_middleware::<StateInformationMiddleware>();
                let bucket = Arc::new((per_second, limiter));
                self.buckets.insert(key, Arc::clone(&bucket));
                bucket
            });
        match bucket.1.check() {
            Ok(snapshot) => {
                let standing = Standing {
                    per_second,
                    remaining: snapshot.remaining_burst_capacity(),
                    wait: 0,
                };
                (standing, Ok(()))
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                let retry_after = wait.as_secs() + 1;
                let standing = Standing {
                    per_second,
                    remaining: 0,
                    wait: retry_after,
                };
                (standing, Err(ApiError::TooManyRequests { retry_after }))
            }
        }
    }
}

impl Standing {
    /// Adds the headers.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let policy = format!("\"key\";q={};w=1", self.per_second);
        let window = self.wait.max(1);
        let remaining = format!("\"key\";r={};t={window}", self.remaining);
        for (name, value) in [(POLICY, policy), (REMAINING, remaining)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_own_bucket_and_a_new_setting_a_new_one() {
        let limits = Limits::new();
        let (one, two) = (ApiKeyHash([1; 32]), ApiKeyHash([2; 32]));
        for left in [2, 1, 0] {
            let (standing, taken) = limits.take(one, 3);
            assert!(taken.is_ok());
            assert_eq!(standing.remaining, left);
        }
        let (standing, refused) = limits.take(one, 3);
        assert!(matches!(
            refused,
            Err(ApiError::TooManyRequests { retry_after: 1 })
        ));
        assert_eq!((standing.remaining, standing.wait), (0, 1));
        assert!(limits.take(two, 3).1.is_ok());
        assert!(limits.take(one, 4).1.is_ok());
    }

    #[test]
    fn the_headers_are_those_of_the_draft() {
        let mut headers = HeaderMap::new();
        let standing = Standing {
            per_second: 500,
            remaining: 17,
            wait: 0,
        };
        standing.tell(&mut headers);
        assert_eq!(
            headers.get("ratelimit-policy").unwrap(),
            "\"key\";q=500;w=1"
        );
        assert_eq!(headers.get("ratelimit").unwrap(), "\"key\";r=17;t=1");
    }
}
