//! Claiming: each due validation once, by one worker; and the rows of attempts.

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use diesel::prelude::*;
use diesel::result::Error;
use khata_domain::ValidationKey;
use khata_domain::plan::CallAgain;
use khata_domain::validation::AttemptState;
use khata_domain::{Class, MerchantId, ValidationId};
use khata_store::gateway_webhooks::stored;
use khata_store::validations::{
    Claimed, NewAttempt, accepted, attempts, claim, give_up_attempts, insert_attempts, reusable,
    settle, start_attempts,
};

use crate::rows::{
    LEASE, TRACE, alter, alter_account, attempt, call, claimed, create, current_state, due, later,
    merchant, plan_as_a_lane, provenance, report, rows_read, settlement, token, valid,
};
use khata_testing::Database;
use khata_testing::database::number;

#[test]
fn only_due_validations_are_claimed() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 4);
    let (waiting_token, _) = claimed(&mut connection, keys[1]);
    let (completed_token, _) = claimed(&mut connection, keys[2]);
    settle(
        &mut connection,
        &[
            settlement(keys[1], waiting_token, later(false)),
            settlement(keys[2], completed_token, valid()),
        ],
    )
    .unwrap();
    let (held, _) = claimed(&mut connection, keys[3]);

    let mine = token();
    let mut wanted = keys.clone();
    wanted.push(ValidationKey {
        merchant,
        id: ValidationId::new(),
    });
    let rows = claim(&mut connection, &wanted, mine, LEASE).unwrap();
    let found: Vec<_> = rows.iter().map(|row| row.key).collect();
    assert_eq!(
        found,
        [keys[0]],
        "not what waits, is completed, is held or does not exist"
    );
    let due = current_state(&mut connection, keys[0]);
    assert_eq!(
        (due.state.as_str(), due.lease_token),
        ("LEASED", Some(mine.0))
    );
    assert_eq!(
        current_state(&mut connection, keys[3]).lease_token,
        Some(held.0)
    );
    assert_eq!(current_state(&mut connection, keys[2]).state, "COMPLETED");
    let until = "select count(*) from validations where leased_until between now() + interval '1 s' and now() + interval '60 s'";
    assert_eq!(number(&mut connection, until), 2);
}

#[test]
fn statements_planned_on_empty_tables_read_each_row_by_its_key() {
    let database = Database::new();
    let mut connection = database.connect();
    plan_as_a_lane(&mut connection);
    let merchant = merchant(&mut connection, "local");
    // What a worker reads beside the claimed rows.
    let related = |connection: &mut PgConnection, claimed: &[Claimed]| {
        let keys: Vec<_> = claimed.iter().map(|one| one.key).collect();
        let reused: Vec<_> = keys.iter().map(|key| (*key, 3_600)).collect();
        let accounts: Vec<_> = claimed.iter().map(|one| (one.key, one.account)).collect();
        stored(connection, &keys).unwrap();
        reusable(connection, &reused).unwrap();
        accepted(connection, &accounts).unwrap();
        attempts(connection, &keys).unwrap().len()
    };
    let first = due(&mut connection, merchant, 1);
    let (held, first_claimed) = claimed(&mut connection, first[0]);
    assert_eq!(related(&mut connection, &[first_claimed]), 0);
    settle(&mut connection, &[settlement(first[0], held, valid())]).unwrap();

    let keys = due(&mut connection, merchant, 300);
    let new: Vec<_> = keys.iter().map(|key| attempt(*key, 1)).collect();
    insert_attempts(&mut connection, &new).unwrap();
    let mine = token();
    let settlements: Vec<_> = keys
        .iter()
        .map(|key| settlement(*key, mine, valid()))
        .collect();
    let (claimed, rows) = rows_read(&mut connection, |connection| {
        claim(connection, &keys, mine, LEASE).unwrap()
    });
    assert_eq!(claimed.len(), 300);
    assert!(rows < 10 * 300, "{rows} rows read to claim");
    let (found, rows) = rows_read(&mut connection, |connection| related(connection, &claimed));
    assert_eq!(found, 300);
    assert!(rows < 10 * 300, "{rows} rows read beside the claims");
    let (ended, rows) = rows_read(&mut connection, |connection| {
        settle(connection, &settlements).unwrap()
    });
    assert_eq!(ended.len(), 300);
    assert!(rows < 10 * 300, "{rows} rows read to settle");
}

