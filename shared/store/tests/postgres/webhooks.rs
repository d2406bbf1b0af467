//! Webhook endpoints and the deliveries of events to them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_domain::MerchantId;
use khata_domain::events::{
    DeliveryState, DisabledBy, EndpointId, EndpointKey, EventName, Payload,
};
use khata_store::database_metrics;
use khata_store::webhooks::{
    self, Attempted, Change, DeliveryFilter, NewEndpoint, ReplayFilter, StartedDelivery, Wanted,
};
use uuid::Uuid;

use crate::rows::{claimed, due, endpoint, invalid, merchant, settlement, valid};
use khata_store::validations::settle as settle_validations;
use khata_testing::Database;
use khata_testing::database::number;

const LEASE: Duration = Duration::from_secs(15);

struct Bench {
    connection: PgConnection,
    merchant: MerchantId,
    worker: Uuid,
    _database: Database,
}

fn wanted(endpoint: EndpointKey, calls: i64) -> Wanted {
    Wanted {
        endpoint,
        calls,
        due_from: None,
    }
}

fn bench() -> Bench {
    let database = Database::new();
    let mut connection = database.connect();
    Bench {
        merchant: merchant(&mut connection, "local"),
        connection,
        worker: Uuid::new_v4(),
        _database: database,
    }
}

impl Bench {
    fn endpoint(&mut self, event_names: &[EventName], is_ordered: bool) -> EndpointKey {
        endpoint(&mut self.connection, self.merchant, event_names, is_ordered)
    }

    fn own(&mut self) -> Vec<EndpointKey> {
        let mut owned = webhooks::acquire(&mut self.connection, self.worker, LEASE, 100).unwrap();
        owned.sort_unstable();
        owned
    }

    fn claim(&mut self, endpoint: EndpointKey, calls: i64) -> Vec<StartedDelivery> {
        self.claim_from(endpoint, calls, None)
    }

    fn claim_from(
        &mut self,
        endpoint: EndpointKey,
        calls: i64,
        due_from: Option<DateTime<Utc>>,
    ) -> Vec<StartedDelivery> {
        let wanted = Wanted {
            due_from,
            ..wanted(endpoint, calls)
        };
        let mut started = webhooks::claim(&mut self.connection, self.worker, &[wanted]).unwrap();
        started.sort_unstable_by_key(|started| (started.key.subject, started.key.version));
        started
    }

    fn settle(
        &mut self,
        started: &StartedDelivery,
        state: DeliveryState,
        failure: Option<&'static str>,
    ) -> bool {
        let result = Attempted {
            key: started.key,
            event: started.event,
            number: started.number,
            state,
            delay: Duration::from_secs(5),
            failure,
            status: Some(if failure.is_some() { 500 } else { 200 }),
            latency_ms: 12,
            sealed_reply: None,
            sealed_body: failure.map(|_| b"body".to_vec()),
            to_account_url: (failure != Some(webhooks::NO_BODY)).then_some(false),
            concerns_endpoint: failure != Some(webhooks::NO_BODY),
        };
        !webhooks::settle(&mut self.connection, &[result])
            .unwrap()
            .is_empty()
    }

    /// Creates accounts and validates them: two events each.
    fn validated(&mut self, count: usize) {
        for key in due(&mut self.connection, self.merchant, count) {
            let (token, _) = claimed(&mut self.connection, key);
            settle_validations(&mut self.connection, &[settlement(key, token, valid())]).unwrap();
        }
    }

    fn count(&mut self, query: &str) -> i64 {
        number(&mut self.connection, query)
    }
}

