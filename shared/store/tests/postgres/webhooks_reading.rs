//! Deliveries are read by their keys, also by statements that Postgres planned while the tables were empty: it keeps such plans until
//! it has statistics.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_domain::MerchantId;
use khata_domain::events::{DeliveryState, EndpointId, EndpointKey, EventId};
use khata_store::webhooks::{
    self, Attempted, DeliveryFilter, DeliveryKey, DeliveryRow, ReplayFilter, Wanted,
};
use uuid::Uuid;

use crate::rows::{due, endpoint, merchant, plan_as_a_lane, rows_read};
use khata_testing::Database;

/// Accounts of the merchant; each has one event, which two endpoints get.
const ACCOUNTS: usize = 400;
const LEASE: Duration = Duration::from_secs(15);

fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    filter: DeliveryFilter,
) -> Vec<DeliveryRow> {
    webhooks::deliveries(connection, merchant, filter, None, 20).unwrap()
}

/// Replays the first 100 events; returns the number of deliveries.
fn replay(connection: &mut PgConnection, merchant: MerchantId, dry_run: bool) -> i64 {
    let all = ReplayFilter::default();
    let replayed = webhooks::replay(connection, merchant, &all, None, 100, dry_run);
    replayed.unwrap().deliveries
}

#[test]
fn lists_and_replays_read_the_deliveries_of_their_events() {
    let database = Database::new();
    let mut connection = database.connect();
    connection
        .batch_execute("set plan_cache_mode = force_generic_plan")
        .unwrap();
    let merchant = merchant(&mut connection, "local");
    let newest = DeliveryFilter::default();
    assert!(list(&mut connection, merchant, newest).is_empty());
    assert_eq!(replay(&mut connection, merchant, true), 0);
    for _ in 0..2 {
        endpoint(&mut connection, merchant, &[], true);
    }
    due(&mut connection, merchant, ACCOUNTS);

    let (page, rows) = rows_read(&mut connection, |connection| {
        list(connection, merchant, newest)
    });
    assert_eq!(page.len(), 20);
    assert!(rows < 200, "{rows} rows read for a page of 20");
    let of_event = DeliveryFilter {
        event: Some(page[0].event_id),
        ..newest
    };
    let (page, rows) = rows_read(&mut connection, |connection| {
        list(connection, merchant, of_event)
    });
    assert_eq!(page.len(), 2);
    assert!(rows < 30, "{rows} rows read for an event");
    // None is found, so that each delivery is read.
    let given_up = DeliveryFilter {
        state: Some(DeliveryState::GivenUp),
        ..newest
    };
    let (page, rows) = rows_read(&mut connection, |connection| {
        list(connection, merchant, given_up)
    });
    assert_eq!(page.len(), 0);
    assert!(rows < 2_500, "{rows} rows read of {ACCOUNTS} events");

    connection
        .batch_execute("update webhook_deliveries set state = 'DELIVERED', delivered_at = now()")
        .unwrap();
    for dry_run in [true, false] {
        let (deliveries, rows) = rows_read(&mut connection, |connection| {
            replay(connection, merchant, dry_run)
        });
        assert_eq!(deliveries, 200);
        assert!(rows < 1_500, "{rows} rows read for a replay of 100 events");
    }
}

fn delivered(key: DeliveryKey, event: EventId, number: i16) -> Attempted {
    Attempted {
        key,
        event,
        number,
        state: DeliveryState::Delivered,
        delay: Duration::ZERO,
        failure: None,
        status: Some(200),
        latency_ms: 12,
        sealed_reply: None,
        sealed_body: None,
        to_account_url: Some(false),
        concerns_endpoint: true,
    }
}

/// Claims 25 deliveries of each endpoint and settles them, as the worker's lane does; returns the number of claimed and of settled
/// ones.
fn claim_and_settle(
    connection: &mut PgConnection,
    worker: Uuid,
    endpoints: &[EndpointKey],
    or_else: Attempted,
) -> (usize, usize) {
    webhooks::acquire(connection, worker, LEASE, 10).unwrap();
    webhooks::renew(connection, worker, endpoints, LEASE).unwrap();
    webhooks::owned(connection, endpoints).unwrap();
    webhooks::next_due(connection, endpoints).unwrap();
    let wanted = endpoints.iter().map(|endpoint| Wanted {
        endpoint: *endpoint,
        calls: 25,
        due_from: None,
    });
    let wanted: Vec<_> = wanted.collect();
    let started = webhooks::claim(connection, worker, &wanted).unwrap();
    let mut results: Vec<_> = started
        .iter()
        .map(|one| delivered(one.key, one.event, one.number))
        .collect();
    if results.is_empty() {
        results.push(or_else);
    }
    let settled = webhooks::settle(connection, &results).unwrap();
    (started.len(), settled.len())
}

#[test]
fn claims_and_settlements_read_few_deliveries_beside_their_own() {
    let database = Database::new();
    let mut connection = database.connect();
    plan_as_a_lane(&mut connection);
    let (merchant, worker) = (merchant(&mut connection, "local"), Uuid::new_v4());
    let unknown = DeliveryKey {
        merchant,
        endpoint: EndpointId::new(),
        subject: Uuid::now_v7(),
        version: 1,
    };
    let unknown = delivered(unknown, EventId::new(), 1);
    let nobody = [unknown.key.endpoint()];
    let none = claim_and_settle(&mut connection, worker, &nobody, unknown.clone());
    assert_eq!(none, (0, 0));
    let endpoints =
        [true, false].map(|is_ordered| endpoint(&mut connection, merchant, &[], is_ordered));
    due(&mut connection, merchant, ACCOUNTS);
    for _ in 0..3 {
        let (ended, rows) = rows_read(&mut connection, |connection| {
            claim_and_settle(connection, worker, &endpoints, unknown.clone())
        });
        assert_eq!(ended, (50, 50));
        assert!(rows < 1_500, "{rows} rows read for 50 deliveries");
    }
}
