//! The state of gateway accounts that workers share.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use khata_domain::circuit::CircuitState;
use khata_domain::{GatewayAccountId, PendingReason};
use khata_domain::{ValidationKey, ValidationState};
use khata_store::gateway_health::{
    GatewayKey, GatewayState, HealthChange, OutcomeCounts, ScoreKey, add_outcomes, delete_expired,
    forget_bookings, impaired, lock, of_merchant, record_changes, reset, scores, store_budgets,
    write_open_calls,
};
use khata_store::validations::{Postponement, Slot, postpone};
use uuid::Uuid;

use crate::rows::{LEASE, alter, claimed, current_state, due, merchant, take_due};
use khata_testing::Database;
use khata_testing::database::number;

const FRESH: Duration = Duration::from_mins(1);

fn gateway(connection: &mut PgConnection, name: &str) -> GatewayKey {
    GatewayKey {
        merchant: merchant(connection, name),
        account: GatewayAccountId::new(),
    }
}

fn failed(count: u32) -> HealthChange {
    HealthChange {
        failed: count,
        ..HealthChange::default()
    }
}

fn only(states: Vec<GatewayState>) -> GatewayState {
    assert_eq!(states.len(), 1);
    states.into_iter().next().unwrap()
}

#[test]
fn changes_of_two_workers_add_up() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    let key = gateway(&mut one, "local");
    let now = Utc::now();
    assert!(
        only(record_changes(&mut one, &[(key, failed(3))], now).unwrap())
            .circuit
            .is_closed()
    );
    assert!(impaired(&mut two).unwrap().is_empty());
    let open = only(record_changes(&mut two, &[(key, failed(3))], now).unwrap());
    assert!(!open.circuit.is_closed());
    let seen = only(impaired(&mut one).unwrap());
    assert_eq!((seen.key, seen.circuit.trips), (key, 1));
    assert!(matches!(seen.circuit.state(now), CircuitState::Open(_)));
    let later = now + TimeDelta::seconds(30);
    let served = HealthChange {
        served: 1,
        ..HealthChange::default()
    };
    record_changes(&mut one, &[(key, served)], later).unwrap();
    assert!(impaired(&mut two).unwrap().is_empty());
}

#[test]
fn a_shorter_pause_does_not_end_a_longer_one() {
    let database = Database::new();
    let mut connection = database.connect();
    let key = gateway(&mut connection, "local");
    let now = Utc::now();
    let pause = |seconds| HealthChange {
        paused_until: Some(now + TimeDelta::seconds(seconds)),
        ..HealthChange::default()
    };
    record_changes(&mut connection, &[(key, pause(60))], now).unwrap();
    let state = only(record_changes(&mut connection, &[(key, pause(5))], now).unwrap());
    let until = |time: Option<DateTime<Utc>>| time.unwrap().timestamp_millis();
    assert_eq!(until(state.paused_until), until(pause(60).paused_until));
    assert_eq!(only(impaired(&mut connection).unwrap()).key, key);
    let other = gateway(&mut connection, "other");
    record_changes(&mut connection, &[(other, pause(-1))], now).unwrap();
    assert_eq!(only(impaired(&mut connection).unwrap()).key, key);
}

#[test]
fn a_configuration_error_keeps_its_first_time_until_it_ends() {
    let database = Database::new();
    let mut connection = database.connect();
    let key = gateway(&mut connection, "local");
    let refused = |code: Option<&str>| HealthChange {
        misconfigured: Some(code.map(str::to_owned)),
        ..HealthChange::default()
    };
    let began = Utc::now();
    record_changes(&mut connection, &[(key, refused(Some("http_401")))], began).unwrap();
    let later = began + TimeDelta::minutes(5);
    record_changes(
        &mut connection,
        &[(key, refused(Some("insufficient_balance")))],
        later,
    )
    .unwrap();
    let found = only(of_merchant(&mut connection, key.merchant).unwrap())
        .misconfigured
        .unwrap();
    assert_eq!(found.code, "insufficient_balance");
    assert_eq!(found.since.timestamp_millis(), began.timestamp_millis());
    record_changes(&mut connection, &[(key, failed(1))], later).unwrap();
    assert!(
        only(of_merchant(&mut connection, key.merchant).unwrap())
            .misconfigured
            .is_some()
    );
    record_changes(&mut connection, &[(key, refused(None))], later).unwrap();
    assert!(
        only(of_merchant(&mut connection, key.merchant).unwrap())
            .misconfigured
            .is_none()
    );
}

