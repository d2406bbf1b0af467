//! The scheduler takes every due validation, none before its time, and no row twice.

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use khata_domain::validation::MAX_FAILED_STEPS;
use khata_domain::{ValidationKey, ValidationState};
use khata_store::database_metrics::open_validations;
use khata_store::retry::{RetryResult, retry_now};
use khata_store::validations::settle;

use crate::rows::{
    TRACE, alter, claimed, current_state, due, later, merchant, settlement, take_due,
};
use khata_testing::Database;
use khata_testing::database::number;

const AGAIN: Duration = Duration::from_secs(15);
const AN_HOUR: Duration = Duration::from_hours(1);
const OVERDUE: &str = "due_at = now() - interval '1 s'";
const NOT_YET: &str = "due_at = now() + interval '1 hour'";

fn take(connection: &mut PgConnection, hold: bool) -> Vec<(ValidationKey, ValidationState)> {
    take_due(connection, 100, hold, AGAIN)
        .unwrap()
        .iter()
        .map(|row| (row.key, row.was))
        .collect()
}

#[test]
fn a_validation_becomes_due_after_its_wait() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 2);
    for key in &keys {
        let (token, _) = claimed(&mut connection, *key);
        settle(&mut connection, &[settlement(*key, token, later(true))]).unwrap();
    }
    assert!(
        take(&mut connection, false).is_empty(),
        "nothing before its time"
    );
    alter(&mut connection, keys[0], OVERDUE);
    assert_eq!(
        take(&mut connection, true),
        [(keys[0], ValidationState::Waiting)]
    );
    assert_eq!(current_state(&mut connection, keys[0]).state, "DUE");
    assert_eq!(current_state(&mut connection, keys[1]).state, "WAITING");
    let again = "select count(*) from validations where state = 'DUE'
        and due_at between now() + interval '1 s' and now() + interval '15 s'";
    assert_eq!(
        number(&mut connection, again),
        1,
        "due again later if this wake-up is lost"
    );
    assert!(take(&mut connection, false).is_empty());
    claimed(&mut connection, keys[0]);
}

#[test]
fn an_unclaimed_validation_is_taken_again_unless_the_queue_is_deep() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let key = due(&mut connection, merchant, 1)[0];
    alter(&mut connection, key, NOT_YET);
    assert!(
        take(&mut connection, false).is_empty(),
        "its wake-up has time"
    );
    alter(&mut connection, key, OVERDUE);
    assert!(take(&mut connection, true).is_empty(), "held back");
    assert_eq!(take(&mut connection, false), [(key, ValidationState::Due)]);
    assert!(take(&mut connection, false).is_empty());
}

#[test]
fn an_expired_lease_is_rescued_even_while_the_queue_is_deep() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 2);
    for key in &keys {
        claimed(&mut connection, *key);
        alter(&mut connection, *key, OVERDUE);
    }
    assert!(take(&mut connection, false).is_empty(), "the leases hold");
    alter(
        &mut connection,
        keys[0],
        "leased_until = now() - interval '1 ms'",
    );
    assert_eq!(
        take(&mut connection, true),
        [(keys[0], ValidationState::Leased)]
    );
    let rescued = current_state(&mut connection, keys[0]);
    assert_eq!((rescued.state.as_str(), rescued.lease_token), ("DUE", None));
    assert_eq!(current_state(&mut connection, keys[1]).state, "LEASED");
}

