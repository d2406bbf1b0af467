use khata_domain::MerchantId;
use khata_domain::events::EndpointId;

use super::*;
use crate::deliveries::sender::tests::{endpoint, keyring};

/// Endpoints that this worker owns, at a time that the test moves.
struct Bench {
    endpoints: Endpoints,
    now: Instant,
    time: DateTime<Utc>,
}

impl Bench {
    fn new(concurrency: usize) -> Self {
        Self {
            endpoints: Endpoints::new(concurrency),
            now: Instant::now(),
            time: Utc::now(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.time += time;
    }

    /// Owns a new endpoint with these settings.
    fn own(&mut self, merchant: MerchantId, change: impl FnOnce(&mut Endpoint)) -> EndpointKey {
        let keyring = keyring();
        let id = EndpointId::new();
        let key = EndpointKey { merchant, id };
        let mut settings = endpoint(&keyring, key);
        change(&mut settings);
        let sender = EndpointSender::new(&settings, &keyring, true).unwrap();
        self.endpoints.own(key, self.now, self.time);
        self.endpoints
            .configure(&settings, Some(Arc::new(sender)), self.now);
        key
    }

    fn claims(&mut self) -> Result<Vec<Claim>, Option<Instant>> {
        self.endpoints.claims(self.now, self.time)
    }

    /// Claims, and finds as many deliveries as wanted; returns their number by endpoint.
    fn claim_all(&mut self) -> HashMap<EndpointKey, usize> {
        self.claim(usize::MAX)
    }

    /// Claims, and finds at most this many deliveries of each endpoint.
    fn claim(&mut self, found: usize) -> HashMap<EndpointKey, usize> {
        let claims = self.claims().unwrap_or_default();
        claims
            .iter()
            .map(|claim| {
                let calls = usize::try_from(claim.wanted.calls).unwrap().min(found);
                self.endpoints.claimed(claim, Some(calls), self.now);
                (claim.wanted.endpoint, calls)
            })
            .collect()
    }

    fn end(&mut self, endpoint: EndpointKey, is_success: bool) -> Option<CircuitChange> {
        let change = self.endpoints.called(endpoint, Some(is_success), self.time);
        self.settle(endpoint);
        change
    }

    /// Stores the result of a call that ended.
    fn settle(&mut self, endpoint: EndpointKey) {
        let settled = Settled {
            has_successor: false,
            is_stored: true,
        };
        self.endpoints.settled(endpoint, settled, self.now);
    }
}

fn merchant() -> MerchantId {
    MerchantId::new()
}

#[test]
fn a_slow_merchant_leaves_calls_to_the_others() {
    let mut bench = Bench::new(8);
    let slow = merchant();
    let (first, second) = (bench.own(slow, |_| {}), bench.own(slow, |_| {}));
    let claimed = bench.claim_all();
    assert_eq!(claimed[&first] + claimed[&second], 6, "three quarters");
    assert_eq!(claimed[&first], 3, "shared by its endpoints");
    assert!(bench.claims().is_err());
    let other = bench.own(merchant(), |_| {});
    assert_eq!(bench.claim_all(), HashMap::from([(other, 2)]));
    assert_eq!(bench.endpoints.free(), 0);
    // Calls that end go to the merchant with the fewest.
    bench.end(first, true);
    assert_eq!(bench.claim_all(), HashMap::from([(other, 1)]));
}

#[test]
fn a_slow_endpoint_leaves_calls_to_the_others_of_its_merchant() {
    let mut bench = Bench::new(16);
    let of = merchant();
    let slow = bench.own(of, |endpoint| endpoint.concurrency = 256);
    assert_eq!(bench.claim_all(), HashMap::from([(slow, 9)]));
    let other = bench.own(of, |_| {});
    assert_eq!(bench.claim_all(), HashMap::from([(other, 3)]));
}

#[test]
fn an_endpoint_gets_no_more_calls_at_once_than_its_concurrency() {
    let mut bench = Bench::new(128);
    let key = bench.own(merchant(), |endpoint| endpoint.concurrency = 4);
    assert_eq!(bench.claim_all(), HashMap::from([(key, 4)]));
    assert!(matches!(bench.claims(), Err(None)), "until a call ends");
    bench.end(key, true);
    assert_eq!(bench.claim_all(), HashMap::from([(key, 1)]));
}

#[test]
fn a_call_that_ended_makes_room_before_its_result_is_stored() {
    let mut bench = Bench::new(128);
    let key = bench.own(merchant(), |endpoint| endpoint.concurrency = 4);
    for _ in 0..2 {
        assert_eq!(bench.claim_all(), HashMap::from([(key, 4)]));
        for _ in 0..4 {
            bench.endpoints.called(key, Some(true), bench.time);
        }
    }
    assert!(bench.claims().is_err(), "eight results are not stored");
    bench.settle(key);
    assert_eq!(bench.claim_all(), HashMap::from([(key, 1)]));
}

#[test]
fn claims_scan_from_the_first_due_delivery_and_at_times_from_the_beginning() {
    let mut bench = Bench::new(128);
    let of = merchant();
    let key = bench.own(of, |_| {});
    let from = Some(bench.time);
    let claim = |bench: &mut Bench| {
        bench.endpoints.wake(&[of].into(), bench.now);
        let claims = bench.claims().unwrap();
        bench.endpoints.scan_from(key, from);
        bench.endpoints.claimed(&claims[0], Some(0), bench.now);
        claims[0].wanted.due_from
    };
    assert_eq!(claim(&mut bench), None, "of an earlier owner");
    assert_eq!(claim(&mut bench), from);
    bench.pass(Duration::from_secs(10));
    assert_eq!(claim(&mut bench), None);
    bench.pass(Duration::from_secs(35));
    assert_eq!(claim(&mut bench), None);
    bench.pass(Duration::from_secs(1));
    assert_eq!(claim(&mut bench), None, "attempts may be lost");
    assert_eq!(claim(&mut bench), from);
}

#[test]
fn a_claim_waits_until_something_is_due() {
    let mut bench = Bench::new(128);
    let of = merchant();
    let key = bench.own(of, |_| {});
    let claims = bench.claims().unwrap();
    assert!(bench.claims().is_err(), "one claim at a time");
    bench.endpoints.claimed(&claims[0], Some(1), bench.now);
    // Fewer than wanted: no more was due.
    assert!(bench.claims().is_err());
    let after = Duration::from_secs(5);
    bench.endpoints.set_due(&[(key, after)], bench.now);
    assert_eq!(bench.claims().err(), Some(Some(bench.now + after)));
    assert!(bench.endpoints.wake(&[of].into(), bench.now).is_empty());
    assert_eq!(bench.claim(0).len(), 1, "a signal claims at once");
    bench.endpoints.called(key, Some(true), bench.time);
    let settled = Settled {
        has_successor: true,
        is_stored: true,
    };
    bench.endpoints.settled(key, settled, bench.now);
    assert_eq!(
        bench.claim(1).len(),
        1,
        "and so does the next event of the account"
    );
    let stranger = merchant();
    assert_eq!(
        bench.endpoints.wake(&[stranger].into(), bench.now),
        [stranger]
    );
}

#[test]
fn attempts_of_an_earlier_owner_and_of_a_doubtful_claim_are_found_when_they_are_lost() {
    let mut bench = Bench::new(128);
    let key = bench.own(merchant(), |_| {});
    let lost = LOST_AFTER + LOST_MARGIN;
    bench.claim(0);
    assert_eq!(bench.claims().err(), Some(Some(bench.now + lost)));
    bench.pass(lost);
    assert_eq!(bench.claim(0).len(), 1);
    assert_eq!(bench.claims().err(), Some(None), "once");
    bench.endpoints.set_due(&[(key, Duration::ZERO)], bench.now);
    let claims = bench.claims().unwrap();
    bench.endpoints.claimed(&claims[0], None, bench.now);
    assert_eq!(bench.claims().err(), Some(Some(bench.now + CLAIM_RETRY)));
    let lost_at = bench.now + lost;
    bench.pass(CLAIM_RETRY);
    bench.claim(0);
    assert_eq!(bench.claims().err(), Some(Some(lost_at)));
}

#[test]
fn an_endpoint_that_fails_gets_test_calls_only() {
    let mut bench = Bench::new(128);
    let key = bench.own(merchant(), |_| {});
    let calls = bench.claim_all()[&key];
    let changes: Vec<_> = (0..calls).filter_map(|_| bench.end(key, false)).collect();
    let [CircuitChange::Opened(until)] = changes[..] else {
        panic!("{changes:?}")
    };
    let closed_for = (until - bench.time).to_std().unwrap();
    assert_eq!(bench.claims().err(), Some(Some(bench.now + closed_for)));
    assert_eq!(bench.endpoints.counts().open_circuits, 1);
    bench.pass(closed_for);
    assert_eq!(
        bench.claim_all(),
        HashMap::from([(key, 1)]),
        "one test call"
    );
    assert!(bench.claims().is_err());
    assert_eq!(bench.end(key, true), Some(CircuitChange::Closed));
    assert_eq!(bench.claim_all(), HashMap::from([(key, 32)]));
}

#[test]
fn an_endpoint_with_a_rate_waits_for_it() {
    let mut bench = Bench::new(128);
    let key = bench.own(merchant(), |endpoint| endpoint.calls_per_second = Some(2));
    assert_eq!(bench.claim_all(), HashMap::from([(key, 1)]));
    let Err(Some(next)) = bench.claims() else {
        panic!("a time")
    };
    assert!(next > bench.now && next < bench.now + Duration::from_secs(1));
    bench.pass(next - bench.now);
    assert_eq!(bench.claim_all(), HashMap::from([(key, 1)]));
}

#[test]
fn a_lost_endpoint_claims_nothing_and_its_calls_end() {
    let mut bench = Bench::new(128);
    let (lost, kept) = (bench.own(merchant(), |_| {}), bench.own(merchant(), |_| {}));
    bench.claim(2);
    let still = Owned {
        key: kept,
        version: 1,
        is_enabled: true,
    };
    let given_up = bench.endpoints.renewed(&[lost, kept], &[still]);
    assert_eq!(given_up, [lost]);
    bench
        .endpoints
        .set_due(&[(lost, Duration::ZERO)], bench.now);
    assert!(bench.claims().is_err());
    assert_eq!(bench.endpoints.owned(), [(kept, 1)]);
    assert_eq!(bench.endpoints.attempts(), 4);
    for _ in 0..2 {
        bench.end(lost, true);
        bench.end(kept, true);
    }
    assert_eq!(bench.endpoints.attempts(), 0);
    assert_eq!(bench.endpoints.all.len(), 1, "nothing is left of it");
}

#[test]
fn an_endpoint_is_given_up_when_it_is_disabled_or_quiet_for_a_minute() {
    let mut bench = Bench::new(128);
    let (quiet, busy) = (bench.own(merchant(), |_| {}), bench.own(merchant(), |_| {}));
    let disabled = bench.own(merchant(), |endpoint| {
        endpoint.disabled_at = Some(Utc::now());
    });
    let calls = bench.claim(1);
    assert!(!calls.contains_key(&disabled));
    assert_eq!(bench.endpoints.take_idle(bench.now), [disabled]);
    bench.end(quiet, true);
    bench.pass(LOST_AFTER + LOST_MARGIN);
    bench.claim(0);
    bench.pass(IDLE_TIME);
    // Its call is still in progress.
    assert_eq!(bench.endpoints.take_idle(bench.now), [quiet]);
    assert_eq!(bench.endpoints.take_all(), [busy]);
    assert_eq!(bench.endpoints.counts().owned, 0);
}

#[test]
fn an_endpoint_with_unusable_settings_gets_no_calls() {
    let mut bench = Bench::new(128);
    let key = bench.own(merchant(), |_| {});
    let settings = endpoint(&keyring(), key);
    bench.endpoints.configure(&settings, None, bench.now);
    assert!(bench.claims().is_err());
    let counts = bench.endpoints.counts();
    assert_eq!((counts.owned, counts.unreadable), (1, 1));
}
