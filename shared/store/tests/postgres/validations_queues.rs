//! Queues of gateway accounts: waiting costs two writes, the next one is claimed in order, and every queue is listed.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use khata_domain::gateway::GatewayKey;
use khata_domain::{GatewayAccountId, MerchantId, ValidationKey};
use khata_store::outcomes;
use khata_store::validations::{
    GatewayQueue, QueuePlace, QueueRank, Settlement, claim_queued, queues, settle,
};

use crate::rows::{
    LEASE, claimed, current_state, due, later, merchant, settlement, take_due, token,
};
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
    for key in &keys {
        let (token, row) = claimed(connection, *key);
        assert_eq!(row.queued_at, None);
        let settlement = Settlement {
            queue: Some(QueuePlace {
                gateway_account: gateway.account,
                rank,
            }),
            delay: Duration::from_hours(1),
            ..settlement(*key, token, later(false))
        };
        settle(connection, &[settlement]).unwrap();
    }
    keys
}

fn gateway(merchant: MerchantId) -> GatewayKey {
    let account = GatewayAccountId::new();
    GatewayKey { merchant, account }
}

fn next(connection: &mut PgConnection, gateway: GatewayKey, calls: i64) -> Vec<ValidationKey> {
    let rows = claim_queued(connection, &[(gateway, calls)], token(), LEASE).unwrap();
    let is_of = |row: &khata_store::validations::Claimed| row.queued_at == Some(gateway.account);
    assert!(rows.iter().all(is_of));
    rows.iter().map(|row| row.key).collect()
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
    let wait = chrono::TimeDelta::minutes(1);
    outcomes::subscribe(&mut connection, &newest, wait).unwrap();
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
            let keys = queued(&mut connection, gateway, rank, 2);
            queued(&mut connection, gateway, QueueRank::New, 1);
            let awaited = rank == QueueRank::Awaited;
            if awaited {
                let wait = chrono::TimeDelta::minutes(1);
                outcomes::subscribe(&mut connection, &keys, wait).unwrap();
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
            let mine = next(connection, main, 20);
            let rows_read =
                "select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables";
            let read = number(connection, rows_read);
            assert!(read < 20 * 10, "{read} rows read for 20");
            let theirs = next(&mut other, main, 20);
            assert_eq!((mine.len(), theirs.len()), (20, 20));
            assert!(mine.iter().all(|key| !theirs.contains(key)));
            Ok::<_, Error>(())
        })
        .unwrap();
}
