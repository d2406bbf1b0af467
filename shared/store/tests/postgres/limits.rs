//! The limits of validations and penny drops: every spelling of an account counts, in a sliding window, and exactly, with many
//! connections at once. A connection shares nothing with the others, so that two of them are as far apart as two processes.

use std::sync::Barrier;
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_domain::ids::CustomerRef;
use khata_domain::plan::CallAgain;
use khata_domain::{AccountKind, MerchantId, ValidationId, ValidationKey};
use khata_store::accounts::{
    self, CreateAccounts, Created, Limited, NewAccount, Revalidation, ValidateAgain,
    recent_validations,
};
use khata_store::database_metrics;
use khata_store::merchant_settings::{self, Changes};
use khata_store::validations::{NewAttempt, penny_drops_today, settle, start_attempts};

use crate::rows::{
    account, attempt, call, claimed, create, create_once, due, ids, merchant, settlement, valid,
    validate_again,
};
use khata_testing::database::number;
use khata_testing::{Database, avoid_midnight};

const LIMIT: i16 = 5;
const RACERS: usize = 12;

/// One spelling of an account: the first halves of the fingerprints of all its spellings are equal.
fn spelling(seed: &str, n: usize) -> NewAccount {
    let mut spelling = account(&format!("{seed} {n}"));
    spelling.fingerprint[..16].copy_from_slice(&account(seed).fingerprint[..16]);
    spelling
}

/// A call that creates these accounts, within the default limit of validations.
fn call_of(merchant: MerchantId, customer: &str, accounts: Vec<NewAccount>) -> CreateAccounts {
    let mut call = call(merchant, customer, &[]);
    call.terms.validations_per_day = LIMIT;
    CreateAccounts { accounts, ..call }
}

fn is_stored(created: &Created) -> bool {
    matches!(created, Created::Accounts { .. })
}

/// Runs this work on connections of their own, all at the same time, and counts the successful ones.
fn race(database: &Database, work: impl Fn(usize, &mut PgConnection) -> bool + Sync) -> usize {
    let barrier = Barrier::new(RACERS);
    thread::scope(|scope| {
        let racers: Vec<_> = (0..RACERS)
            .map(|racer| {
                let (work, barrier, mut connection) = (&work, &barrier, database.connect());
                scope.spawn(move || {
                    // A deadlock or an endless wait fails instead of hanging.
                    connection
                        .batch_execute("set statement_timeout = '8s'")
                        .unwrap();
                    barrier.wait();
                    work(racer, &mut connection)
                })
            })
            .collect();
        racers
            .into_iter()
            .map(|racer| usize::from(racer.join().unwrap()))
            .sum()
    })
}

/// Makes each insert of an account take a few milliseconds, so that the transactions overlap.
fn slow_down(connection: &mut PgConnection) {
    connection
        .batch_execute(
            "create function slow() returns trigger language plpgsql as $$
                begin perform pg_sleep(0.005); return new; end $$;
             create trigger slow before insert on customer_accounts for each row execute function slow();
             create trigger slow before insert on validations for each row execute function slow()",
        )
        .unwrap();
}

fn again(merchant: MerchantId, customer: &str, account: &NewAccount) -> ValidateAgain {
    ValidateAgain {
        merchant,
        customer: CustomerRef::parse(customer).unwrap(),
        account: account.id,
        kind: None,
        validation: ValidationId::new(),
        pin: None,
        terms: call_of(merchant, customer, Vec::new()).terms,
    }
}

/// Settles the validation as valid.
fn finish(connection: &mut PgConnection, merchant: MerchantId, id: ValidationId) {
    let key = ValidationKey { merchant, id };
    let (token, _) = claimed(connection, key);
    settle(connection, &[settlement(key, token, valid())]).unwrap();
}