#[test]
fn an_event_is_delivered_to_the_endpoints_that_want_it() {
    let mut bench = bench();
    let all = bench.endpoint(&[], true);
    let outcomes = bench.endpoint(&[EventName::Active, EventName::Failure], true);
    let off = bench.endpoint(&[], true);
    webhooks::disable(&mut bench.connection, off, DisabledBy::Merchant)
        .unwrap()
        .unwrap();
    // The merchant's other endpoint gets an event.
    assert_eq!(bench.count("select count(*) from webhook_deliveries"), 1);
    bench
        .connection
        .batch_execute("delete from webhook_deliveries")
        .unwrap();
    bench.validated(3);
    let of = |endpoint: EndpointKey| {
        format!(
            "select count(*) from webhook_deliveries where endpoint_id = '{}'",
            endpoint.id.0
        )
    };
    assert_eq!(bench.count(&of(all)), 6);
    assert_eq!(bench.count(&of(outcomes)), 3);
    assert_eq!(bench.count(&of(off)), 0);
}

#[test]
fn one_worker_owns_an_endpoint_until_it_stops_renewing() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[], true);
    assert_eq!(bench.own(), [], "nothing is due");
    bench.validated(1);
    assert_eq!(bench.own(), [endpoint]);
    assert_eq!(bench.own(), [], "it has an owner");
    let renewed = webhooks::renew(&mut bench.connection, bench.worker, &[endpoint], LEASE).unwrap();
    assert_eq!(
        (renewed.len(), renewed[0].key, renewed[0].is_enabled),
        (1, endpoint, true)
    );
    let other = Uuid::new_v4();
    let (worker, connection) = (bench.worker, &mut bench.connection);
    let wanted = [wanted(endpoint, 9)];
    assert!(
        webhooks::claim(connection, other, &wanted)
            .unwrap()
            .is_empty()
    );
    assert!(
        webhooks::renew(connection, other, &[endpoint], LEASE)
            .unwrap()
            .is_empty()
    );
    connection
        .batch_execute("update webhook_endpoints set owned_until = now() - interval '1 s'")
        .unwrap();
    assert!(
        webhooks::claim(connection, worker, &wanted)
            .unwrap()
            .is_empty(),
        "the ownership has ended"
    );
    assert_eq!(
        webhooks::acquire(connection, other, LEASE, 9).unwrap(),
        [endpoint]
    );
    assert!(
        webhooks::renew(connection, worker, &[endpoint], LEASE)
            .unwrap()
            .is_empty()
    );
    webhooks::release(connection, worker, &[endpoint]).unwrap();
    assert_eq!(
        webhooks::claim(connection, other, &wanted).unwrap().len(),
        1,
        "only an owner gives up"
    );
    webhooks::release(connection, other, &[endpoint]).unwrap();
    assert_eq!(
        webhooks::acquire(connection, worker, LEASE, 9).unwrap(),
        [endpoint]
    );
}

#[test]
fn the_events_of_an_account_follow_each_other() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[], true);
    bench.validated(3);
    bench.own();
    let first = bench.claim(endpoint, 10);
    assert_eq!(
        first
            .iter()
            .map(|started| started.key.version)
            .collect::<Vec<_>>(),
        [1, 1, 1]
    );
    assert_eq!(
        first
            .iter()
            .map(|started| started.number)
            .collect::<Vec<_>>(),
        [1, 1, 1]
    );
    assert!(
        bench.claim(endpoint, 10).is_empty(),
        "each second event waits for the first"
    );
    assert!(bench.settle(&first[0], DeliveryState::Delivered, None));
    assert!(bench.settle(&first[1], DeliveryState::Open, Some("status")));
    assert!(bench.settle(&first[2], DeliveryState::GivenUp, Some("status")));
    let second = bench.claim(endpoint, 10);
    let subjects: Vec<_> = second
        .iter()
        .map(|started| (started.key.subject, started.key.version))
        .collect();
    assert_eq!(
        subjects,
        [(first[0].key.subject, 2), (first[2].key.subject, 2)]
    );
    // The one behind the failed delivery waits as long, so that later claims do not read it.
    let waiting = "select count(*) from webhook_deliveries where state = 'OPEN' and due_at > now()";
    assert_eq!(bench.count(waiting), 2);
    bench.connection.batch_execute("update webhook_deliveries set due_at = now() where state = 'OPEN' and started_at is null").unwrap();
    let repeated = bench.claim(endpoint, 10);
    assert_eq!(repeated.len(), 1);
    let repeated = &repeated[0];
    assert_eq!(
        (repeated.number, repeated.failures, repeated.is_repeated),
        (2, 1, false)
    );
    assert_eq!(
        repeated.sealed_body.as_deref(),
        Some(&b"body"[..]),
        "the same bytes again"
    );
    assert!(bench.settle(repeated, DeliveryState::Delivered, None));
    assert_eq!(bench.claim(endpoint, 10).len(), 1);
    assert_eq!(bench.count("select count(*) from webhook_attempts"), 2);
}

