//! The counts of each gateway's calls: how many, by route and by status, and how many arrived within any
//! one minute; and, where a limit per minute is set, whether a call is admitted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde::Serialize;

use crate::gateway::{Gateway, Named, PerGateway};

/// Time for which a call counts in a window, in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// The calls of all gateways since the start, or since the counts were last reset.
#[derive(Debug)]
pub(crate) struct Calls {
    start: Instant,
    logs: PerGateway<Log>,
}

/// A call's place in a limit per minute: the calls that remain now, and the time until the oldest call that
/// counts no longer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimit {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// In seconds, rounded up.
    pub(crate) resets_in: u64,
    pub(crate) admitted: bool,
}

/// One gateway's counts, as `GET /_sandbox/calls` lists them; the crate's README says what they are.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Counts {
    total: u64,
    by_route: BTreeMap<&'static str, u64>,
    by_status: BTreeMap<u16, u64>,
    unanswered: u64,
    most_in_a_minute: u64,
}

#[derive(Debug, Default)]
struct Log {
    counts: Counts,
    arrived: Window,
    /// The calls that count against the limit: those admitted while one was set.
    admitted: Window,
}

impl Calls {
    pub(crate) fn new(gateways: &[Gateway]) -> Self {
        Self {
            start: Instant::now(),
            logs: PerGateway::new(gateways),
        }
    }

    /// Counts a call that was read, and returns its place in the limit unless `limit` is 0.
    pub(crate) fn arrive(
        &self,
        gateway: Gateway,
        route: &'static str,
        limit: u32,
    ) -> Option<RateLimit> {
        let mut log = self.logs.lock(gateway);
        // Under the lock, so that the time does not go back from one call to the next.
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        log.arrived.add(now);
        let in_a_minute = log.arrived.count;
        let counts = &mut log.counts;
        counts.total += 1;
        *counts.by_route.entry(route).or_default() += 1;
        counts.most_in_a_minute = counts.most_in_a_minute.max(in_a_minute);
        (limit > 0).then(|| log.admit(now, limit))
    }

    /// Counts a reply with this status.
    pub(crate) fn replied(&self, gateway: Gateway, status: u16) {
        let mut log = self.logs.lock(gateway);
        *log.counts.by_status.entry(status).or_default() += 1;
    }

    /// Counts a call that stays without a reply.
    pub(crate) fn unanswered(&self, gateway: Gateway) {
        self.logs.lock(gateway).counts.unanswered += 1;
    }

    /// Starts a new minute of the limit.
    pub(crate) fn reset_limit(&self, gateway: Gateway) {
        self.logs.lock(gateway).admitted = Window::default();
    }

    /// Resets all counts. Limits continue.
    pub(crate) fn reset_counts(&self) {
        self.logs.list(|log| {
            log.counts = Counts::default();
            log.arrived = Window::default();
        });
    }

    /// Returns the counts of all gateways.
    pub(crate) fn list(&self) -> Vec<Named<Counts>> {
        self.logs.list(|log| log.counts.clone())
    }
}

impl Log {
    fn admit(&mut self, now: u64, limit: u32) -> RateLimit {
        self.admitted.advance(now);
        let admitted = self.admitted.count < u64::from(limit);
        if admitted {
            self.admitted.add(now);
        }
        let used = u32::try_from(self.admitted.count).unwrap_or(u32::MAX);
        RateLimit {
            limit,
            remaining: limit.saturating_sub(used),
            resets_in: self.admitted.until_one_leaves(now).div_ceil(1_000),
            admitted,
        }
    }
}

/// The calls of the last 60 seconds: a call at `t` counts until just before `t` + 60 s. Times are milliseconds
/// and never go back. The calls of one millisecond are one entry, so there are at most 60,000.
#[derive(Debug, Default)]
struct Window {
    by_millisecond: VecDeque<(u64, u64)>,
    /// Number of calls that counted when the window was last advanced.
    count: u64,
}

impl Window {
    fn add(&mut self, now: u64) {
        self.advance(now);
        match self.by_millisecond.back_mut() {
            Some((at, calls)) if *at == now => *calls += 1,
            _ => self.by_millisecond.push_back((now, 1)),
        }
        self.count += 1;
    }

