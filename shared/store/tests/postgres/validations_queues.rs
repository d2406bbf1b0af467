//! Queues of gateway accounts: waiting costs one write, the next one is claimed in order, and every queue is listed.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use khata_domain::gateway::GatewayKey;
use khata_domain::{GatewayAccountId, MerchantId, PendingReason, ValidationKey, ValidationState};
use khata_store::outcomes;
use khata_store::validations::{
    Claimed, GatewayQueue, Postponement, QueuePlace, QueueRank, lease, lock_due, lock_queued,
    postpone, queues,
};

use crate::rows::{LEASE, alter, claimed, current_state, due, merchant, take_due, token};
use khata_testing::Database;
use khata_testing::database::number;

/// Puts new validations into the queue of a gateway account.
fn queued(
    connection: &mut PgConnection,
    gateway: GatewayKey,
    rank: QueueRank,
    count: usize,
) -> Vec<ValidationKey> {
    let keys = due(connection, gateway.merchant, count);
    connection
        .transaction(|connection| {
            let locked = lock_due(connection, &keys)?;
            assert_eq!(locked.len(), count);
            assert!(locked.iter().all(|row| row.queued_at.is_none()));
            enter(connection, gateway, rank, &keys)
        })
        .unwrap();
    keys
}

fn enter(
    connection: &mut PgConnection,
    gateway: GatewayKey,
    rank: QueueRank,
    keys: &[ValidationKey],
) -> QueryResult<()> {
    let postponement = |key: &ValidationKey| Postponement {
        key: *key,
        delay: Duration::from_hours(1),
        reason: PendingReason::RateLimited,
        slot: None,
        queue: Some(QueuePlace {
            gateway_account: gateway.account,
            rank,
        }),
    };
    let postponements: Vec<_> = keys.iter().map(postponement).collect();
    postpone(connection, &postponements)
}

/// Lets a caller wait for these validations.
fn await_outcome(connection: &mut PgConnection, keys: &[ValidationKey]) {
    let wait = chrono::TimeDelta::minutes(1);
    outcomes::subscribe(connection, keys, wait).unwrap();
}

fn gateway(merchant: MerchantId) -> GatewayKey {
    let account = GatewayAccountId::new();
    GatewayKey { merchant, account }
}

/// Claims the next validations in the queue.
fn next(connection: &mut PgConnection, gateway: GatewayKey, calls: i64) -> Vec<ValidationKey> {
    next_of(connection, gateway, calls, false)
}

fn next_of(
    connection: &mut PgConnection,
    gateway: GatewayKey,
    calls: i64,
    awaited: bool,
) -> Vec<ValidationKey> {
    let rows = lock_queued(connection, &[(gateway, calls)], awaited).unwrap();
    let is_of = |row: &Claimed| row.queued_at == Some(gateway.account);
    assert!(rows.iter().all(is_of));
    let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
    lease(connection, &keys, token(), LEASE).unwrap();
    keys
}

#[test]
fn the_next_one_is_awaited_or_unfinished_or_the_oldest() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let main = gateway(merchant);
    let old = queued(&mut connection, main, QueueRank::New, 1);
    let new = queued(&mut connection, main, QueueRank::New, 1);
    let unfinished = queued(&mut connection, main, QueueRank::Unfinished, 1);
    let awaited = queued(&mut connection, main, QueueRank::Awaited, 1);
    queued(&mut connection, gateway(merchant), QueueRank::Awaited, 1);
    assert_eq!(next(&mut connection, main, 1), awaited);
    assert_eq!(current_state(&mut connection, awaited[0]).state, "LEASED");
    assert_eq!(next(&mut connection, main, 2).len(), 2);
    assert_eq!(
        current_state(&mut connection, unfinished[0]).state,
        "LEASED"
    );
    assert_eq!(current_state(&mut connection, old[0]).state, "LEASED");
    // A call that waits for a validation of another call makes it the first one.
    let newest = queued(&mut connection, main, QueueRank::New, 1);
    await_outcome(&mut connection, &newest);
    assert_eq!(next(&mut connection, main, 1), newest);
    assert_eq!(next(&mut connection, main, 5), new);
    assert!(next(&mut connection, main, 5).is_empty());
}