#[test]
fn an_unordered_endpoint_gets_all_events_at_once() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[], false);
    bench.validated(2);
    bench.own();
    assert_eq!(bench.claim(endpoint, 10).len(), 4);
}

#[test]
fn a_claim_takes_no_more_than_the_endpoint_can_call() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[], true);
    let other = bench.endpoint(&[EventName::Created], true);
    due(&mut bench.connection, bench.merchant, 9);
    assert_eq!(bench.own().len(), 2);
    let wanted = [wanted(endpoint, 4), wanted(other, 2)];
    let started = webhooks::claim(&mut bench.connection, bench.worker, &wanted).unwrap();
    let of = |endpoint: EndpointKey| {
        started
            .iter()
            .filter(|started| started.key.endpoint() == endpoint)
            .count()
    };
    assert_eq!((of(endpoint), of(other)), (4, 2));
    assert_eq!(bench.claim(endpoint, 4).len(), 4);
    assert_eq!(bench.claim(endpoint, 4).len(), 1);
    assert_eq!(bench.claim(endpoint, 4).len(), 0);
}

#[test]
fn a_claim_says_from_where_the_next_one_may_look() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[], true);
    // Of each account the first event was due 20 s ago, and the second one 10 s ago.
    bench.validated(2);
    // A time that Postgres stores without loss.
    let now = DateTime::from_timestamp_micros(Utc::now().timestamp_micros()).unwrap();
    let due_at = |version: i32| now - TimeDelta::seconds(10) * (3 - version);
    for version in [1, 2] {
        let update = format!(
            "update webhook_deliveries set due_at = '{}' where version = {version}",
            due_at(version).to_rfc3339()
        );
        bench.connection.batch_execute(&update).unwrap();
    }
    bench.own();
    let first = bench.claim(endpoint, 1).remove(0);
    assert_eq!(first.due_from, Some(due_at(1)), "it was the first itself");
    let second = bench.claim_from(endpoint, 1, first.due_from).remove(0);
    assert_eq!(second.due_from, Some(due_at(1)));
    for started in [&first, &second] {
        assert!(bench.settle(started, DeliveryState::Delivered, None));
    }
    // The next events of the same accounts are not left out.
    let third = bench.claim_from(endpoint, 1, second.due_from).remove(0);
    assert_eq!(third.due_from, Some(due_at(2)));
    assert_eq!(bench.claim_from(endpoint, 1, Some(Utc::now())).len(), 0);
    let last = bench.claim_from(endpoint, 1, third.due_from).remove(0);
    assert_ne!(last.key.subject, third.key.subject);
    // A transaction that began before may write another one.
    bench.settle(&third, DeliveryState::Delivered, None);
    bench.settle(&last, DeliveryState::Delivered, None);
    bench.validated(1);
    let new = bench.claim_from(endpoint, 1, last.due_from).remove(0);
    let reaches_back = new.started_at - new.due_from.unwrap();
    assert!(reaches_back >= TimeDelta::seconds(5), "{reaches_back}");
}

