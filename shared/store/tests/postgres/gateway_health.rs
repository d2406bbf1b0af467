//! What workers know together of gateway accounts.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use khata_domain::GatewayAccountId;
use khata_domain::ValidationKey;
use khata_domain::circuit::CircuitState;
use khata_store::gateway_health::{
    GatewayKey, HealthChange, Outcomes, ScoreKey, State, add_outcomes, forget, forget_bookings,
    lock, of_merchant, reset, scores, store_budgets, tell, troubled, write_in_hand,
};
use khata_store::validations::{Settlement, Slot, settle, take_due};
use uuid::Uuid;

use crate::rows::{LEASE, alter, claimed, due, later, merchant, settlement, stand};
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

fn only(states: Vec<State>) -> State {
    assert_eq!(states.len(), 1);
    states.into_iter().next().unwrap()
}

#[test]
fn what_two_workers_hear_adds_up_and_both_know_of_it() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    let key = gateway(&mut one, "local");
    let now = Utc::now();
    assert!(
        only(tell(&mut one, &[(key, failed(3))], now).unwrap())
            .circuit
            .is_closed()
    );
    assert!(troubled(&mut two).unwrap().is_empty());
    let open = only(tell(&mut two, &[(key, failed(3))], now).unwrap());
    assert!(!open.circuit.is_closed());
    let seen = only(troubled(&mut one).unwrap());
    assert_eq!((seen.key, seen.circuit.trips), (key, 1));
    assert!(matches!(seen.circuit.state(now), CircuitState::Open(_)));
    let later = now + TimeDelta::seconds(30);
    let served = HealthChange {
        served: 1,
        ..HealthChange::default()
    };
    tell(&mut one, &[(key, served)], later).unwrap();
    assert!(troubled(&mut two).unwrap().is_empty());
}

#[test]
fn a_pause_is_known_until_it_is_over_and_a_shorter_one_does_not_end_it() {
    let database = Database::new();
    let mut connection = database.connect();
    let key = gateway(&mut connection, "local");
    let now = Utc::now();
    let pause = |seconds| HealthChange {
        paused_until: Some(now + TimeDelta::seconds(seconds)),
        ..HealthChange::default()
    };
    tell(&mut connection, &[(key, pause(60))], now).unwrap();
    let state = only(tell(&mut connection, &[(key, pause(5))], now).unwrap());
    let until = |time: Option<DateTime<Utc>>| time.unwrap().timestamp_millis();
    assert_eq!(until(state.paused_until), until(pause(60).paused_until));
    assert_eq!(only(troubled(&mut connection).unwrap()).key, key);
    let other = gateway(&mut connection, "other");
    tell(&mut connection, &[(other, pause(-1))], now).unwrap();
    assert_eq!(only(troubled(&mut connection).unwrap()).key, key);
}

#[test]
fn why_a_gateway_refuses_us_is_kept_with_its_beginning_until_it_does_not() {
    let database = Database::new();
    let mut connection = database.connect();
    let key = gateway(&mut connection, "local");
    let refused = |code: Option<&str>| HealthChange {
        misconfigured: Some(code.map(str::to_owned)),
        ..HealthChange::default()
    };
    let began = Utc::now();
    tell(&mut connection, &[(key, refused(Some("http_401")))], began).unwrap();
    let later = began + TimeDelta::minutes(5);
    tell(
        &mut connection,
        &[(key, refused(Some("insufficient_balance")))],
        later,
    )
    .unwrap();
    let (code, since) = only(of_merchant(&mut connection, key.merchant).unwrap())
        .misconfigured
        .unwrap();
    assert_eq!(code, "insufficient_balance");
    assert_eq!(since.timestamp_millis(), began.timestamp_millis());
    tell(&mut connection, &[(key, failed(1))], later).unwrap();
    assert!(
        only(of_merchant(&mut connection, key.merchant).unwrap())
            .misconfigured
            .is_some()
    );
    tell(&mut connection, &[(key, refused(None))], later).unwrap();
    assert!(
        only(of_merchant(&mut connection, key.merchant).unwrap())
            .misconfigured
            .is_none()
    );
}