#[test]
fn a_queued_validation_waits_without_being_taken_and_leaves_the_queue_with_its_claim() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let main = gateway(merchant);
    let keys = queued(&mut connection, main, QueueRank::New, 2);
    assert!(
        take_due(&mut connection, 10, false, LEASE)
            .unwrap()
            .is_empty()
    );
    // At its deadline, or once an hour, the scheduler takes it all the same.
    connection
        .batch_execute("update validations set due_at = now()")
        .unwrap();
    assert_eq!(
        take_due(&mut connection, 10, false, LEASE).unwrap().len(),
        2
    );
    assert_eq!(next(&mut connection, main, 1).len(), 1);
    let in_queue = "select count(*) from validations where queued_gateway_account_id is not null";
    assert_eq!(number(&mut connection, in_queue), 1);
    for key in keys {
        if current_state(&mut connection, key).state == "DUE" {
            claimed(&mut connection, key);
        }
    }
    assert_eq!(number(&mut connection, in_queue), 0);
}

#[test]
fn every_queue_is_listed() {
    let database = Database::new();
    let mut connection = database.connect();
    assert!(queues(&mut connection, None, 10).unwrap().is_empty());
    let merchants = ["one", "two"].map(|name| merchant(&mut connection, name));
    let mut expected = Vec::new();
    for merchant in merchants {
        for rank in [QueueRank::New, QueueRank::Awaited] {
            let gateway = gateway(merchant);
            let first = queued(&mut connection, gateway, rank, 2);
            queued(&mut connection, gateway, QueueRank::New, 1);
            let awaited = rank == QueueRank::Awaited;
            if awaited {
                await_outcome(&mut connection, &first[1..]);
            }
            expected.push(GatewayQueue { gateway, awaited });
        }
    }
    expected.sort_by_key(|queue| queue.gateway);
    assert_eq!(queues(&mut connection, None, 10).unwrap(), expected);
    // No caller waits any more.
    diesel::sql_query(
        "update validations set awaited_until = now() where awaited_until is not null",
    )
    .execute(&mut connection)
    .unwrap();
    let listed = queues(&mut connection, None, 10).unwrap();
    assert!(listed.len() == 4 && listed.iter().all(|queue| !queue.awaited));
    for queue in &mut expected {
        queue.awaited = false;
    }
    let first = queues(&mut connection, None, 3).unwrap();
    assert_eq!(first, expected[..3]);
    let last = first.last().map(|queue| queue.gateway);
    assert_eq!(queues(&mut connection, last, 3).unwrap(), expected[3..]);
    // The callers have gone.
    connection
        .batch_execute("update validations set awaited_until = now() - interval '1 s' where awaited_until is not null")
        .unwrap();
    let listed = queues(&mut connection, None, 10).unwrap();
    assert!(listed.len() == 4 && listed.iter().all(|queue| !queue.awaited));
}

#[test]
fn awaited_validations_can_be_claimed_alone() {
    let database = Database::new();
    let mut connection = database.connect();
    let main = gateway(merchant(&mut connection, "local"));
    queued(&mut connection, main, QueueRank::New, 3);
    assert!(next_of(&mut connection, main, 5, true).is_empty());
    let awaited = queued(&mut connection, main, QueueRank::New, 1);
    await_outcome(&mut connection, &awaited);
    assert_eq!(next_of(&mut connection, main, 5, true), awaited);
    assert_eq!(next(&mut connection, main, 5).len(), 3);
}

