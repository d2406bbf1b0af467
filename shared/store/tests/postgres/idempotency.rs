//! Records of idempotent calls: one carries out the call, the others are told what became of it.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use khata_domain::{AccountId, MerchantId};
use khata_store::idempotency::{
    Answer, AnswerForm, Before, IdempotentCall, Record, answer, begin, forget, insert,
};

use khata_testing::Database;
use khata_testing::database::number;

fn call(merchant: MerchantId, key: u8, request: u8) -> IdempotentCall {
    IdempotentCall {
        merchant,
        key_hash: [key; 32],
        request_hash: [request; 32],
    }
}

fn record(call: &IdempotentCall, answer: Answer) -> Record {
    Record {
        call: call.clone(),
        answer,
        expires_at: Utc::now() + TimeDelta::hours(24),
    }
}

fn known(body: &[u8]) -> Answer {
    Answer::Known {
        sealed: body.to_vec(),
    }
}

fn awaited(account: AccountId, until: DateTime<Utc>) -> Answer {
    Answer::Awaited {
        accounts: vec![account],
        form: AnswerForm::List,
        until,
    }
}

fn begin_one(connection: &mut PgConnection, call: &IdempotentCall) -> Before {
    connection
        .transaction(|connection| begin(connection, &[call]))
        .unwrap()
        .remove(0)
}

#[test]
fn one_of_two_at_the_same_moment_carries_it_out() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    let merchant = MerchantId::new();
    let asked = call(merchant, 1, 1);
    one.transaction(|one| {
        assert_eq!(begin(one, &[&asked])?, [Before::Nothing]);
        // It does not wait for the first: it is told.
        assert_eq!(begin_one(&mut two, &asked), Before::Running);
        assert_eq!(begin_one(&mut two, &call(merchant, 2, 1)), Before::Nothing);
        assert_eq!(
            begin_one(&mut two, &call(MerchantId::new(), 1, 1)),
            Before::Nothing
        );
        insert(one, &[record(&asked, known(b"first"))])?;
        assert_eq!(begin_one(&mut two, &asked), Before::Running);
        QueryResult::Ok(())
    })
    .unwrap();
    let sealed_answer = b"first".to_vec();
    assert_eq!(
        begin_one(&mut two, &asked),
        Before::Answered { sealed_answer }
    );
    assert_eq!(begin_one(&mut two, &call(merchant, 1, 9)), Before::Reused);
}

#[test]
fn what_was_rolled_back_was_never_begun() {
    let database = Database::new();
    let mut connection = database.connect();
    let asked = call(MerchantId::new(), 1, 1);
    let undone: QueryResult<()> = connection.transaction(|connection| {
        begin(connection, &[&asked])?;
        insert(connection, &[record(&asked, known(b"x"))])?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    assert!(undone.is_err());
    assert_eq!(begin_one(&mut connection, &asked), Before::Nothing);
}

#[test]
fn calls_of_one_batch_know_of_each_other() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = MerchantId::new();
    let calls = [
        call(merchant, 1, 1),
        call(merchant, 2, 1),
        call(merchant, 1, 1),
        call(merchant, 1, 2),
        call(MerchantId::new(), 1, 1),
    ];
    let before = connection
        .transaction(|connection| begin(connection, &calls.each_ref()))
        .unwrap();
    assert_eq!(
        before,
        [
            Before::Nothing,
            Before::Nothing,
            Before::SameAs(0),
            Before::Reused,
            Before::Nothing
        ]
    );
}

#[test]
fn a_call_that_waits_is_running_until_it_has_died() {
    let database = Database::new();
    let mut connection = database.connect();
    let (asked, account) = (call(MerchantId::new(), 1, 1), AccountId::new());
    let soon = Utc::now() + TimeDelta::minutes(1);
    insert(&mut connection, &[record(&asked, awaited(account, soon))]).unwrap();
    assert_eq!(begin_one(&mut connection, &asked), Before::Running);
    diesel::sql_query("update idempotency_records set running_until = now() - interval '1 s'")
        .execute(&mut connection)
        .unwrap();
    let died = Before::Died {
        accounts: vec![account],
        form: AnswerForm::List,
    };
    assert_eq!(begin_one(&mut connection, &asked), died);
    // Two may answer in its place: the first answer stands, for both.
    let first = answer(&mut connection, &asked, b"one").unwrap();
    let second = answer(&mut connection, &asked, b"two").unwrap();
    assert_eq!(
        (first.as_deref(), second.as_deref()),
        (Some(&b"one"[..]), Some(&b"one"[..]))
    );
    let sealed_answer = b"one".to_vec();
    assert_eq!(
        begin_one(&mut connection, &asked),
        Before::Answered { sealed_answer }
    );
    let other = call(asked.merchant, 1, 2);
    assert_eq!(
        answer(&mut connection, &other, b"x").unwrap(),
        None,
        "another call"
    );
}

#[test]
fn what_has_expired_is_as_if_it_had_never_been() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = MerchantId::new();
    let records: Vec<Record> = (0..5)
        .map(|key| record(&call(merchant, key, 1), known(b"old")))
        .collect();
    insert(&mut connection, &records).unwrap();
    assert_eq!(forget(&mut connection, 10).unwrap(), 0);
    diesel::sql_query(
        "update idempotency_records set expires_at = now() - interval '1 s' where key_hash <> decode(repeat('00', 32), 'hex')",
    )
    .execute(&mut connection)
    .unwrap();
    let again = call(merchant, 1, 7);
    assert_eq!(begin_one(&mut connection, &again), Before::Nothing);
    insert(&mut connection, &[record(&again, known(b"new"))]).unwrap();
    assert_eq!(forget(&mut connection, 2).unwrap(), 2);
    assert_eq!(forget(&mut connection, 10).unwrap(), 1);
    let sealed_answer = b"new".to_vec();
    assert_eq!(
        begin_one(&mut connection, &again),
        Before::Answered { sealed_answer }
    );
    assert_eq!(
        number(&mut connection, "select count(*) from idempotency_records"),
        2
    );
}