#[test]
fn all_spellings_of_an_account_count_together_also_in_one_call() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let fifty = (0..50).map(|n| spelling("a", n)).collect();
    let fifty = call_of(merchant, "customer_1122", fifty);
    let created = create(&mut connection, &[fifty]);
    let Created::Limited(Limited::Validations { account: 5, wait }) = created[0] else {
        panic!("{created:?}")
    };
    let seconds = wait.num_seconds();
    assert!((86_390..=86_400).contains(&seconds), "{seconds}");
    assert_eq!(
        number(&mut connection, "select count(*) from customer_accounts"),
        0
    );
    // The spellings are accounts of their own within the limit, and other accounts do not count.
    let mut some: Vec<_> = (0..4).map(|n| spelling("a", n)).collect();
    some.extend((0..4).map(|n| spelling("b", n)));
    let some = call_of(merchant, "customer_1122", some);
    let first = some.accounts[0].clone();
    let two = call_of(
        merchant,
        "another",
        vec![spelling("a", 7), spelling("a", 8)],
    );
    let one = call_of(merchant, "another", vec![spelling("a", 7)]);
    let created = create(&mut connection, &[some, two, one]);
    assert!(is_stored(&created[0]), "{created:?}");
    assert!(!is_stored(&created[1]), "counts the calls of its batch");
    assert!(is_stored(&created[2]), "a rejected call does not count");
    let next = call_of(merchant, "third", vec![spelling("a", 9)]);
    assert!(!is_stored(&create(&mut connection, &[next])[0]));
    // The stored spelling itself is returned, also beyond the limit.
    let stored_one = call_of(merchant, "customer_1122", vec![spelling("a", 0)]);
    let created = create(&mut connection, std::slice::from_ref(&stored_one));
    assert_eq!(ids(&stored_one, &created[0]), [first.id]);
    let recent = recent_validations(&mut connection, merchant, first.id).unwrap();
    assert_eq!(recent.validations(), 5);
    let other_merchant = crate::rows::merchant(&mut connection, "other");
    let next = call_of(other_merchant, "third", vec![spelling("a", 9)]);
    assert!(is_stored(&create(&mut connection, &[next])[0]));
}

#[test]
fn the_window_slides() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let asked = call_of(merchant, "customer_1122", vec![account("a")]);
    let stored = asked.accounts[0].clone();
    create(&mut connection, std::slice::from_ref(&asked));
    finish(&mut connection, merchant, stored.validation);
    // Four validations shortly before the end of a fixed window of 24 hours.
    for _ in 0..3 {
        let wanted = again(merchant, "customer_1122", &stored);
        assert!(matches!(
            validate_again(&mut connection, &wanted),
            Revalidation::Started { .. }
        ));
        finish(&mut connection, merchant, wanted.validation);
    }
    let age = |connection: &mut PgConnection, by: &str| {
        connection
            .batch_execute(&format!(
                "update customer_accounts set created_at = created_at - interval '{by}',
                    revalidated_at = array(select at - interval '{by}' from unnest(revalidated_at) as at)"
            ))
            .unwrap();
    };
    age(&mut connection, "23 hours 59 minutes");
    let fifth = again(merchant, "customer_1122", &stored);
    assert!(matches!(
        validate_again(&mut connection, &fifth),
        Revalidation::Started { .. }
    ));
    finish(&mut connection, merchant, fifth.validation);
    match validate_again(&mut connection, &again(merchant, "customer_1122", &stored)) {
        Revalidation::Limited(Limited::Validations { wait, .. }) => {
            let seconds = wait.num_seconds();
            assert!((30..=60).contains(&seconds), "{seconds}");
        }
        other => panic!("{other:?}"),
    }
    // The four leave the window, the fifth stays in it: four more, not five.
    age(&mut connection, "2 minutes");
    for _ in 0..4 {
        let wanted = again(merchant, "customer_1122", &stored);
        assert!(matches!(
            validate_again(&mut connection, &wanted),
            Revalidation::Started { .. }
        ));
        finish(&mut connection, merchant, wanted.validation);
    }
    assert!(matches!(
        validate_again(&mut connection, &again(merchant, "customer_1122", &stored)),
        Revalidation::Limited(Limited::Validations { .. })
    ));
    let kept = "select cardinality(revalidated_at)::bigint from customer_accounts";
    assert_eq!(number(&mut connection, kept), 5, "older times are dropped");
}

#[test]
fn concurrent_calls_keep_the_limit_of_validations() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    slow_down(&mut connection);
    for round in 0..3 {
        let seed = format!("account {round}");
        let stored = race(&database, |racer, connection| {
            let accounts = vec![spelling(&seed, racer)];
            let call = call_of(merchant, &format!("customer_{racer}"), accounts);
            is_stored(&create(connection, &[call])[0])
        });
        assert_eq!(stored, 5, "round {round}");
    }
}

#[test]
fn concurrent_validations_again_keep_the_limit() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let mut asked = call_of(
        merchant,
        "customer_1122",
        (0..RACERS).map(|n| spelling("a", n)).collect(),
    );
    asked.terms.validations_per_day = i16::MAX;
    create(&mut connection, std::slice::from_ref(&asked));
    for account in &asked.accounts {
        finish(&mut connection, merchant, account.validation);
    }
    // Four of five: the accounts after the fourth are older than the window.
    connection
        .batch_execute(
            "update customer_accounts set created_at = created_at - interval '25 hours'
             where id not in (select id from customer_accounts order by id limit 4)",
        )
        .unwrap();
    slow_down(&mut connection);
    let started = race(&database, |racer, connection| {
        let wanted = again(merchant, "customer_1122", &asked.accounts[racer]);
        matches!(
            validate_again(connection, &wanted),
            Revalidation::Started { .. }
        )
    });
    assert_eq!(started, 1);
}