    /// Drops the calls that no longer count.
    fn advance(&mut self, now: u64) {
        while let Some(&(at, calls)) = self.by_millisecond.front()
            && at + MINUTE_MS <= now
        {
            self.count -= calls;
            self.by_millisecond.pop_front();
        }
    }

    /// Returns the milliseconds from `now` until the oldest call no longer counts; 0 if none does.
    fn until_one_leaves(&self, now: u64) -> u64 {
        let oldest = self.by_millisecond.front();
        oldest.map_or(0, |(at, _)| (at + MINUTE_MS).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASHFREE: Gateway = Gateway("CASHFREE");
    const SETU: Gateway = Gateway("SETU");

    #[test]
    fn a_limit_holds_within_any_minute() {
        let mut log = Log::default();
        for (now, admitted, remaining, resets_in) in [
            (0, true, 1, 60),
            (10_000, true, 0, 50),
            (58_999, false, 0, 2),
            (59_999, false, 0, 1),
            (60_000, true, 0, 10),
            (69_999, false, 0, 1),
            (70_000, true, 0, 50),
            (130_000, true, 1, 60),
        ] {
            assert_eq!(
                log.admit(now, 2),
                RateLimit {
                    limit: 2,
                    remaining,
                    resets_in,
                    admitted,
                },
                "at {now}"
            );
        }
    }

    #[test]
    fn calls_are_counted_by_route_and_status_until_reset() {
        let calls = Calls::new(&[CASHFREE, SETU]);
        let admitted = |route| calls.arrive(SETU, route, 1).map(|limit| limit.admitted);
        assert_eq!(calls.arrive(SETU, "POST /a", 0), None);
        assert_eq!(admitted("POST /b"), Some(true));
        calls.arrive(SETU, "POST /a", 0);
        calls.replied(SETU, 200);
        calls.replied(SETU, 500);
        calls.unanswered(SETU);

        let counts = |gateway: Gateway| {
            let listed = calls.list();
            let mut listed = listed.iter();
            let named = listed.find(|named| named.gateway == gateway);
            named.unwrap().value.clone()
        };
        let (cashfree, setu) = (counts(CASHFREE), counts(SETU));
        assert_eq!((cashfree.total, cashfree.most_in_a_minute), (0, 0));
        assert_eq!((setu.total, setu.most_in_a_minute), (3, 3));
        assert_eq!(
            setu.by_route,
            BTreeMap::from([("POST /a", 2), ("POST /b", 1)])
        );
        assert_eq!(setu.by_status, BTreeMap::from([(200, 1), (500, 1)]));
        assert_eq!(setu.unanswered, 1);

        calls.reset_counts();
        let setu = counts(SETU);
        assert_eq!((setu.total, setu.most_in_a_minute), (0, 0));
        assert_eq!(admitted("POST /b"), Some(false), "the limit continues");
        calls.reset_limit(SETU);
        assert_eq!(admitted("POST /b"), Some(true));
    }

    #[test]
    fn a_window_counts_as_a_list_of_all_times_does() {
        let mut window = Window::default();
        let mut times: Vec<u64> = Vec::new();
        let mut now = 0;
        for step in 0..5_000_u64 {
            // Bursts, steady spells and gaps of up to two and a half minutes.
            now += match step % 97 {
                0 => 150_000 - (step % 7) * 20_000,
                1..=40 => 0,
                _ => (step * 7919) % 2_500,
            };
            window.add(now);
            times.push(now);
            let expected = times.iter().filter(|at| **at + MINUTE_MS > now).count();
            assert_eq!(window.count, expected as u64, "at {now}");
            let oldest = times.iter().find(|at| **at + MINUTE_MS > now);
            assert_eq!(
                Some(window.until_one_leaves(now)),
                oldest.map(|at| at + MINUTE_MS - now)
            );
        }
    }

    #[test]
    fn a_window_empties_with_time_alone() {
        let mut window = Window::default();
        window.advance(5);
        assert_eq!((window.count, window.until_one_leaves(5)), (0, 0));
        window.add(10);
        window.add(10);
        window.advance(60_009);
        assert_eq!((window.count, window.until_one_leaves(60_009)), (2, 1));
        window.advance(60_010);
        assert_eq!((window.count, window.until_one_leaves(60_010)), (0, 0));
    }
}
