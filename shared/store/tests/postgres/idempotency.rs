//! Records of idempotent calls: one call is carried out, the others get its state or its reply.

use chrono::TimeDelta;
use diesel::prelude::*;
use khata_domain::{AccountId, MerchantId};
use khata_store::idempotency::{
    IdempotentCall, PriorCall, Record, Reply, ReplyForm, add_reply, begin, delete_expired, insert,
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

fn record(call: &IdempotentCall, reply: Reply) -> Record {
    Record {
        call: call.clone(),
        reply,
    }
}

fn known(body: &[u8]) -> Reply {
    Reply::Ready {
        sealed: body.to_vec(),
    }
}

fn awaited(account: AccountId, wait: TimeDelta) -> Reply {
    Reply::Awaited {
        accounts: vec![account],
        form: ReplyForm::List,
        wait,
    }
}

fn begin_one(connection: &mut PgConnection, call: &IdempotentCall) -> PriorCall {
    connection
        .transaction(|connection| begin(connection, &[call]))
        .unwrap()
        .remove(0)
}

#[test]
fn one_of_two_concurrent_calls_is_carried_out() {
    let database = Database::new();
    let (mut one, mut two) = (database.connect(), database.connect());
    let merchant = MerchantId::new();
    let asked = call(merchant, 1, 1);
    one.transaction(|one| {
        assert_eq!(begin(one, &[&asked])?, [PriorCall::None]);
        // The second call does not wait for the first.
        assert_eq!(begin_one(&mut two, &asked), PriorCall::Running);
        assert_eq!(begin_one(&mut two, &call(merchant, 2, 1)), PriorCall::None);
        assert_eq!(
            begin_one(&mut two, &call(MerchantId::new(), 1, 1)),
            PriorCall::None
        );
        insert(one, &[record(&asked, known(b"first"))])?;
        assert_eq!(begin_one(&mut two, &asked), PriorCall::Running);
        QueryResult::Ok(())
    })
    .unwrap();
    let sealed_reply = b"first".to_vec();
    assert_eq!(
        begin_one(&mut two, &asked),
        PriorCall::Replied { sealed_reply }
    );
    assert_eq!(
        begin_one(&mut two, &call(merchant, 1, 9)),
        PriorCall::KeyReused
    );
}

#[test]
fn a_rolled_back_call_can_begin_again() {
    let database = Database::new();
    let mut connection = database.connect();
    let asked = call(MerchantId::new(), 1, 1);
    let undone: QueryResult<()> = connection.transaction(|connection| {
        begin(connection, &[&asked])?;
        insert(connection, &[record(&asked, known(b"x"))])?;
        Err(diesel::result::Error::RollbackTransaction)
    });
    assert!(undone.is_err());
    assert_eq!(begin_one(&mut connection, &asked), PriorCall::None);
}

#[test]
fn equal_calls_of_one_batch_are_carried_out_once() {
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
            PriorCall::None,
            PriorCall::None,
            PriorCall::SameAs(0),
            PriorCall::KeyReused,
            PriorCall::None
        ]
    );
}

#[test]
fn a_waiting_call_is_running_until_its_time_is_over() {
    let database = Database::new();
    let mut connection = database.connect();
    let (asked, account) = (call(MerchantId::new(), 1, 1), AccountId::new());
    let reply = awaited(account, TimeDelta::minutes(1));
    insert(&mut connection, &[record(&asked, reply)]).unwrap();
    assert_eq!(begin_one(&mut connection, &asked), PriorCall::Running);
    diesel::sql_query("update idempotency_records set running_until = now() - interval '1 s'")
        .execute(&mut connection)
        .unwrap();
    let died = PriorCall::Interrupted {
        accounts: vec![account],
        form: ReplyForm::List,
    };
    assert_eq!(begin_one(&mut connection, &asked), died);
    // Two calls may reply in its place: the first reply is stored, for both.
    let first = add_reply(&mut connection, &asked, b"one").unwrap();
    let second = add_reply(&mut connection, &asked, b"two").unwrap();
    assert_eq!(
        (first.as_deref(), second.as_deref()),
        (Some(&b"one"[..]), Some(&b"one"[..]))
    );
    let sealed_reply = b"one".to_vec();
    assert_eq!(
        begin_one(&mut connection, &asked),
        PriorCall::Replied { sealed_reply }
    );
    let other = call(asked.merchant, 1, 2);
    assert_eq!(
        add_reply(&mut connection, &other, b"x").unwrap(),
        None,
        "another call"
    );
}

#[test]
fn a_call_that_created_accounts_is_recorded_by_their_ids() {
    let database = Database::new();
    let mut connection = database.connect();
    let asked = call(MerchantId::new(), 1, 1);
    let accounts: Vec<AccountId> = (0..100).map(|_| AccountId::new()).collect();
    let reply = Reply::Created {
        accounts: accounts.clone(),
        form: ReplyForm::List,
    };
    insert(&mut connection, &[record(&asked, reply)]).unwrap();
    assert_eq!(
        begin_one(&mut connection, &asked),
        PriorCall::Created { accounts }
    );
    assert_eq!(
        begin_one(&mut connection, &call(asked.merchant, 1, 2)),
        PriorCall::KeyReused
    );
    // A service that does not know the column shows the accounts' current state.
    let as_before = "select count(*) from idempotency_records
        where sealed_answer is null and answer_form is not null and running_until <= now() and expires_at > now()";
    assert_eq!(number(&mut connection, as_before), 1);
    let bytes = "select pg_column_size(r.*)::bigint from idempotency_records r";
    assert!(number(&mut connection, bytes) < 2_000, "ids only");
}

#[test]
fn an_expired_record_does_not_count() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = MerchantId::new();
    let records: Vec<Record> = (0..5)
        .map(|key| record(&call(merchant, key, 1), known(b"old")))
        .collect();
    insert(&mut connection, &records).unwrap();
    assert_eq!(delete_expired(&mut connection, 10).unwrap(), 0);
    diesel::sql_query(
        "update idempotency_records set expires_at = now() - interval '1 s' where key_hash <> decode(repeat('00', 32), 'hex')",
    )
    .execute(&mut connection)
    .unwrap();
    let again = call(merchant, 1, 7);
    assert_eq!(begin_one(&mut connection, &again), PriorCall::None);
    insert(&mut connection, &[record(&again, known(b"new"))]).unwrap();
    assert_eq!(delete_expired(&mut connection, 2).unwrap(), 2);
    assert_eq!(delete_expired(&mut connection, 10).unwrap(), 1);
    let sealed_reply = b"new".to_vec();
    assert_eq!(
        begin_one(&mut connection, &again),
        PriorCall::Replied { sealed_reply }
    );
    assert_eq!(
        number(&mut connection, "select count(*) from idempotency_records"),
        2
    );
}