#[test]
fn calls_beyond_the_budget_store_nothing() {
    avoid_midnight();
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let of = |seeds: &[&str]| {
        let mut call = call(merchant, "customer_1122", seeds);
        call.terms.penny_drops_per_day = 3;
        call
    };
    let (two, three, one) = (of(&["a", "b"]), of(&["c", "d"]), of(&["e"]));
    let first = two.accounts[0].clone();
    let created = create(&mut connection, &[two, three, one]);
    assert!(is_stored(&created[0]) && is_stored(&created[2]));
    let Created::Limited(Limited::PennyDrops { wait }) = created[1] else {
        panic!("{created:?}")
    };
    let seconds = wait.num_seconds();
    assert!((0..86_400).contains(&seconds), "{seconds}");
    assert!(!is_stored(&create(&mut connection, &[of(&["f"])])[0]));
    // An existing account, and a lookup of an address without consent, pay nothing.
    assert!(is_stored(&create(&mut connection, &[of(&["a"])])[0]));
    let mut address = of(&["asha@upi"]);
    address.accounts[0].kind = AccountKind::Upi;
    assert!(is_stored(&create(&mut connection, &[address])[0]));
    let mut address = of(&["ravi@upi"]);
    address.accounts[0].kind = AccountKind::Upi;
    address.terms.consent = Some("{}".into());
    assert!(!is_stored(&create(&mut connection, &[address])[0]));
    finish(&mut connection, merchant, first.validation);
    let mut wanted = again(merchant, "customer_1122", &first);
    wanted.terms.penny_drops_per_day = 3;
    assert!(matches!(
        validate_again(&mut connection, &wanted),
        Revalidation::Limited(Limited::PennyDrops { .. })
    ));
    wanted.terms.penny_drops_per_day = 4;
    assert!(matches!(
        validate_again(&mut connection, &wanted),
        Revalidation::Started { .. }
    ));
    assert_eq!(drops(&mut connection, merchant), 4);
    // The next day has a budget of its own.
    connection
        .batch_execute("update penny_drop_counts set day = day - 1")
        .unwrap();
    assert_eq!(drops(&mut connection, merchant), 0);
    assert!(is_stored(&create(&mut connection, &[of(&["f"])])[0]));
}

fn drops(connection: &mut PgConnection, merchant: MerchantId) -> i64 {
    let overview = merchant_settings::overview(connection, merchant, 1).unwrap();
    overview.penny_drops_today
}

#[test]
fn concurrent_calls_keep_the_budget() {
    avoid_midnight();
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    slow_down(&mut connection);
    let stored = race(&database, |racer, connection| {
        let seeds = [format!("{racer} a"), format!("{racer} b")];
        let seeds = seeds.each_ref().map(String::as_str);
        let mut call = call(merchant, &format!("customer_{racer}"), &seeds);
        call.terms.penny_drops_per_day = 9;
        is_stored(&create(connection, &[call])[0])
    });
    assert_eq!(stored, 4);
    assert_eq!(drops(&mut connection, merchant), 8);
}

#[test]
fn concurrent_calls_keep_a_budget_that_they_share_first_and_hold_alone_in_the_end() {
    // Sixteen slots of 256 penny drops: calls share the budget while so much is left.
    const BUDGET: i32 = 16 * 256 + 300;
    const CALLS: usize = 40;
    avoid_midnight();
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let stored: usize = {
        let stored = std::sync::atomic::AtomicUsize::new(0);
        race(&database, |racer, connection| {
            for n in 0..CALLS {
                let seeds: Vec<String> = (0..10).map(|m| format!("{racer} {n} {m}")).collect();
                let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
                let mut call = call(merchant, &format!("customer_{racer}"), &seeds);
                call.terms.penny_drops_per_day = BUDGET;
                let is_stored = is_stored(&create(connection, &[call])[0]);
                stored.fetch_add(usize::from(is_stored), std::sync::atomic::Ordering::Relaxed);
            }
            true
        });
        stored.into_inner()
    };
    let most = usize::try_from(BUDGET / 10).unwrap();
    assert_eq!(stored, most.min(RACERS * CALLS));
    assert_eq!(
        drops(&mut connection, merchant),
        i64::try_from(10 * stored).unwrap()
    );
}

