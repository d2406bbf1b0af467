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
        full_of_waited: &[],
        checks: 5_000,
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
    let mut take = |held: &[MerchantId], full: &[MerchantId], full_of_waited: &[MerchantId]| {
        let wanted = Wanted {
            held,
            full,
            full_of_waited,
            ..wanted(100)
        };
        DueTurns::default().take(&mut connection, &wanted).unwrap()
    };
    let full = take(&[], &[held], &[held]);
    let awaited = &full.rows[0];
    assert!(awaited.awaited && awaited.key == of_held[2], "first");
    assert_eq!(full.rows[1].was, ValidationState::Leased);
    assert_eq!(by_merchant(&full), HashMap::from([(held, 2), (other, 1)]));
    let waited = take(&[held], &[held], &[]);
    assert_eq!(keys(&waited), [of_held[0]], "its next step may complete it");
    assert!(waited.rows[0].has_waited && !full.rows[1].has_waited);
    assert_eq!(keys(&take(&[], &[], &[])), [of_held[3]]);
}

#[test]
fn awaited_validations_are_taken_in_turns_and_leave_half_of_a_batch() {
    let database = Database::new();
    let mut connection = database.connect();
    let [many, one, polls] = ["many", "one", "polls"].map(|name| merchant(&mut connection, name));
    let awaited = "awaited_until = now() + interval '1 min'";
    for key in [due(&mut connection, many, 50), due(&mut connection, one, 1)].concat() {
        alter(&mut connection, key, awaited);
    }
    let poll = due(&mut connection, polls, 1)[0];
    let (lease, _) = claimed(&mut connection, poll);
    settle(&mut connection, &[settlement(poll, lease, later(true))]).unwrap();
    // Its caller has gone.
    let gone = due(&mut connection, polls, 1)[0];
    alter(
        &mut connection,
        gone,
        "awaited_until = now() - interval '1 s'",
    );
    all_due(&mut connection);
    let mut turns = DueTurns::default();
    let mut take = |connection: &mut PgConnection| turns.take(connection, &wanted(10)).unwrap();
    let taken = take(&mut connection);
    assert!(taken.more);
    let first = Taken {
        rows: taken.rows[..3].to_vec(),
        more: true,
    };
    assert_eq!(by_merchant(&first), HashMap::from([(many, 2), (one, 1)]));
    assert!(first.rows.iter().all(|row| row.awaited));
    assert!(keys(&taken).contains(&poll) && keys(&taken).contains(&gone));
    let taken = take(&mut connection);
    assert_eq!(by_merchant(&taken), HashMap::from([(many, 10)]));
}

/// Lets the lease of the validation that is due last expire.
fn expire_last(connection: &mut PgConnection, count: usize) {
    connection
        .batch_execute(&format!(
            "update validations set state = 'LEASED', lease_token = gen_random_uuid(),
                leased_until = now() - interval '1 s'
             where id in (select id from validations order by due_at desc limit {count})"
        ))
        .unwrap();
}

/// Takes with wake-ups held back until this many expired leases are found; returns the number of rounds.
fn rounds_until(connection: &mut PgConnection, count: usize, limit: i64) -> usize {
    let mut turns = DueTurns::default();
    let hold = Wanted {
        hold: true,
        ..wanted(limit)
    };
    let mut found = 0;
    for round in 1..=20 {
        let taken = turns.take(connection, &hold).unwrap();
        let expired = taken
            .rows
            .iter()
            .all(|row| row.was == ValidationState::Leased);
        assert!(expired, "{taken:?}");
        found += taken.rows.len();
        if found >= count {
            assert_eq!(found, count);
            return round;
        }
    }
    panic!("{found} of {count} found")
}

#[test]
fn an_expired_lease_is_found_behind_any_backlog() {
    let database = Database::new();
    let mut connection = database.connect();
    backlog(&mut connection, 1, 12_000);
    expire_last(&mut connection, 1);
    let rounds = rounds_until(&mut connection, 1, 10);
    assert!(rounds <= 3, "{rounds} rounds");
}

#[test]
fn expired_leases_beyond_the_limit_are_found_in_the_next_rounds() {
    let database = Database::new();
    let mut connection = database.connect();
    backlog(&mut connection, 1, 12_000);
    expire_last(&mut connection, 2);
    let rounds = rounds_until(&mut connection, 2, 1);
    assert!(rounds <= 4, "{rounds} rounds");
}

#[test]
fn neither_another_merchants_backlog_nor_what_waits_delays_the_rescue() {
    let database = Database::new();
    let mut connection = database.connect();
    // One merchant has many that are due at the same moment, and more that are not.
    backlog(&mut connection, 1, 60_000);
    connection
        .batch_execute(
            "update validations set due_at = now() - interval '1 min';
             insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, created_at, pending_reason)
             select merchant_id, gen_random_uuid(), gen_random_uuid(), 'WAITING', now() + interval '1 hour',
                now() + interval '1 day', now(), 'RATE_LIMITED'
             from (select distinct merchant_id from validations) m, generate_series(1, 40000);
             analyze validations",
        )
        .unwrap();
    let others = ["a", "b", "c"].map(|name| merchant(&mut connection, name));
    for other in others {
        let key = due(&mut connection, other, 1)[0];
        claimed(&mut connection, key);
        alter(&mut connection, key, OVERDUE);
        alter(
            &mut connection,
            key,
            "leased_until = now() - interval '1 s'",
        );
    }
    assert_eq!(rounds_until(&mut connection, 3, 10), 1);
    // Its own lease is found after all that is due, and nothing else.
    connection
        .batch_execute(
            "update validations set state = 'LEASED', lease_token = gen_random_uuid(), leased_until = now() - interval '1 s'
             where id = (select id from validations where due_at < now() - interval '30 s' order by id desc limit 1)",
        )
        .unwrap();
    let rounds = rounds_until(&mut connection, 1, 10);
    assert!((10..=13).contains(&rounds), "{rounds} rounds");
}

/// Reads as many rows as it takes, and one per merchant; not the backlog.
#[test]
fn few_rows_are_read_from_a_large_backlog() {
    for (merchants, each) in [(1, 30_000), (3_000, 10)] {
        let database = Database::new();
        let mut connection = database.connect();
        backlog(&mut connection, merchants, each);
        let mut turns = DueTurns::default();
        // Those that are checked for expired leases.
        let page = 5_000;
        for before in ["select 1", "analyze validations"] {
            connection.batch_execute(before).unwrap();
            let rows_read = "select sum(idx_tup_fetch + seq_tup_read) from pg_stat_xact_user_tables
                where relname = 'validations'";
            let (taken, read) = connection
                .transaction(|connection| {
                    let before = number(connection, rows_read);
                    let taken = turns.take(connection, &wanted(256))?;
                    Ok::<_, Error>((taken, number(connection, rows_read) - before))
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