#[test]
fn a_lost_attempt_is_repeated_and_its_late_result_counts_only_if_it_delivered() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[EventName::Created], true);
    due(&mut bench.connection, bench.merchant, 2);
    bench.own();
    let first = bench.claim(endpoint, 10);
    assert_eq!(first.len(), 2);
    bench
        .connection
        .batch_execute("update webhook_deliveries set started_at = now() - interval '46 s', due_at = due_at - interval '46 s'")
        .unwrap();
    let second = bench.claim(endpoint, 10);
    assert_eq!(second.len(), 2);
    assert!(
        second
            .iter()
            .all(|started| started.is_repeated && started.number == 2)
    );
    assert!(
        !bench.settle(&first[0], DeliveryState::Open, Some("timeout")),
        "another attempt has begun"
    );
    assert!(bench.settle(&first[1], DeliveryState::Delivered, None));
    assert!(
        !bench.settle(&second[1], DeliveryState::Open, Some("status")),
        "it is delivered"
    );
    assert!(bench.settle(&second[0], DeliveryState::Delivered, None));
    assert_eq!(
        bench.count("select count(*) from webhook_deliveries where state = 'DELIVERED'"),
        2
    );
}

#[test]
fn an_endpoint_is_disabled_after_five_days_without_a_success() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[EventName::Created], true);
    let other = bench.endpoint(&[EventName::EndpointDisabled], true);
    due(&mut bench.connection, bench.merchant, 3);
    bench.own();
    let started = bench.claim(endpoint, 3);
    bench.settle(&started[0], DeliveryState::Open, Some("status"));
    let since = "select count(*) from webhook_endpoints where failing_since is not null";
    assert_eq!(bench.count(since), 1);
    let mut set = |interval: &str| {
        let set = format!(
            "update webhook_endpoints set failing_since = now() - interval '{interval}' where failing_since is not null"
        );
        bench.connection.batch_execute(&set).unwrap();
        webhooks::failing(&mut bench.connection, 10).unwrap()
    };
    assert_eq!(set("119 h 59 min"), []);
    assert_eq!(set("120 h 1 min"), [endpoint]);
    bench.settle(&started[1], DeliveryState::Delivered, None);
    assert_eq!(bench.count(since), 0);
    assert_eq!(webhooks::failing(&mut bench.connection, 10).unwrap(), []);
    // A call has succeeded since the endpoint was found to fail.
    let disabled = webhooks::disable(&mut bench.connection, endpoint, DisabledBy::Failing);
    assert!(disabled.unwrap().is_none());
    bench.settle(&started[2], DeliveryState::Open, Some("status"));
    let long_ago = "update webhook_endpoints set failing_since = now() - interval '121 h' where failing_since is not null";
    bench.connection.batch_execute(long_ago).unwrap();
    let disabled = webhooks::disable(&mut bench.connection, endpoint, DisabledBy::Failing)
        .unwrap()
        .unwrap();
    assert_eq!(
        (disabled.disabled_by, disabled.version),
        (Some(DisabledBy::Failing), 2)
    );
    assert!(
        webhooks::disable(&mut bench.connection, endpoint, DisabledBy::Failing)
            .unwrap()
            .is_none()
    );
    let alerts = database_metrics::disabled_endpoints(&mut bench.connection, 10).unwrap();
    let found: Vec<_> = alerts.iter().map(|row| (row.id, row.disabled_by)).collect();
    assert_eq!(found, [(endpoint.id, DisabledBy::Failing)]);
    for (disabled, found) in [
        ("disabled_at = now() - interval '25 h'", 0),
        ("disabled_at = now(), disabled_by = 'MERCHANT'", 0),
        ("disabled_by = 'GONE'", 1),
    ] {
        let set = format!("update webhook_endpoints set {disabled} where disabled_at is not null");
        bench.connection.batch_execute(&set).unwrap();
        let alerts = database_metrics::disabled_endpoints(&mut bench.connection, 10);
        assert_eq!(alerts.unwrap().len(), found, "{disabled}");
    }
    assert!(bench.claim(endpoint, 3).is_empty(), "no more calls");
    let told = format!(
        "select count(*) from webhook_deliveries where endpoint_id = '{}'",
        other.id.0
    );
    assert_eq!(bench.count(&told), 1);
    // Open deliveries continue, and a replay makes those of the time between.
    due(&mut bench.connection, bench.merchant, 1);
    assert!(
        webhooks::enable(&mut bench.connection, endpoint)
            .unwrap()
            .is_some()
    );
    let filter = ReplayFilter {
        endpoint: Some(endpoint.id),
        undelivered_only: true,
        ..ReplayFilter::default()
    };
    let replayed = webhooks::replay(
        &mut bench.connection,
        bench.merchant,
        &filter,
        None,
        100,
        false,
    )
    .unwrap();
    // One is missing, and two wait for their next attempt.
    assert_eq!(replayed.deliveries, 3);
}