#[test]
fn calls_never_wait_for_the_locks_of_another_transaction() {
    let database = Database::new();
    let (mut frozen, mut connection) = (database.connect(), database.connect());
    let merchant = merchant(&mut connection, "local");
    let other = crate::rows::merchant(&mut connection, "other");
    let existing = call_of(merchant, "customer_1122", vec![account("existing")]);
    create(&mut connection, std::slice::from_ref(&existing));
    finish(&mut connection, merchant, existing.accounts[0].validation);
    // As a process that stops between two statements of its transaction.
    frozen.batch_execute("begin").unwrap();
    let held = call_of(merchant, "new", vec![account("held")]);
    assert!(is_stored(
        &accounts::create(&mut frozen, &[&held]).unwrap()[0]
    ));
    connection
        .batch_execute("set lock_timeout = '100ms'")
        .unwrap();
    let calls = [
        call_of(merchant, "customer_1122", vec![spelling("held", 1)]),
        call_of(merchant, "new", vec![account("another")]),
        call_of(merchant, "customer_1122", vec![account("another")]),
        call_of(merchant, "customer_1122", vec![account("existing")]),
        call_of(other, "new", vec![account("held")]),
    ];
    let created = create_once(&mut connection, &calls.each_ref());
    let busy = created
        .iter()
        .map(|created| matches!(created, Created::Busy));
    assert_eq!(
        busy.collect::<Vec<_>>(),
        [true, true, false, false, false],
        "{created:?}"
    );
    assert!(created[2..].iter().all(is_stored), "{created:?}");
    // The customer that it registers, and a small budget, are busy; an account that is validated again, too.
    let wanted = again(merchant, "customer_1122", &existing.accounts[0]);
    let mut small = wanted.clone();
    small.terms.penny_drops_per_day = 50;
    let mut try_again = |wanted: &ValidateAgain| {
        let begun =
            connection.transaction(|connection| accounts::validate_again(connection, wanted));
        begun.unwrap()
    };
    assert!(matches!(try_again(&small), Revalidation::Busy));
    small.terms.penny_drops_per_day = 0;
    assert!(matches!(
        try_again(&small),
        Revalidation::Limited(Limited::PennyDrops { .. })
    ));
    assert!(matches!(try_again(&wanted), Revalidation::Started { .. }));
    frozen.batch_execute("rollback").unwrap();
    assert!(
        create_once(&mut connection, &[&calls[0], &calls[1]])
            .iter()
            .all(is_stored)
    );
}

#[test]
fn further_penny_drops_of_a_validation_count_against_the_budget_and_the_limit() {
    avoid_midnight();
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 2);
    assert_eq!(drops(&mut connection, merchant), 2);
    let further = |key, number| NewAttempt {
        is_further_drop: true,
        ..attempt(key, number)
    };
    // An attempt after one that moved nothing is no further penny drop.
    let attempts = [
        attempt(keys[0], 1),
        attempt(keys[1], 1),
        further(keys[0], 2),
        attempt(keys[1], 2),
    ];
    start_attempts(&mut connection, &attempts, &[]).unwrap();
    assert_eq!(drops(&mut connection, merchant), 3);
    let again = |is_further_drop| {
        let number = 2;
        let again = CallAgain {
            number,
            is_further_drop,
        };
        (keys[1], again)
    };
    start_attempts(&mut connection, &[], &[again(false)]).unwrap();
    assert_eq!(drops(&mut connection, merchant), 3);
    start_attempts(&mut connection, &[further(keys[0], 3)], &[again(true)]).unwrap();
    assert_eq!(drops(&mut connection, merchant), 5);
    let today = penny_drops_today(&mut connection, &[merchant]).unwrap();
    assert_eq!(today[&merchant], 5);
    // Two of the first account and one of the other count as validations beside the first ones.
    let counted = "select sum(cardinality(revalidated_at))::bigint from customer_accounts";
    assert_eq!(number(&mut connection, counted), 3);
    let account = "select count(*) from customer_accounts where cardinality(revalidated_at) = 2";
    assert_eq!(number(&mut connection, account), 1);
    // The share that operators see: none of the default budget for a merchant without calls.
    crate::rows::merchant(&mut connection, "idle");
    let changes = Changes {
        penny_drops_per_day: Some(20),
        ..Changes::default()
    };
    merchant_settings::change(&mut connection, merchant, &changes).unwrap();
    let shares = database_metrics::budgets(&mut connection).unwrap();
    let shares: Vec<_> = shares
        .iter()
        .map(|row| (row.merchant_name.as_str(), row.used_share))
        .collect();
    assert_eq!(shares, [("idle", 0.0), ("local", 0.25)]);
}