#[test]
fn a_claim_requires_the_validations_merchant() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let two = merchant(&mut connection, "two");
    let id = due(&mut connection, one, 1)[0].id;
    let wrong = ValidationKey { merchant: two, id };
    assert!(
        claim(&mut connection, &[wrong], token(), LEASE)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_claim_returns_the_account_of_the_validation() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let mut create_call = call(merchant, "customer_1122", &["a"]);
    create_call.pin.gateway_id = Some(70);
    create_call.pin.reference_id = Some("main".into());
    create_call.routing_id = Some("route-7".into());
    create_call.terms.consent =
        Some(r#"{"obtained":true,"purpose":"payout","timestamp":"2026-11-22T00:00:00Z"}"#.into());
    create(&mut connection, std::slice::from_ref(&create_call));
    let key = ValidationKey {
        merchant,
        id: create_call.accounts[0].validation,
    };
    let (_, row) = claimed(&mut connection, key);
    assert_eq!(row.key, key);
    assert_eq!(row.account, create_call.accounts[0].id);
    assert_eq!(row.sealed_details, b"a");
    assert_eq!(row.pin(), create_call.pin);
    assert_eq!(row.trace_parent.as_deref(), Some(TRACE));
    assert_eq!(row.consent().unwrap().purpose, "payout");
    assert_eq!(row.deadline_at, row.created_at + create_call.terms.deadline);
    assert!(!row.account_is_deleted());
    assert_eq!(row.routing_id(), "route-7");
}

#[test]
fn a_claim_shows_a_deleted_account() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let key = due(&mut connection, merchant, 1)[0];
    alter_account(
        &mut connection,
        key,
        "status = 'DELETED', deleted_at = now()",
    );
    let (_, row) = claimed(&mut connection, key);
    assert!(row.account_is_deleted());
}

#[test]
fn a_claim_that_is_rolled_back_claims_nothing() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let key = due(&mut connection, merchant, 1)[0];
    let rolled_back: Result<(), Error> = connection.transaction(|connection| {
        assert_eq!(claim(connection, &[key], token(), LEASE)?.len(), 1);
        Err(Error::RollbackTransaction)
    });
    assert!(rolled_back.is_err());
    assert_eq!(current_state(&mut connection, key).state, "DUE");
    claimed(&mut connection, key);
}

#[test]
fn concurrent_claims_give_each_validation_one_holder() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    for round in 0..6 {
        let keys = due(&mut connection, merchant, 120);
        let barrier = Barrier::new(4);
        let claims: Vec<Vec<ValidationKey>> = thread::scope(|scope| {
            let claiming: Vec<_> = (0..4)
                .map(|claimer| {
                    let (barrier, keys, mut connection) = (&barrier, &keys, database.connect());
                    scope.spawn(move || {
                        let mut wanted = keys.clone();
                        wanted.rotate_left(claimer * 30);
                        if claimer % 2 == 1 {
                            wanted.reverse();
                        }
                        barrier.wait();
                        // In parts, so that the claims overlap.
                        wanted
                            .chunks(20)
                            .flat_map(|part| claim(&mut connection, part, token(), LEASE).unwrap())
                            .map(|row| row.key)
                            .collect()
                    })
                })
                .collect();
            claiming
                .into_iter()
                .map(|one| one.join().unwrap())
                .collect()
        });
        let all = claims.concat();
        let distinct: HashSet<_> = all.iter().copied().collect();
        assert_eq!(all.len(), distinct.len(), "round {round}: none twice");
        assert_eq!(
            distinct,
            keys.into_iter().collect(),
            "round {round}: all of them"
        );
    }
}

fn written(connection: &mut PgConnection, merchant: MerchantId) -> (ValidationKey, NewAttempt) {
    let key = due(connection, merchant, 1)[0];
    let new = attempt(key, 1);
    insert_attempts(connection, std::slice::from_ref(&new)).unwrap();
    (key, new)
}