#[test]
fn a_locked_state_counts_open_calls_of_other_running_workers() {
    let database = Database::new();
    let mut connection = database.connect();
    let key = gateway(&mut connection, "local");
    let (me, other, dead) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    write_open_calls(&mut connection, me, &[(key, 1)]).unwrap();
    write_open_calls(&mut connection, other, &[(key, 7)]).unwrap();
    write_open_calls(&mut connection, other, &[(key, 2)]).unwrap();
    write_open_calls(&mut connection, dead, &[(key, 4)]).unwrap();
    diesel::sql_query(
        "update gateway_calls_in_hand set written_at = now() - interval '2 hours' where calls = 4",
    )
    .execute(&mut connection)
    .unwrap();
    let state = only(lock(&mut connection, &[key], me, FRESH).unwrap());
    assert_eq!(state.open_calls, 2);
    assert_eq!(state.budget(1).in_hand, 3);
    assert_eq!(
        delete_expired(&mut connection, 10).unwrap(),
        1,
        "the dead worker's"
    );
}

#[test]
fn a_budget_used_by_one_worker_is_used_for_all() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    let (a, b) = (gateway(&mut one, "a"), gateway(&mut one, "b"));
    let me = Uuid::new_v4();
    let taken = Utc::now() + TimeDelta::seconds(40);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        one.transaction::<_, diesel::result::Error, _>(|connection| {
            let states = lock(connection, &[a, b], me, FRESH)?;
            scope.spawn(move || {
                // In the other order: the second transaction waits, and there is no deadlock.
                let states = two.transaction(|two| lock(two, &[b, a], Uuid::new_v4(), FRESH));
                sender.send(states.unwrap()).unwrap();
            });
            std::thread::sleep(Duration::from_millis(200));
            assert!(receiver.try_recv().is_err(), "the rows are locked");
            let mut budget = states[0].budget(0);
            budget.next_call_at = Some(taken);
            store_budgets(connection, &[(states[0].key, budget)])?;
            Ok(states[0].key)
        })
        .map(|key| {
            let states = receiver.recv_timeout(Duration::from_secs(5)).unwrap();
            let state = states.iter().find(|state| state.key == key).unwrap();
            let next = state.next_call_at.unwrap();
            assert_eq!(next.timestamp_millis(), taken.timestamp_millis());
        })
        .unwrap();
    });
}

#[test]
fn scores_are_separate_by_bank_and_by_merchant() {
    let database = Database::new();
    let mut connection = database.connect();
    let (mine, theirs) = (
        gateway(&mut connection, "mine"),
        gateway(&mut connection, "theirs"),
    );
    let outcomes = |conclusive, failed, latency_ms| OutcomeCounts {
        conclusive,
        failed,
        latency_ms,
    };
    let at = |gateway, bank: &str| ScoreKey {
        gateway,
        bank: bank.to_owned(),
    };
    let now = Utc::now();
    for _ in 0..2 {
        let news = [
            (at(mine, "HDFC"), outcomes(3, 1, Some(200.0))),
            (at(theirs, "HDFC"), outcomes(0, 9, None)),
            (at(mine, "@okhdfcbank"), outcomes(1, 0, None)),
        ];
        add_outcomes(&mut connection, &news, now).unwrap();
    }
    let scores = scores(&mut connection, mine.merchant).unwrap();
    let mine = &scores[&mine.account];
    assert_eq!(scores.len(), 1);
    let hdfc = mine["HDFC"];
    assert!(
        (hdfc.conclusive - 6.0).abs() < 1e-6 && (hdfc.failed - 2.0).abs() < 1e-6,
        "{hdfc:?}"
    );
    assert_eq!(hdfc.latency_ms, Some(200.0));
    assert_eq!(mine["@okhdfcbank"].latency_ms, None);
}

