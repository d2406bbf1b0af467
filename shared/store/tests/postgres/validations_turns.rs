//! The scheduler takes due validations in turns by merchant, awaited ones first, and reads few rows for it.

use std::collections::HashMap;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use khata_domain::{MerchantId, ValidationKey, ValidationState};
use khata_store::validations::{DueTurns, Taken, Wanted, settle};

use crate::rows::{alter, claimed, due, later, merchant, settlement};
use khata_testing::Database;
use khata_testing::database::number;

const OVERDUE: &str = "due_at = now() - interval '1 s'";

fn wanted(limit: i64) -> Wanted<'static> {
    Wanted {
        limit,
        hold: false,
        held: &[],
        full: &[],
        wakeup_grace: Duration::from_secs(15),
    }
}

fn all_due(connection: &mut PgConnection) {
    connection
        .batch_execute(&format!("update validations set {OVERDUE}"))
        .unwrap();
}

fn keys(taken: &Taken) -> Vec<ValidationKey> {
    taken.rows.iter().map(|row| row.key).collect()
}

fn by_merchant(taken: &Taken) -> HashMap<MerchantId, usize> {
    let mut counts = HashMap::new();
    for row in &taken.rows {
        *counts.entry(row.key.merchant).or_default() += 1;
    }
    counts
}

/// Stores due validations without accounts: of each of the merchants this many, of new merchants.
fn backlog(connection: &mut PgConnection, merchants: usize, each: usize) {
    connection
        .batch_execute(&format!(
            "insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, created_at)
             select merchant, gen_random_uuid(), gen_random_uuid(), 'DUE', now() - n * interval '1 ms',
                now() + interval '1 day', now()
             from (select gen_random_uuid() as merchant from generate_series(1, {merchants})) m,
                generate_series(1, {each}) n"
        ))
        .unwrap();
}

#[test]
fn each_merchant_has_its_share_of_a_batch() {
    let database = Database::new();
    let mut connection = database.connect();
    let [many, few, one] = ["many", "few", "one"].map(|name| merchant(&mut connection, name));
    due(&mut connection, many, 100);
    due(&mut connection, few, 5);
    due(&mut connection, one, 1);
    all_due(&mut connection);
    let mut turns = DueTurns::default();
    let taken = turns.take(&mut connection, &wanted(9)).unwrap();
    assert_eq!(
        by_merchant(&taken),
        HashMap::from([(many, 3), (few, 3), (one, 1)])
    );
    assert!(taken.more);
    let taken = turns.take(&mut connection, &wanted(9)).unwrap();
    assert_eq!(by_merchant(&taken), HashMap::from([(many, 4), (few, 2)]));
    let taken = turns.take(&mut connection, &wanted(1_000)).unwrap();
    assert_eq!(by_merchant(&taken), HashMap::from([(many, 93)]));
    assert!(!taken.more);
}

#[test]
fn with_more_merchants_than_the_limit_each_has_its_turn() {
    let database = Database::new();
    let mut connection = database.connect();
    backlog(&mut connection, 10, 10);
    let mut turns = DueTurns::default();
    let mut counts: HashMap<MerchantId, usize> = HashMap::new();
    for _ in 0..5 {
        let taken = turns.take(&mut connection, &wanted(4)).unwrap();
        assert_eq!(taken.rows.len(), 4);
        assert!(taken.more);
        for (merchant, count) in by_merchant(&taken) {
            assert_eq!(count, 1);
            *counts.entry(merchant).or_default() += count;
        }
    }
    assert_eq!(counts.len(), 10);
    assert!(counts.values().all(|count| *count == 2), "{counts:?}");
}

#[test]
fn merchants_with_enough_wakeups_are_left_out() {
    let database = Database::new();
    let mut connection = database.connect();
    let [held, other] = ["held", "other"].map(|name| merchant(&mut connection, name));
    let of_held = due(&mut connection, held, 4);
    due(&mut connection, other, 1);
    // One has waited, a worker with one was stopped, and a caller waits for one.
    let (token, _) = claimed(&mut connection, of_held[0]);
    settle(
        &mut connection,
        &[settlement(of_held[0], token, later(true))],
    )
    .unwrap();
    claimed(&mut connection, of_held[1]);
    alter(
        &mut connection,
        of_held[1],
        "leased_until = now() - interval '1 s'",
    );
    alter(
        &mut connection,
        of_held[2],
        "awaited_until = now() + interval '1 min'",
    );
    all_due(&mut connection);
    let mut take = |held: &[MerchantId], full: &[MerchantId]| {
        let wanted = Wanted {
            held,
            full,
            ..wanted(100)
        };
        DueTurns::default().take(&mut connection, &wanted).unwrap()
    };
    let full = take(&[], &[held]);
    let awaited = &full.rows[0];
    assert!(awaited.awaited && awaited.key == of_held[2], "first");
    assert_eq!(full.rows[1].was, ValidationState::Leased);
    assert_eq!(by_merchant(&full), HashMap::from([(held, 2), (other, 1)]));
    assert_eq!(keys(&take(&[held], &[])), [of_held[0]], "it has waited");
    assert_eq!(keys(&take(&[], &[])), [of_held[3]]);
}

#[test]
fn an_expired_lease_is_found_behind_any_backlog() {
    let database = Database::new();
    let mut connection = database.connect();
    backlog(&mut connection, 1, 12_000);
    connection
        .batch_execute(
            "update validations set state = 'LEASED', lease_token = gen_random_uuid(),
                leased_until = now() - interval '1 s'
             where due_at = (select max(due_at) from validations)",
        )
        .unwrap();
    let mut turns = DueTurns::default();
    let hold = Wanted {
        hold: true,
        ..wanted(10)
    };
    let mut rounds = 0;
    let taken = loop {
        rounds += 1;
        let taken = turns.take(&mut connection, &hold).unwrap();
        if !taken.rows.is_empty() || rounds > 10 {
            break taken;
        }
    };
    assert_eq!(taken.rows.len(), 1);
    assert_eq!(taken.rows[0].was, ValidationState::Leased);
    assert!(rounds <= 3, "{rounds} rounds");
}

/// Reads as many rows as it takes, and one per merchant; not the backlog.
#[test]
fn few_rows_are_read_from_a_large_backlog() {
    for (merchants, each) in [(1, 30_000), (3_000, 10)] {
        let database = Database::new();
        let mut connection = database.connect();
        backlog(&mut connection, merchants, each);
        let mut turns = DueTurns::default();
        // The page that is checked for expired leases.
        let page = 5_000;
        for before in ["select 1", "analyze validations"] {
            connection.batch_execute(before).unwrap();
            // Postgres adds what was read before to its statistics once a second only.
            connection
                .batch_execute("select pg_stat_force_next_flush()")
                .unwrap();
            let (taken, read) = connection
                .transaction(|connection| {
                    let taken = turns.take(connection, &wanted(256))?;
                    let rows_read =
                        "select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables
                        where relname = 'validations'";
                    Ok::<_, Error>((taken, number(connection, rows_read)))
                })
                .unwrap();
            assert_eq!(taken.rows.len(), 256);
            assert!(
                (256..page + 10 * 256).contains(&read),
                "{merchants} merchants: {read} rows read"
            );
        }
    }
}