#[test]
fn a_validation_whose_steps_fail_each_time_is_set_aside_until_its_deadline() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let key = due(&mut connection, merchant, 1)[0];
    alter(
        &mut connection,
        key,
        "deadline_at = now() + interval '48 h'",
    );
    let fail = |connection: &mut PgConnection| {
        let claim = claimed(connection, key);
        alter(connection, key, OVERDUE);
        alter(connection, key, "leased_until = now() - interval '1 ms'");
        let taken = take_due(connection, 100, true, AGAIN).unwrap();
        assert_eq!(taken.len(), 1);
        (claim.1.failed_steps, taken[0].set_aside)
    };
    for step in 0..MAX_FAILED_STEPS - 1 {
        assert_eq!(fail(&mut connection), (step, false));
    }
    // A settlement shows that the steps work.
    let (token, claim) = claimed(&mut connection, key);
    assert_eq!(claim.failed_steps, MAX_FAILED_STEPS - 1);
    settle(&mut connection, &[settlement(key, token, later(true))]).unwrap();
    alter(&mut connection, key, OVERDUE);
    assert_eq!(take(&mut connection, true).len(), 1);
    for step in 0..MAX_FAILED_STEPS - 1 {
        assert_eq!(fail(&mut connection), (step, false));
    }
    assert_eq!(fail(&mut connection), (MAX_FAILED_STEPS - 1, true));
    assert_eq!(current_state(&mut connection, key).state, "WAITING");
    let waits = "select count(*) from validations
        where due_at between now() + interval '59 min' and now() + interval '1 hour' and deadline_at > due_at";
    assert_eq!(number(&mut connection, waits), 1);
    let rows = open_validations(&mut connection).unwrap();
    assert_eq!(rows[0].set_aside, 1);
    // An operator's retry resets the count.
    let retried = retry_now(&mut connection, key).unwrap();
    assert!(matches!(retried, Some(RetryResult::MadeDue { .. })));
    let rows = open_validations(&mut connection).unwrap();
    assert_eq!(rows[0].set_aside, 0);
    alter(
        &mut connection,
        key,
        &format!("failed_steps = {MAX_FAILED_STEPS}"),
    );
    // Once more in an hour, and then at the deadline.
    alter(&mut connection, key, OVERDUE);
    assert_eq!(
        take(&mut connection, true),
        [(key, ValidationState::Waiting)]
    );
    alter(&mut connection, key, "deadline_at = now()");
    assert_eq!(fail(&mut connection), (MAX_FAILED_STEPS, true));
    assert_eq!(
        take(&mut connection, true),
        [(key, ValidationState::Waiting)]
    );
}

#[test]
fn the_oldest_come_first_up_to_the_limit() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 6);
    for (seconds, key) in keys.iter().enumerate() {
        let set = format!("due_at = now() - {} * interval '1 s'", seconds + 1);
        alter(&mut connection, *key, &set);
    }
    let take = |connection: &mut PgConnection| -> HashSet<ValidationKey> {
        take_due(connection, 4, false, AGAIN)
            .unwrap()
            .iter()
            .map(|row| row.key)
            .collect()
    };
    assert_eq!(take(&mut connection), keys[2..].iter().copied().collect());
    assert_eq!(take(&mut connection), keys[..2].iter().copied().collect());
}

#[test]
fn a_validation_keeps_its_trace() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let key = due(&mut connection, merchant, 1)[0];
    for _ in 0..3 {
        let (token, row) = claimed(&mut connection, key);
        assert_eq!(row.trace_parent.as_deref(), Some(TRACE));
        settle(&mut connection, &[settlement(key, token, later(false))]).unwrap();
        alter(&mut connection, key, OVERDUE);
        let due = take_due(&mut connection, 1, false, AGAIN).unwrap();
        assert_eq!(due[0].trace_parent.as_deref(), Some(TRACE));
    }
}

#[test]
fn concurrent_schedulers_take_different_rows() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    for round in 0..4 {
        let keys = due(&mut connection, merchant, 200);
        let ids: Vec<String> = keys.iter().map(|key| format!("'{}'", key.id.0)).collect();
        let ids = ids.join(",");
        connection
            .batch_execute(&format!(
                "update validations set {OVERDUE} where id in ({ids})"
            ))
            .unwrap();
        let barrier = Barrier::new(4);
        let taken: Vec<Vec<ValidationKey>> = thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    let (barrier, mut connection) = (&barrier, database.connect());
                    scope.spawn(move || {
                        barrier.wait();
                        let mut mine = Vec::new();
                        loop {
                            let rows = take_due(&mut connection, 25, false, AN_HOUR).unwrap();
                            if rows.is_empty() {
                                return mine;
                            }
                            mine.extend(rows.iter().map(|row| row.key));
                            assert!(mine.len() <= 200, "a row comes again and again");
                        }
                    })
                })
                .collect();
            takers.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let all = taken.concat();
        let distinct: HashSet<_> = all.iter().copied().collect();
        assert_eq!(all.len(), distinct.len(), "round {round}: none twice");
        assert_eq!(
            distinct,
            keys.into_iter().collect(),
            "round {round}: none left"
        );
    }
}