#[test]
fn a_reset_clears_the_state_of_a_gateway_account() {
    let database = Database::new();
    let mut connection = database.connect();
    let (key, other) = (
        gateway(&mut connection, "local"),
        gateway(&mut connection, "other"),
    );
    let now = Utc::now();
    let pause = now + TimeDelta::minutes(5);
    let news = HealthChange {
        failed: 9,
        paused_until: Some(pause),
        misconfigured: Some(Some("http_401".into())),
        ..HealthChange::default()
    };
    record_changes(&mut connection, &[(key, news.clone()), (other, news)], now).unwrap();
    let booked = now + TimeDelta::minutes(3);
    let mut budget = only(of_merchant(&mut connection, key.merchant).unwrap()).budget(0);
    budget.next_call_at = Some(booked);
    budget.circuit.probed_at = Some(now);
    store_budgets(&mut connection, &[(key, budget)]).unwrap();

    reset(&mut connection, key).unwrap();
    let state = only(of_merchant(&mut connection, key.merchant).unwrap());
    assert!(state.circuit.is_closed() && state.misconfigured.is_none());
    assert_eq!((state.circuit.trips, state.circuit.probed_at), (0, None));
    assert!(state.circuit.served + state.circuit.failed < 1e-9);
    let millis = |time: Option<DateTime<Utc>>| time.unwrap().timestamp_millis();
    assert_eq!(millis(state.paused_until), pause.timestamp_millis());
    assert_eq!(
        millis(state.next_call_at),
        booked.timestamp_millis(),
        "under the same limit what is booked stays so"
    );
    let theirs = only(of_merchant(&mut connection, other.merchant).unwrap());
    assert!(!theirs.circuit.is_closed() && theirs.misconfigured.is_some());
    // A gateway account without calls has nothing to reset.
    let new = gateway(&mut connection, "new");
    reset(&mut connection, new).unwrap();
    assert_eq!(forget_bookings(&mut connection, new), Ok(0));
}

/// A validation that waits for a call at this gateway account, booked for an hour later.
fn booked(connection: &mut PgConnection, gateway: GatewayKey) -> ValidationKey {
    let key = due(connection, gateway.merchant, 1)[0];
    let slot = Slot {
        gateway_account: gateway.account,
        at: Utc::now() + TimeDelta::hours(1),
    };
    let waits = Postponement {
        key,
        delay: Duration::from_hours(1),
        reason: PendingReason::RateLimited,
        slot: Some(slot),
        queue: None,
    };
    postpone(connection, &[waits]).unwrap();
    key
}

#[test]
fn calls_booked_under_an_old_limit_are_planned_again() {
    let database = Database::new();
    let mut connection = database.connect();
    let key = gateway(&mut connection, "local");
    let elsewhere = GatewayKey {
        account: GatewayAccountId::new(),
        ..key
    };
    let mut state = only(lock(&mut connection, &[key], Uuid::nil(), FRESH).unwrap());
    state.next_call_at = Some(Utc::now() + TimeDelta::hours(1));
    store_budgets(&mut connection, &[(key, state.budget(0))]).unwrap();
    let (here, there) = (
        booked(&mut connection, key),
        booked(&mut connection, elsewhere),
    );
    let done = connection
        .transaction(|connection| forget_bookings(connection, key))
        .unwrap();
    assert_eq!(done, 1);
    let state = only(of_merchant(&mut connection, key.merchant).unwrap());
    assert_eq!(state.next_call_at, None);
    let soon = Utc::now() + TimeDelta::seconds(10);
    assert!(
        current_state(&mut connection, here).due_at < soon,
        "not in an hour"
    );
    alter(&mut connection, here, "due_at = now()");
    let wakeup = take_due(&mut connection, 10, false, LEASE).unwrap();
    assert_eq!(wakeup.len(), 1, "the other one is not due");
    assert_eq!(
        (wakeup[0].key, wakeup[0].was),
        (here, ValidationState::Waiting)
    );
    let (_, mine) = claimed(&mut connection, here);
    assert_eq!(mine.slot, None, "it books again");
    assert_eq!(current_state(&mut connection, there).state, "WAITING");
    let slots = "select count(*) from validations where slot_at is not null";
    assert_eq!(number(&mut connection, slots), 1, "the other one's");
}

#[test]
fn two_connections_of_a_worker_write_open_calls_in_any_order() {
    let database = Database::new();
    let mut connection = database.connect();
    let mut keys: Vec<_> = ["one", "two", "three"]
        .map(|name| (gateway(&mut connection, name), 1))
        .to_vec();
    let worker = Uuid::new_v4();
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            keys.reverse();
            let (keys, barrier, mut connection) = (keys.clone(), &barrier, database.connect());
            scope.spawn(move || {
                for _ in 0..200 {
                    barrier.wait();
                    write_open_calls(&mut connection, worker, &keys).unwrap();
                }
            });
        }
    });
    let written = "select count(*) from gateway_calls_in_hand";
    assert_eq!(number(&mut connection, written), 3);
}
