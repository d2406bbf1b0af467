//! Validating again and deleting: their results, and that they cannot deadlock with settling.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use chrono::TimeDelta;
use diesel::prelude::*;
use khata_domain::ValidationKey;
use khata_domain::ids::CustomerRef;
use khata_domain::validation::Next;
use khata_domain::{AccountId, AccountStatus, MerchantId, ValidationId};
use khata_store::accounts::{
    Created, Limited, Revalidation, ValidateAgain, ValidationTerms, delete, find,
};
use khata_store::name_review::decide;
use khata_store::validations::{Settlement, accepted, claim, settle};

use crate::rows::{
    LEASE, alter, call, claimed, create, current_state, ids, merchant, settled, settlement,
    take_due, token, valid, validate_again,
};
use khata_testing::Database;
use khata_testing::database::number;

fn customer() -> CustomerRef {
    CustomerRef::parse("customer_1122").unwrap()
}

fn again(merchant: MerchantId, account: AccountId) -> ValidateAgain {
    ValidateAgain {
        merchant,
        customer: customer(),
        account,
        kind: None,
        validation: ValidationId::new(),
        pin: None,
        terms: ValidationTerms {
            consent: None,
            trace_parent: None,
            deadline: TimeDelta::hours(48),
            awaited: None,
            validations_per_day: 3,
            penny_drops_per_day: i32::MAX,
            fresh: false,
        },
    }
}

fn run(connection: &mut PgConnection, wanted: &ValidateAgain) -> Revalidation {
    validate_again(connection, wanted)
}

fn finish(connection: &mut PgConnection, key: ValidationKey) {
    let (token, _) = claimed(connection, key);
    assert_eq!(
        settled(connection, &[settlement(key, token, valid())]),
        [key]
    );
}

#[test]
fn an_account_has_one_open_validation_at_a_time() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let asked = call(merchant, "customer_1122", &["a"]);
    let account = ids(
        &asked,
        &create(&mut connection, std::slice::from_ref(&asked))[0],
    )[0];
    let first = ValidationKey {
        merchant,
        id: asked.accounts[0].validation,
    };
    match run(&mut connection, &again(merchant, account)) {
        Revalidation::AlreadyOpen(row, open) => assert_eq!((row.id, open), (account, first)),
        other => panic!("{other:?}"),
    }
    finish(&mut connection, first);
    let wanted = again(merchant, account);
    let key = ValidationKey {
        merchant,
        id: wanted.validation,
    };
    match run(&mut connection, &wanted) {
        Revalidation::Started { row, .. } => {
            assert_eq!(
                (row.status.as_str(), row.open_validation()),
                ("PENDING", Some(key))
            );
        }
        other => panic!("{other:?}"),
    }
    finish(&mut connection, key);
    assert_eq!(current_state(&mut connection, key).account_status, "ACTIVE");
    let third = again(merchant, account);
    assert!(matches!(
        run(&mut connection, &third),
        Revalidation::Started { .. }
    ));
    finish(
        &mut connection,
        ValidationKey {
            merchant,
            id: third.validation,
        },
    );
    match run(&mut connection, &again(merchant, account)) {
        Revalidation::Limited(Limited::Validations { account: 0, wait }) => {
            assert!(
                wait > TimeDelta::hours(23) && wait <= TimeDelta::hours(24),
                "{wait}"
            );
        }
        other => panic!("{other:?}"),
    }
    let stranger = again(MerchantId::new(), account);
    assert!(matches!(
        run(&mut connection, &stranger),
        Revalidation::NotFound
    ));
    let other_customer = ValidateAgain {
        customer: CustomerRef::parse("another").unwrap(),
        ..again(merchant, account)
    };
    assert!(matches!(
        run(&mut connection, &other_customer),
        Revalidation::NotFound
    ));
}

#[test]
fn deleting_an_account_cancels_its_open_validation() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let asked = call(merchant, "customer_1122", &["a"]);
    let account = ids(
        &asked,
        &create(&mut connection, std::slice::from_ref(&asked))[0],
    )[0];
    let mut gone = |merchant, customer: &CustomerRef| {
        connection
            .transaction(|connection| delete(connection, merchant, customer, account))
            .unwrap()
    };
    assert!(gone(MerchantId::new(), &customer()).is_none());
    assert!(gone(merchant, &CustomerRef::parse("another").unwrap()).is_none());
    let deleted = gone(merchant, &customer()).unwrap();
    assert_eq!(deleted.account.status, AccountStatus::Deleted);
    let (key, trace) = deleted.open.unwrap();
    assert_eq!(
        (key.id, trace.is_some()),
        (asked.accounts[0].validation, true)
    );
    assert!(gone(merchant, &customer()).is_none(), "once");
    assert!(matches!(
        run(&mut connection, &again(merchant, account)),
        Revalidation::Deleted
    ));
    // A worker that held the validation changes nothing about the account now.
    finish(&mut connection, key);
    assert_eq!(
        current_state(&mut connection, key).account_status,
        "DELETED"
    );
    // The validations still count: the account is the same at the bank.
    let mut again = call(merchant, "customer_1122", &["a"]);
    again.terms.validations_per_day = 1;
    let refused = create(&mut connection, std::slice::from_ref(&again));
    assert!(matches!(
        refused[0],
        Created::Limited(Limited::Validations { account: 0, .. })
    ));
    again.terms.validations_per_day = 2;
    let stored = create(&mut connection, std::slice::from_ref(&again));
    assert_ne!(ids(&again, &stored[0]), [account]);
}

