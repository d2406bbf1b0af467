//! Limits that keep one merchant's calls from slowing the service for the others: a token bucket for each API key, and each
//! merchant's share of what calls in progress use. Validations cost rupees; Postgres limits them across all processes.

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
use crate::shares::Shares;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit");
const KEYS: u64 = 10_000;
/// Time after which an unused bucket is full again and can be dropped.
const REFILL_TIME: Duration = Duration::from_mins(5);

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// The requests in progress of all merchants, the memory that they use, and one merchant's share of both. All follow from the
/// number of connections, which follows from the memory limit.
pub(crate) struct InProgress {
    /// Requests whose reply is not ready; a merchant may have seven eighths of them, so that its waiting calls leave
    /// connections to others.
    pub(crate) requests: Shares,
    /// Memory of request bodies; a merchant may have half of it.
    pub(crate) bodies: Shares,
    /// Memory of the bodies of gateway webhooks, which any sender may send; an eighth for the webhooks of one merchant.
    pub(crate) webhook_bodies: Shares,
    /// Memory of large replies that clients have not taken; a merchant may have half of it.
    pub(crate) replies: Shares,
}

/// Memory for each connection, in KiB. With 1,024 connections, for which a memory limit of 512 MiB is needed: 32, 8 and 64 MiB.
const BODIES: usize = 32;
const WEBHOOK_BODIES: usize = 8;
const REPLIES: usize = 64;
/// Least memory for one merchant, in KiB: more than the largest body, and the largest reply.
const LEAST_BODIES: usize = 512;
const LEAST_REPLIES: usize = 2_048;

impl InProgress {
    /// The shares of a process with this maximum number of connections.
    pub(crate) fn new(connections: usize) -> Self {
        let memory = |all: usize, parts: usize, least: usize| {
            let part = (connections * all / parts).max(least);
            Shares::new((connections * all).max(part), part)
        };
        Self {
            requests: Shares::new(connections, connections - connections / 8),
            bodies: memory(BODIES, 2, LEAST_BODIES),
            webhook_bodies: memory(WEBHOOK_BODIES, 8, LEAST_BODIES),
            replies: memory(REPLIES, 2, LEAST_REPLIES),
        }
    }
}

/// The buckets of recently used keys.
pub(crate) struct Limits {
    buckets: moka::sync::Cache<ApiKeyHash, Arc<(u32, Bucket)>>,
    clock: DefaultClock,
}

/// The state of a key's limit after a request (draft-ietf-httpapi-ratelimit-headers-11).
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitState {
    per_second: u32,
    remaining: u32,
    /// Seconds until the next request is accepted; 0: now.
    wait: u64,
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            buckets: moka::sync::Cache::builder()
                .max_capacity(KEYS)
                .time_to_idle(REFILL_TIME)
                .build(),
            clock: DefaultClock::default(),
        }
    }

    /// Takes requests from the key's bucket. The bucket holds `per_second` requests and refills at the same rate; more requests
    /// than it holds are taken as a whole bucket.
    pub(crate) fn take(
        &self,
        key: ApiKeyHash,
        per_second: u32,
        requests: NonZeroU32,
    ) -> (LimitState, Result<(), ApiError>) {
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
        let (remaining, wait) = match bucket.1.check_n(requests.min(size)) {
            Ok(Ok(snapshot)) => (snapshot.remaining_burst_capacity(), 0),
            Ok(Err(until)) => (0, until.wait_time_from(self.clock.now()).as_secs() + 1),
            Err(_) => (0, 1),
        };
        let state = LimitState {
            per_second,
            remaining,
            wait,
        };
        let retry_after = wait;
        let rejected = (wait > 0).then_some(ApiError::TooManyRequests { retry_after });
        (state, rejected.map_or(Ok(()), Err))
    }
}

impl LimitState {
    pub(crate) fn add_headers(&self, headers: &mut HeaderMap) {
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
    use std::time::Instant;

    use super::*;

    /// Returns what is left, the wait and the error's wait after each request: of a key, a limit and a number of requests.
    fn take_all(calls: &[(u8, u32, u32)]) -> Vec<(u32, u64, Option<u64>)> {
        loop {
            let (limits, began) = (Limits::new(), Instant::now());
            let take = |&(key, per_second, requests)| {
                let requests = NonZeroU32::new(requests).unwrap();
                let (state, taken) = limits.take(ApiKeyHash([key; 32]), per_second, requests);
                let retry_after = match taken {
                    Ok(()) => None,
                    Err(ApiError::TooManyRequests { retry_after }) => Some(retry_after),
                    Err(error) => panic!("{error:?}"),
                };
                (state.remaining, state.wait, retry_after)
            };
            let taken = calls.iter().map(take).collect();
            let fastest = calls.iter().map(|call| call.1).max().unwrap();
            // Otherwise a bucket may have refilled meanwhile, because the machine was busy.
            if began.elapsed() < Duration::from_secs(1) / fastest {
                return taken;
            }
        }
    }

    #[test]
    fn each_key_has_a_bucket_and_a_changed_limit_replaces_it() {
        let calls = [
            (1, 3, 1),
            (1, 3, 1),
            (1, 3, 1),
            (1, 3, 1),
            (2, 3, 1),
            (1, 4, 1),
        ];
        let expected = [
            (2, 0, None),
            (1, 0, None),
            (0, 0, None),
            (0, 1, Some(1)),
            (2, 0, None),
            (3, 0, None),
        ];
        assert_eq!(take_all(&calls), expected);
    }

    #[test]
    fn many_requests_at_once_take_as_many_tokens_and_at_most_the_bucket() {
        let calls = [(1, 10, 4), (1, 10, 7), (1, 10, 6), (2, 10, u32::MAX)];
        let expected = [(6, 0, None), (0, 1, Some(1)), (0, 0, None), (0, 0, None)];
        assert_eq!(take_all(&calls), expected);
    }

    #[test]
    fn rate_limit_headers_follow_the_draft() {
        let mut headers = HeaderMap::new();
        let state = LimitState {
            per_second: 500,
            remaining: 17,
            wait: 0,
        };
        state.add_headers(&mut headers);
        assert_eq!(
            headers.get("ratelimit-policy").unwrap(),
            "\"key\";q=500;w=1"
        );
        assert_eq!(headers.get("ratelimit").unwrap(), "\"key\";r=17;t=1");
    }
}
