//! Concurrent *create accounts*: one row per account, the same result for all, and no deadlock.

use std::sync::Barrier;
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_domain::AccountId;
use khata_store::accounts::{self, CreateAccounts, Created};

use crate::rows::{alter_account, call, create, due, ids, merchant};
use khata_testing::Database;
use khata_testing::database::number;

const ROUNDS: usize = 8;
const MANY: usize = 24;

/// Commits each of these batches on a connection of its own, all at the same time.
fn race(connections: &mut [PgConnection], batches: &[Vec<CreateAccounts>]) -> Vec<Vec<Created>> {
    let barrier = Barrier::new(batches.len());
    thread::scope(|scope| {
        let racing: Vec<_> = connections
            .iter_mut()
            .zip(batches)
            .map(|(connection, calls)| {
                scope.spawn(|| {
                    barrier.wait();
                    create(connection, calls)
                })
            })
            .collect();
        racing.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// Three connections to a database in which an insert takes a millisecond, so that the transactions overlap.
fn connections(database: &Database) -> Vec<PgConnection> {
    database
        .connect()
        .batch_execute(
            "create function slow() returns trigger language plpgsql as $$
                begin perform pg_sleep(0.001); return new; end $$;
             create trigger slow before insert on customers for each row execute function slow();
             create trigger slow before insert on customer_accounts for each row execute function slow()",
        )
        .unwrap();
    (0..3)
        .map(|_| {
            let mut connection = database.connect();
            // A deadlock or an endless wait fails instead of hanging.
            connection
                .batch_execute("set statement_timeout = '8s'; set synchronous_commit = off")
                .unwrap();
            connection
        })
        .collect()
}

#[test]
fn concurrent_calls_for_one_account_create_one_row() {
    let database = Database::new();
    let mut connections = connections(&database);
    let merchant = merchant(&mut connections[0], "local");
    for round in 0..ROUNDS {
        let seeds: Vec<String> = (0..MANY).map(|n| format!("{round}/{n}")).collect();
        // Each batch in another order: without sorting, they would deadlock.
        let batches: Vec<Vec<CreateAccounts>> = (0..3)
            .map(|racer| {
                let mut seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
                if racer == 1 {
                    seeds.reverse();
                }
                seeds.rotate_left(racer * MANY / 3);
                seeds
                    .iter()
                    .map(|seed| call(merchant, "customer_1122", &[seed]))
                    .collect()
            })
            .collect();
        let answers = race(&mut connections, &batches);
        let mut by_racer: Vec<Vec<([u8; 32], AccountId)>> = batches
            .iter()
            .zip(&answers)
            .map(|(calls, created)| {
                calls
                    .iter()
                    .zip(created)
                    .map(|(call, created)| (call.accounts[0].fingerprint, ids(call, created)[0]))
                    .collect()
            })
            .collect();
        for answers in &mut by_racer {
            answers.sort_unstable();
        }
        assert_eq!(by_racer[0], by_racer[1]);
        assert_eq!(by_racer[0], by_racer[2]);
    }
    let expected = i64::try_from(ROUNDS * MANY).unwrap();
    for table in ["customer_accounts", "validations"] {
        let count = number(
            &mut connections[0],
            &format!("select count(*) from {table}"),
        );
        assert_eq!(count, expected, "{table}");
    }
}

#[test]
fn new_customers_registered_at_the_same_time_are_registered_once() {
    let database = Database::new();
    let mut connections = connections(&database);
    let merchant = merchant(&mut connections[0], "local");
    for round in 0..ROUNDS {
        let batches: Vec<Vec<CreateAccounts>> = (0..3)
            .map(|racer| {
                let mut customers: Vec<usize> = (0..MANY).collect();
                if racer == 1 {
                    customers.reverse();
                }
                customers
                    .iter()
                    .map(|n| {
                        let seed = format!("{round}/{racer}");
                        call(merchant, &format!("customer_{round}_{n}"), &[&seed])
                    })
                    .collect()
            })
            .collect();
        let answers = race(&mut connections, &batches);
        let mut customers: Vec<_> = answers
            .iter()
            .flatten()
            .map(|created| match created {
                Created::Accounts {
                    customer,
                    object_reference_id,
                    ..
                } => (object_reference_id.clone(), *customer),
                Created::UnknownCustomer | Created::Limited(_) | Created::Busy => {
                    panic!("they are registered, and each is new")
                }
            })
            .collect();
        customers.sort_unstable();
        customers.dedup();
        assert_eq!(customers.len(), MANY, "one id a customer, for all racers");
    }
    let count = number(&mut connections[0], "select count(*) from customers");
    assert_eq!(count, i64::try_from(ROUNDS * MANY).unwrap());
}

#[test]
fn an_account_deleted_during_the_create_has_a_result() {
    let database = Database::new();
    let mut connections = connections(&database);
    let merchant = merchant(&mut connections[0], "local");
    let key = due(&mut connections[0], merchant, 1)[0];
    alter_account(&mut connections[0], key, "fingerprint = sha256('a')");
    // Stops the creating transaction after it has found the existing account.
    connections[0]
        .batch_execute(
            "create function wait() returns trigger language plpgsql as $$
                begin perform pg_advisory_xact_lock(1); return null; end $$;
             create trigger wait after insert on customer_accounts for each statement execute function wait();
             select pg_advisory_lock(1)",
        )
        .unwrap();
    let again = call(merchant, "customer_1122", &["a", "b"]);
    let mut other = connections.pop().unwrap();
    let created = thread::scope(|scope| {
        let creating =
            scope.spawn(|| other.transaction(|connection| accounts::create(connection, &[&again])));
        let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted
            and database = (select oid from pg_database where datname = current_database())";
        while number(&mut connections[0], waiting) == 0 {
            assert!(!creating.is_finished(), "it waits for the lock");
            thread::sleep(std::time::Duration::from_millis(5));
        }
        alter_account(
            &mut connections[0],
            key,
            "status = 'DELETED', deleted_at = now()",
        );
        connections[0]
            .batch_execute("select pg_advisory_unlock(1)")
            .unwrap();
        creating.join().unwrap().unwrap()
    });
    let Created::Accounts { accounts, .. } = &created[0] else {
        panic!("{created:?}")
    };
    assert_eq!(accounts.len(), 2, "an answer for each account of the call");
}