#[test]
fn a_replay_opens_deliveries_again_and_makes_missing_ones() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[], true);
    bench.validated(2);
    let late = bench.endpoint(&[EventName::Active], true);
    bench.own();
    let started = bench.claim(endpoint, 10);
    for started in &started {
        bench.settle(started, DeliveryState::Delivered, None);
    }
    let (connection, merchant) = (&mut bench.connection, bench.merchant);
    let all = ReplayFilter::default();
    let dry = webhooks::replay(connection, merchant, &all, None, 100, true).unwrap();
    // Two are delivered, two still open; the late endpoint misses two.
    assert_eq!(dry.deliveries, 4);
    assert_eq!(
        number(connection, "select count(*) from webhook_deliveries"),
        4,
        "only counted"
    );
    let undelivered = ReplayFilter {
        undelivered_only: true,
        ..ReplayFilter::default()
    };
    assert_eq!(
        webhooks::replay(connection, merchant, &undelivered, None, 100, true)
            .unwrap()
            .deliveries,
        2
    );
    let one = ReplayFilter {
        event: Some(started[0].event),
        ..ReplayFilter::default()
    };
    let replayed = webhooks::replay(connection, merchant, &one, None, 100, false).unwrap();
    assert_eq!(
        (replayed.deliveries, replayed.last),
        (1, Some(started[0].event))
    );
    assert_eq!(
        webhooks::replay(connection, merchant, &all, None, 100, false)
            .unwrap()
            .deliveries,
        3
    );
    assert_eq!(
        webhooks::replay(connection, merchant, &all, replayed.last, 1, false)
            .unwrap()
            .deliveries,
        0
    );
    assert!(webhooks::acquire(connection, bench.worker, LEASE, 10).unwrap() == [late]);
    let again = bench.claim(endpoint, 10);
    let again = again
        .iter()
        .find(|again| again.event == started[0].event)
        .unwrap();
    assert_eq!((again.number, again.failures), (2, 0));
    let elsewhere = merchant_named(&mut bench.connection);
    assert_eq!(
        webhooks::replay(&mut bench.connection, elsewhere, &all, None, 100, false)
            .unwrap()
            .deliveries,
        0
    );
}

fn merchant_named(connection: &mut PgConnection) -> MerchantId {
    merchant(connection, "elsewhere")
}

