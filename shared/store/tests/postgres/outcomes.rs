//! Outcomes of awaited validations are notified to listeners, after the commit.

use chrono::TimeDelta;
use diesel::prelude::*;
use khata_domain::ValidationId;
use khata_domain::ValidationKey;
use khata_store::accounts::of_validations;
use khata_store::outcomes::{listen, received, subscribe};
use khata_store::validations::settle;

use crate::rows::{alter, claimed, due, later, merchant, settled, settlement, valid};
use khata_testing::Database;

const AWAITED: &str = "awaited_until = now() + interval '1 min'";

fn notified(connection: &mut PgConnection) -> Vec<ValidationId> {
    // A notification reaches the client with the result of its next statement, if not before.
    diesel::sql_query("select 1").execute(connection).unwrap();
    received(connection).unwrap()
}

#[test]
fn only_awaited_outcomes_are_notified_and_only_final_ones() {
    let database = Database::new();
    let (mut connection, mut listener) = (database.connect(), database.connect());
    let merchant = merchant(&mut connection, "local");
    listen(&mut listener).unwrap();
    let keys = due(&mut connection, merchant, 4);
    let [awaited, unawaited, waits_on, too_late] = keys[..] else {
        panic!()
    };
    alter(&mut connection, awaited, AWAITED);
    alter(&mut connection, waits_on, AWAITED);
    alter(
        &mut connection,
        too_late,
        "awaited_until = now() - interval '1 s'",
    );
    let end = |key: ValidationKey| {
        if key == waits_on {
            later(true)
        } else {
            valid()
        }
    };
    for key in keys {
        let (token, _) = claimed(&mut connection, key);
        settle(&mut connection, &[settlement(key, token, end(key))]).unwrap();
    }
    assert_eq!(notified(&mut listener), [awaited.id]);
    assert!(notified(&mut listener).is_empty(), "once");
    assert!(
        notified(&mut connection).is_empty(),
        "a connection that does not listen"
    );
    let all = [awaited, unawaited, waits_on];
    let finished = of_validations(&mut connection, &all, true).unwrap();
    let finished: Vec<_> = finished
        .iter()
        .map(|(key, row)| (*key, row.status.as_str()))
        .collect();
    assert_eq!(finished.len(), 2);
    assert!(finished.contains(&(awaited, "ACTIVE")) && finished.contains(&(unawaited, "ACTIVE")));
    assert_eq!(
        of_validations(&mut connection, &all, false).unwrap().len(),
        3
    );
}

#[test]
fn a_rolled_back_outcome_is_not_notified() {
    let database = Database::new();
    let (mut connection, mut listener) = (database.connect(), database.connect());
    let merchant = merchant(&mut connection, "local");
    listen(&mut listener).unwrap();
    let key = due(&mut connection, merchant, 1)[0];
    alter(&mut connection, key, AWAITED);
    let (token, _) = claimed(&mut connection, key);
    let undone: QueryResult<()> = connection.transaction(|connection| {
        assert_eq!(
            settled(connection, &[settlement(key, token, valid())]),
            [key]
        );
        Err(diesel::result::Error::RollbackTransaction)
    });
    assert!(undone.is_err());
    assert!(notified(&mut listener).is_empty());
}

#[test]
fn a_thousand_outcomes_of_one_settlement_are_all_notified() {
    let database = Database::new();
    let (mut connection, mut listener) = (database.connect(), database.connect());
    let merchant = merchant(&mut connection, "local");
    listen(&mut listener).unwrap();
    let keys = due(&mut connection, merchant, 1_000);
    let joined = subscribe(&mut connection, &keys, TimeDelta::minutes(1)).unwrap();
    assert_eq!(joined.len(), keys.len());
    let settlements: Vec<_> = keys
        .iter()
        .map(|key| {
            let (token, _) = claimed(&mut connection, *key);
            settlement(*key, token, valid())
        })
        .collect();
    settle(&mut connection, &settlements).unwrap();
    let mut outcomes = notified(&mut listener);
    outcomes.sort_unstable();
    let mut wanted: Vec<_> = keys.iter().map(|key| key.id).collect();
    wanted.sort_unstable();
    assert_eq!(outcomes, wanted);
}

#[test]
fn subscribing_neither_waits_nor_shortens_other_waits() {
    let database = Database::new();
    let (mut connection, mut other) = (database.connect(), database.connect());
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 3);
    let [free, held, finished] = keys[..] else {
        panic!()
    };
    let (token, _) = claimed(&mut connection, finished);
    settle(&mut connection, &[settlement(finished, token, valid())]).unwrap();
    let late = TimeDelta::minutes(5);
    assert_eq!(subscribe(&mut connection, &[free], late).unwrap(), [free]);
    connection
        .transaction(|connection| {
            alter(connection, held, "attempts = attempts");
            let wait = TimeDelta::minutes(1);
            assert_eq!(subscribe(&mut other, &keys, wait)?, [free]);
            QueryResult::Ok(())
        })
        .unwrap();
    let kept: bool = diesel::select(diesel::dsl::sql::<diesel::sql_types::Bool>(
        "exists (select from validations where awaited_until > now() + interval '4 min')",
    ))
    .get_result(&mut connection)
    .unwrap();
    assert!(kept, "the longest wait decides");
}
