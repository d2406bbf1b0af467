//! Every call a gateway got: how many, to which route, with what answer, and how many came within
//! any one minute; and, where a limit a minute is set, whether a call is let in.

mod window;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::calls::window::Window;
use crate::gateway::Gateway;

/// The calls of all gateways since the start, or since they were last forgotten.
#[derive(Debug)]
pub(crate) struct Calls {
    start: Instant,
    by_gateway: [Mutex<Log>; Gateway::COUNT],
}

/// Where a call stands with a limit a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// The limit.
    pub(crate) limit: u32,
    /// How many more are let in now.
    pub(crate) remaining: u32,
    /// How long until the oldest call that still counts no longer does.
    pub(crate) resets_in: Duration,
    /// Whether this call is let in.
    pub(crate) let_in: bool,
}

/// One gateway's calls, as `GET /_sandbox/calls` lists them.
#[derive(Debug, Serialize)]
pub(crate) struct Counted {
    gateway: Gateway,
    /// Calls that came, however they ended.
    total: u64,
    /// By method and path.
    by_route: BTreeMap<&'static str, u64>,
    /// By the HTTP status they were answered with.
    by_status: BTreeMap<u16, u64>,
    /// Those that got no answer: hung or reset.
    unanswered: u64,
    /// The largest number that came within any 60 seconds, to the millisecond.
    most_in_a_minute: u64,
}

#[derive(Debug, Default)]
struct Log {
    total: u64,
    // A gateway has a handful of each: a list is faster than a map.
    by_route: Vec<(&'static str, u64)>,
    by_status: Vec<(u16, u64)>,
    unanswered: u64,
    came: Window,
    most_in_a_minute: u64,
    /// Those that count against the limit: let in while one was set.
    let_in: Window,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            by_gateway: Default::default(),
        }
    }

    /// Enters a call that was read, and says where it stands if `limit` is not 0.
    pub(crate) fn arrive(
        &self,
        gateway: Gateway,
        route: &'static str,
        limit: u32,
    ) -> Option<Allowance> {
        let mut log = self.lock(gateway);
        // Under the lock, so that time does not run backwards from one call to the next.
        let now = self.now();
        log.total += 1;
        count(&mut log.by_route, route);
        log.came.add(now);
        log.most_in_a_minute = log.most_in_a_minute.max(log.came.count());
        (limit > 0).then(|| log.allowance(now, limit))
    }

    /// Enters that a call was answered with this status.
    pub(crate) fn answered(&self, gateway: Gateway, status: u16) {
        count(&mut self.lock(gateway).by_status, status);
    }

    /// Enters that a call was left without an answer.
    pub(crate) fn unanswered(&self, gateway: Gateway) {
        self.lock(gateway).unanswered += 1;
    }

    /// Starts the minute of the limit anew.
    pub(crate) fn forget_limit(&self, gateway: Gateway) {
        self.lock(gateway).let_in = Window::default();
    }

    /// Starts all counts anew. Limits go on.
    pub(crate) fn forget(&self) {
        for gateway in Gateway::ALL {
            let mut log = self.lock(gateway);
            let let_in = std::mem::take(&mut log.let_in);
            *log = Log {
                let_in,
                ..Log::default()
            };
        }
    }

    /// All gateways' counts.
    pub(crate) fn list(&self) -> [Counted; Gateway::COUNT] {
        Gateway::ALL.map(|gateway| {
            let log = self.lock(gateway);
            Counted {
                gateway,
                total: log.total,
                by_route: log.by_route.iter().copied().collect(),
                by_status: log.by_status.iter().copied().collect(),
                unanswered: log.unanswered,
                most_in_a_minute: log.most_in_a_minute,
            }
        })
    }

    /// Milliseconds since the start.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self, gateway: Gateway) -> MutexGuard<'_, Log> {
        self.by_gateway[gateway.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn allowance(&mut self, now: u64, limit: u32) -> Allowance {
        self.let_in.move_to(now);
        let before = self.let_in.count();
        let let_in = before < u64::from(limit);
        if let_in {
            self.let_in.add(now);
        }
        let used = u32::try_from(self.let_in.count()).unwrap_or(u32::MAX);
        Allowance {
            limit,
            remaining: limit.saturating_sub(used),
            resets_in: Duration::from_millis(self.let_in.until_one_leaves(now)),
            let_in,
        }
    }
}

fn count<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K) {
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, count)) => *count += 1,
        None => counts.push((key, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lets_in_so_many_within_any_minute() {
        let mut log = Log::default();
        for (now, let_in, remaining, resets_in) in [
            (0, true, 1, 60_000),
            (10_000, true, 0, 50_000),
            (59_999, false, 0, 1),
            (60_000, true, 0, 10_000),
            (69_999, false, 0, 1),
            (70_000, true, 0, 50_000),
            (130_000, true, 1, 60_000),
        ] {
            assert_eq!(
                log.allowance(now, 2),
                Allowance {
                    limit: 2,
                    remaining,
                    resets_in: Duration::from_millis(resets_in),
                    let_in,
                },
                "at {now}"
            );
        }
    }

    #[test]
    fn calls_are_counted_by_route_and_status_until_forgotten() {
        let calls = Calls::new();
        assert_eq!(calls.arrive(Gateway::Setu, "POST /a", 0), None);
        let limited = calls.arrive(Gateway::Setu, "POST /b", 1);
        assert!(limited.is_some_and(|allowance| allowance.let_in));
        calls.arrive(Gateway::Setu, "POST /a", 0);
        calls.answered(Gateway::Setu, 200);
        calls.answered(Gateway::Setu, 500);
        calls.unanswered(Gateway::Setu);

        let [cashfree, _, setu, ..] = calls.list();
        assert_eq!((cashfree.total, cashfree.most_in_a_minute), (0, 0));
        assert_eq!((setu.total, setu.most_in_a_minute), (3, 3));
        assert_eq!(
            setu.by_route,
            BTreeMap::from([("POST /a", 2), ("POST /b", 1)])
        );
        assert_eq!(setu.by_status, BTreeMap::from([(200, 1), (500, 1)]));
        assert_eq!(setu.unanswered, 1);

        calls.forget();
        let [_, _, setu, ..] = calls.list();
        assert_eq!((setu.total, setu.most_in_a_minute), (0, 0));
        let over = calls.arrive(Gateway::Setu, "POST /b", 1);
        assert!(
            over.is_some_and(|allowance| !allowance.let_in),
            "the limit goes on"
        );
        calls.forget_limit(Gateway::Setu);
        let anew = calls.arrive(Gateway::Setu, "POST /b", 1);
        assert!(anew.is_some_and(|allowance| allowance.let_in));
    }
}