#[test]
fn concurrent_changes_do_not_deadlock() {
    const ACCOUNTS: usize = 12;
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let seeds: Vec<String> = (0..ACCOUNTS).map(|n| format!("seed {n}")).collect();
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    let asked = call(merchant, "customer_1122", &seeds);
    let accounts = ids(
        &asked,
        &create(&mut connection, std::slice::from_ref(&asked))[0],
    );
    let stop = AtomicBool::new(false);
    let goes_on = || !stop.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let mut workers = Vec::new();
        for _ in 0..2 {
            let mut connection = database.connect();
            workers.push(scope.spawn(move || {
                while goes_on() {
                    // As a worker does: open validations are made due, claimed together and settled in one statement.
                    diesel::sql_query(
                        "update validations set due_at = now() where id in (
                            select id from validations where completed_at is null order by id limit 10
                            for update skip locked)",
                    )
                    .execute(&mut connection)
                    .unwrap();
                    let open: Vec<ValidationKey> = take_due(&mut connection, 50, false, Duration::ZERO)
                        .unwrap()
                        .iter()
                        .map(|row| row.key)
                        .collect();
                    let token = token();
                    let held = claim(&mut connection, &open, token, LEASE).unwrap();
                    let ends: Vec<_> =
                        held.iter().map(|held| settlement(held.key, token, valid())).collect();
                    settle(&mut connection, &ends).unwrap();
                }
            }));
        }
        for turn in 0..3 {
            let (mut connection, accounts) = (database.connect(), accounts.clone());
            workers.push(scope.spawn(move || {
                let mut n = turn;
                while goes_on() {
                    n += 1;
                    let mut wanted = again(merchant, accounts[n * 7 % ACCOUNTS]);
                    wanted.terms.validations_per_day = i16::MAX;
                    run(&mut connection, &wanted);
                }
            }));
        }
        let mut connection = database.connect();
        workers.push(scope.spawn(move || {
            for account in accounts.iter().take(ACCOUNTS / 2) {
                thread::sleep(Duration::from_millis(150));
                connection
                    .transaction(|connection| delete(connection, merchant, &customer(), *account))
                    .unwrap();
            }
        }));
        thread::sleep(Duration::from_secs(2));
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
    });
    let doubly = "select count(*) from (
        select account_id from validations where completed_at is null group by 1 having count(*) > 1) as d";
    assert_eq!(
        number(&mut connection, doubly),
        0,
        "open validations of one account"
    );
    let validations = number(&mut connection, "select count(*) from validations");
    assert!(
        validations > 2 * i64::try_from(ACCOUNTS).unwrap(),
        "{validations}: nothing happened"
    );
}

#[test]
fn a_validation_keeps_the_options_of_its_request() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let mut asked = [
        call(merchant, "customer_1122", &["a", "b"]),
        call(merchant, "customer_1122", &["c"]),
    ];
    asked[0].terms.fresh = true;
    let created = create(&mut connection, &asked);
    let account = ids(&asked[1], &created[1])[0];
    let of = |id| ValidationKey { merchant, id };
    let first = of(asked[1].accounts[0].validation);
    for (key, fresh) in [
        (of(asked[0].accounts[0].validation), true),
        (of(asked[0].accounts[1].validation), true),
        (first, false),
    ] {
        assert_eq!(claimed(&mut connection, key).1.fresh, fresh);
    }
    alter(
        &mut connection,
        first,
        "state = 'DUE', lease_token = null, leased_until = null",
    );
    finish(&mut connection, first);
    for fresh in [true, false] {
        let mut wanted = again(merchant, account);
        wanted.terms.fresh = fresh;
        let begun = run(&mut connection, &wanted);
        assert!(matches!(begun, Revalidation::Started { .. }), "{begun:?}");
        let key = of(wanted.validation);
        let (token, claimed) = claimed(&mut connection, key);
        assert_eq!(claimed.fresh, fresh);
        let end = Settlement {
            reused_from: (!fresh).then_some(first.id),
            ..settlement(key, token, valid())
        };
        assert_eq!(settled(&mut connection, &[end]), [key]);
        let row = find(&mut connection, merchant, &customer(), account).unwrap();
        assert_eq!(
            row.unwrap().validation.reused_from,
            (!fresh).then_some(first.id)
        );
    }
}

#[test]
fn an_accepted_name_is_remembered_until_the_next_decision() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let asked = call(merchant, "customer_1122", &["a"]);
    let created = create(&mut connection, std::slice::from_ref(&asked));
    let account = ids(&asked, &created[0])[0];
    let of = |id| ValidationKey { merchant, id };
    let review = |connection: &mut PgConnection, key: ValidationKey, result: &[u8]| {
        let (token, _) = claimed(connection, key);
        let end = Settlement {
            sealed_result: Some(result.to_vec()),
            ..settlement(key, token, Next::name_review())
        };
        assert_eq!(settled(connection, &[end]), [key]);
    };
    let remembered = |connection: &mut PgConnection, key: ValidationKey| -> Vec<Vec<u8>> {
        let found = accepted(connection, &[(key, account)]).unwrap();
        assert!(found.iter().all(|found| found.wanted_by == key));
        found.into_iter().map(|found| found.sealed_result).collect()
    };
    let first = of(asked.accounts[0].validation);
    review(&mut connection, first, b"first");
    assert!(decide(&mut connection, first, true).unwrap());
    let wanted = again(merchant, account);
    run(&mut connection, &wanted);
    let second = of(wanted.validation);
    assert_eq!(remembered(&mut connection, second), [b"first"]);
    // Another name, which a person rejects.
    review(&mut connection, second, b"second");
    assert_eq!(remembered(&mut connection, second), [b"first"]);
    assert!(decide(&mut connection, second, false).unwrap());
    assert!(remembered(&mut connection, second).is_empty());
}