#[test]
fn attempts_are_read_as_they_were_written_in_order_of_number() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let (key, first) = written(&mut connection, merchant);
    let (other, _) = written(&mut connection, merchant);
    let bare = due(&mut connection, merchant, 1)[0];
    let third = NewAttempt {
        possible_double_drop: true,
        ..attempt(key, 3)
    };
    insert_attempts(&mut connection, &[third, attempt(key, 2)]).unwrap();
    insert_attempts(&mut connection, &[]).unwrap();

    let found = attempts(&mut connection, &[key, other, bare]).unwrap();
    assert_eq!(found.len(), 2, "none for the one that has none");
    let numbers: Vec<i16> = found[&key].iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let row = &found[&key][0];
    assert_eq!(row.gateway_account, first.gateway_account);
    assert_eq!(
        (row.gateway_id, row.method),
        (first.gateway_id, first.method)
    );
    assert_eq!(row.reference, first.reference);
    assert_eq!(
        (row.state, row.class, row.polls),
        (AttemptState::Started, None, 0)
    );
    let flagged = "select number from validation_attempts where possible_double_drop";
    assert_eq!(number(&mut connection, flagged), 3);
    assert!(attempts(&mut connection, &[]).unwrap().is_empty());
}

#[test]
fn a_call_that_is_made_again_starts_its_attempt_again() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let (key, _) = written(&mut connection, merchant);
    let (other, _) = written(&mut connection, merchant);
    let not_found = "update validation_attempts set state = 'UNKNOWN', code = 'not_received',
        started_at = started_at - interval '2 minutes'";
    diesel::sql_query(not_found)
        .execute(&mut connection)
        .unwrap();
    let again = CallAgain {
        number: 1,
        is_further_drop: false,
    };
    start_attempts(&mut connection, &[], &[(key, again)]).unwrap();
    let found = attempts(&mut connection, &[key, other]).unwrap();
    let (row, untouched) = (&found[&key][0], &found[&other][0]);
    assert_eq!(
        (row.state, row.code.as_deref()),
        (AttemptState::Started, None)
    );
    assert!(row.sent_at - row.started_at > chrono::TimeDelta::seconds(110));
    assert_eq!(untouched.code.as_deref(), Some("not_received"));
    assert_eq!(untouched.sent_at, untouched.started_at);
    // A settled attempt stays as it is.
    give_up_attempts(&mut connection, &[(key, 1), (other, 1)]).unwrap();
    start_attempts(&mut connection, &[], &[(key, again), (other, again)]).unwrap();
    let found = attempts(&mut connection, &[key, other]).unwrap();
    let code = |key| found[&key][0].code.as_deref();
    assert_eq!(
        (code(key), code(other)),
        (Some("answer_lost"), Some("not_received"))
    );
}

#[test]
fn an_attempt_number_is_unique() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let (key, _) = written(&mut connection, merchant);
    assert!(insert_attempts(&mut connection, &[attempt(key, 1)]).is_err());
}

#[test]
fn giving_up_an_attempt_settles_it_as_lost() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let (key, _) = written(&mut connection, merchant);
    let (other, _) = written(&mut connection, merchant);
    insert_attempts(&mut connection, &[attempt(key, 2)]).unwrap();
    give_up_attempts(&mut connection, &[]).unwrap();
    give_up_attempts(&mut connection, &[(key, 1)]).unwrap();
    let found = attempts(&mut connection, &[key, other]).unwrap();
    let lost = &found[&key][0];
    assert_eq!(
        (lost.state, lost.class, lost.code.as_deref()),
        (
            AttemptState::Settled,
            Some(Class::Retryable),
            Some("answer_lost")
        )
    );
    assert_eq!(found[&key][1].state, AttemptState::Started);
    assert_eq!(found[&other][0].state, AttemptState::Started);
}

#[test]
fn giving_up_does_not_change_a_settled_attempt() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let (key, _) = written(&mut connection, merchant);
    let (mine, _) = claimed(&mut connection, key);
    let mut change = settlement(key, mine, valid());
    change.provenance = Some(provenance());
    change.attempt = Some(report(AttemptState::Settled, Some(Class::Valid)));
    settle(&mut connection, &[change]).unwrap();
    alter(&mut connection, key, "trace_parent = null");
    give_up_attempts(&mut connection, &[(key, 1)]).unwrap();
    let found = attempts(&mut connection, &[key]).unwrap();
    assert_eq!(found[&key][0].class, Some(Class::Valid));
}