#[test]
fn the_history_of_a_delivery_lists_each_attempt() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[EventName::Failure], true);
    let key = due(&mut bench.connection, bench.merchant, 1)[0];
    let (token, _) = claimed(&mut bench.connection, key);
    settle_validations(&mut bench.connection, &[settlement(key, token, invalid())]).unwrap();
    bench.own();
    // The second attempt makes no call.
    for failure in ["status", webhooks::NO_BODY] {
        let started = bench.claim(endpoint, 1).remove(0);
        bench.settle(&started, DeliveryState::Open, Some(failure));
        bench
            .connection
            .batch_execute("update webhook_deliveries set due_at = now()")
            .unwrap();
        let called = "select count(*) from webhook_deliveries where to_account_url = false";
        assert_eq!(bench.count(called), 1, "by the first attempt");
    }
    let started = bench.claim(endpoint, 1).remove(0);
    bench.settle(&started, DeliveryState::Delivered, None);
    let filter = DeliveryFilter {
        endpoint: Some(endpoint.id),
        ..DeliveryFilter::default()
    };
    let rows =
        webhooks::deliveries(&mut bench.connection, bench.merchant, filter, None, 10).unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(
        (row.state, row.attempts, row.status, row.event_name),
        (DeliveryState::Delivered, 3, Some(200), EventName::Failure)
    );
    let attempts = webhooks::attempts(&mut bench.connection, row.key).unwrap();
    let urls: Vec<_> = attempts
        .iter()
        .map(|attempt| attempt.to_account_url)
        .collect();
    assert_eq!(urls, [Some(false), None]);
    assert_eq!(
        (
            attempts[0].number,
            attempts[0].status,
            attempts[0].failure.as_str()
        ),
        (1, Some(500), "status")
    );
    let open = DeliveryFilter {
        state: Some(DeliveryState::Open),
        ..filter
    };
    assert!(
        webhooks::deliveries(&mut bench.connection, bench.merchant, open, None, 10)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn settings_change_for_the_version_that_was_read() {
    let mut bench = bench();
    let endpoint = bench.endpoint(&[], true);
    let change = Change {
        concurrency: Some(9),
        calls_per_second: Some(Some(5)),
        ..Change::default()
    };
    let changed = webhooks::change(&mut bench.connection, endpoint, 1, &change)
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            changed.concurrency,
            changed.calls_per_second,
            changed.version
        ),
        (9, Some(5), 2)
    );
    assert_eq!(changed.url, "https://shop.example/hooks");
    assert!(
        webhooks::change(&mut bench.connection, endpoint, 1, &change)
            .unwrap()
            .is_none()
    );
    let other = merchant_named(&mut bench.connection);
    let of_other = EndpointKey {
        merchant: other,
        id: endpoint.id,
    };
    assert!(
        webhooks::change(&mut bench.connection, of_other, 2, &change)
            .unwrap()
            .is_none()
    );
    assert!(
        webhooks::find(&mut bench.connection, of_other)
            .unwrap()
            .is_none()
    );
    assert!(!webhooks::delete(&mut bench.connection, of_other).unwrap());
    assert!(webhooks::delete(&mut bench.connection, endpoint).unwrap());
    assert!(
        webhooks::find(&mut bench.connection, endpoint)
            .unwrap()
            .is_none()
    );
    assert!(
        webhooks::all(&mut bench.connection, None)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_merchant_has_a_limited_number_of_endpoints() {
    let mut bench = bench();
    let new = |url| NewEndpoint {
        id: EndpointId::new(),
        url,
        sealed_settings: b"sealed",
        event_names: &[],
        payload: Payload::Thin,
        is_ordered: true,
        concurrency: 1,
        calls_per_second: None,
        allows_url_per_account: false,
    };
    for _ in 0..2 {
        assert!(
            webhooks::insert(
                &mut bench.connection,
                bench.merchant,
                &new("https://a.example"),
                2
            )
            .unwrap()
            .is_some()
        );
    }
    assert!(
        webhooks::insert(
            &mut bench.connection,
            bench.merchant,
            &new("https://a.example"),
            2
        )
        .unwrap()
        .is_none()
    );
}

#[test]
fn a_test_event_goes_to_its_endpoint_alone() {
    let mut bench = bench();
    let (endpoint, _) = (
        bench.endpoint(&[EventName::Active], true),
        bench.endpoint(&[], true),
    );
    let event = webhooks::test(&mut bench.connection, endpoint)
        .unwrap()
        .unwrap();
    assert_eq!(
        (event.name, event.subject_id),
        (EventName::EndpointTest, endpoint.id.0)
    );
    assert_eq!(bench.own(), [endpoint]);
    assert_eq!(bench.claim(endpoint, 5)[0].event, event.id);
}