#[test]
fn an_expired_lease_of_a_validation_from_a_queue_is_found_when_it_ends() {
    let database = Database::new();
    let mut connection = database.connect();
    let main = gateway(merchant(&mut connection, "local"));
    let keys = queued(&mut connection, main, QueueRank::New, 2);
    await_outcome(&mut connection, &keys[..1]);
    for is_awaited in [true, false] {
        let rows = lock_queued(&mut connection, &[(main, 1)], false).unwrap();
        let key = rows[0].key;
        assert_eq!(key == keys[0], is_awaited);
        lease(&mut connection, &[key], token(), LEASE).unwrap();
        assert!(
            take_due(&mut connection, 10, true, LEASE)
                .unwrap()
                .is_empty(),
            "the lease holds"
        );
        // As two minutes later.
        alter(
            &mut connection,
            key,
            "leased_until = leased_until - interval '2 min', due_at = due_at - interval '2 min'",
        );
        let rescued = take_due(&mut connection, 10, true, LEASE).unwrap();
        assert_eq!(rescued.len(), 1);
        assert_eq!((rescued[0].key, rescued[0].awaited), (key, is_awaited));
        assert_eq!(rescued[0].was, ValidationState::Leased);
        claimed(&mut connection, key);
    }
}

#[test]
fn a_validation_enters_a_queue_with_one_write_and_keeps_its_place_without_one() {
    let database = Database::new();
    let mut connection = database.connect();
    let main = gateway(merchant(&mut connection, "local"));
    let keys = queued(&mut connection, main, QueueRank::New, 2);
    let updates = |connection: &mut PgConnection| {
        let updates = "select pg_stat_get_xact_tuples_updated('validations'::regclass)";
        number(connection, updates)
    };
    connection
        .transaction(|connection| {
            let before = updates(connection);
            let rows = lock_queued(connection, &[(main, 2)], false)?;
            assert_eq!(rows.len(), 2);
            enter(connection, main, QueueRank::New, &keys)?;
            assert_eq!(updates(connection), before, "the same place");
            enter(connection, main, QueueRank::Unfinished, &keys[..1])?;
            assert_eq!(updates(connection), before + 1);
            Ok::<_, Error>(())
        })
        .unwrap();
    let new = due(&mut connection, main.merchant, 3);
    connection
        .transaction(|connection| {
            let before = updates(connection);
            lock_due(connection, &new)?;
            enter(connection, main, QueueRank::New, &new)?;
            assert_eq!(updates(connection), before + 3);
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(next(&mut connection, main, 9).len(), 5);
}

#[test]
fn a_completed_validation_is_in_no_queue() {
    let database = Database::new();
    let mut connection = database.connect();
    let main = gateway(merchant(&mut connection, "local"));
    queued(&mut connection, main, QueueRank::New, 1);
    // As a service completes it that knows of no queues.
    connection
        .batch_execute(
            "update validations set state = 'COMPLETED', completed_at = now(), outcome = 'VALID', pending_reason = null",
        )
        .unwrap();
    assert!(queues(&mut connection, None, 10).unwrap().is_empty());
    assert!(next(&mut connection, main, 1).is_empty());
}

#[test]
fn workers_claim_different_validations_and_read_few_rows() {
    let database = Database::new();
    let mut connection = database.connect();
    // The settings of a lane.
    connection
        .batch_execute(
            "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off;
             set enable_mergejoin = off; set join_collapse_limit = 1",
        )
        .unwrap();
    let merchant = merchant(&mut connection, "local");
    let main = gateway(merchant);
    assert!(
        next(&mut connection, main, 1).is_empty(),
        "planned while empty"
    );
    queued(&mut connection, main, QueueRank::New, 300);
    // Postgres adds what was read before to its statistics once a second only.
    connection
        .batch_execute("select pg_stat_force_next_flush()")
        .unwrap();
    let mut other = database.connect();
    connection
        .transaction(|connection| {
            let rows_read =
                "select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables";
            let before = number(connection, rows_read);
            let mine = next(connection, main, 20);
            let read = number(connection, rows_read) - before;
            assert!(read < 20 * 10, "{read} rows read for 20");
            let theirs = next(&mut other, main, 20);
            assert_eq!((mine.len(), theirs.len()), (20, 20));
            assert!(mine.iter().all(|key| !theirs.contains(key)));
            Ok::<_, Error>(())
        })
        .unwrap();
}