#[test]
fn a_locked_state_shows_what_other_workers_have_in_hand_unless_they_are_dead() {
    let database = Database::new();
    let mut connection = database.connect();
    let key = gateway(&mut connection, "local");
    let (me, other, dead) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    write_in_hand(&mut connection, me, &[(key, 1)]).unwrap();
    write_in_hand(&mut connection, other, &[(key, 7)]).unwrap();
    write_in_hand(&mut connection, other, &[(key, 2)]).unwrap();
    write_in_hand(&mut connection, dead, &[(key, 4)]).unwrap();
    diesel::sql_query(
        "update gateway_calls_in_hand set written_at = now() - interval '2 hours' where calls = 4",
    )
    .execute(&mut connection)
    .unwrap();
    let state = only(lock(&mut connection, &[key], me, FRESH).unwrap());
    assert_eq!(state.in_hand, 2);
    assert_eq!(state.budget(1).in_hand, 3);
    assert_eq!(forget(&mut connection, 10).unwrap(), 1, "the dead worker's");
}

#[test]
fn what_one_worker_takes_the_next_one_finds_taken() {
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
                // In the other order: whoever comes second waits, and nobody waits for ever.
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
fn scores_are_kept_by_bank_and_apart_for_each_merchant() {
    let database = Database::new();
    let mut connection = database.connect();
    let (mine, theirs) = (
        gateway(&mut connection, "mine"),
        gateway(&mut connection, "theirs"),
    );
    let outcomes = |told, failed, latency_ms| Outcomes {
        told,
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
        (hdfc.told - 6.0).abs() < 1e-6 && (hdfc.failed - 2.0).abs() < 1e-6,
        "{hdfc:?}"
    );
    assert_eq!(hdfc.latency_ms, Some(200.0));
    assert_eq!(mine["@okhdfcbank"].latency_ms, None);
}

#[test]
fn a_gateway_account_that_is_set_up_anew_starts_over() {
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
    tell(&mut connection, &[(key, news.clone()), (other, news)], now).unwrap();
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
    // One that was never asked has nothing to forget.
    let new = gateway(&mut connection, "new");
    reset(&mut connection, new).unwrap();
    assert_eq!(forget_bookings(&mut connection, new), Ok(0));
}

/// A validation that waits for a call booked at this gateway account in an hour.
fn booked(connection: &mut PgConnection, gateway: GatewayKey) -> ValidationKey {
    let key = due(connection, gateway.merchant, 1)[0];
    let (token, _) = claimed(connection, key);
    let waits = Settlement {
        slot: Some(Slot {
            gateway_account: gateway.account,
            at: Utc::now() + TimeDelta::hours(1),
        }),
        delay: Duration::from_hours(1),
        ..settlement(key, token, later(false))
    };
    assert_eq!(settle(connection, &[waits]).unwrap(), [key]);
    key
}

#[test]
fn calls_booked_under_another_limit_are_planned_anew() {
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
    assert!(stand(&mut connection, here).due_at < soon, "not in an hour");
    alter(&mut connection, here, "due_at = now()");
    let wakeup = take_due(&mut connection, 10, false, LEASE).unwrap();
    assert_eq!(wakeup.len(), 1, "the other one is not due");
    assert_eq!((wakeup[0].key(), wakeup[0].was.as_str()), (here, "WAITING"));
    let (_, mine) = claimed(&mut connection, here);
    assert_eq!(mine.slot(), None, "it books anew");
    assert_eq!(stand(&mut connection, there).state, "WAITING");
    let slots = "select count(*) from validations where slot_at is not null";
    assert_eq!(number(&mut connection, slots), 1, "the other one's");
}
