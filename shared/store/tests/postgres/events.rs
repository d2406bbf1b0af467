//! Events: one for each change, in the transaction of the change; and the cursor, which never skips one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_domain::events::{EventId, EventName};
use khata_domain::ids::CustomerRef;
use khata_domain::validation::{AttemptState, Next};
use khata_domain::{
    AccountId, AccountStatus, Class, MerchantId, PendingReason, ValidationId, ValidationKey,
};
use khata_store::accounts::{self, Revalidation, ValidateAgain};
use khata_store::database_metrics;
use khata_store::events::{self, Event};
use khata_store::name_review;
use khata_store::validations::settle;
use uuid::Uuid;

use crate::rows::{
    TRACE, call, claimed, create, due, ids, invalid, later, merchant, provenance, report,
    settlement, valid, validate_again,
};
use khata_testing::Database;
use khata_testing::database::number;

/// Reads all events of the merchant, in pages of three. Another database of the server may have open transactions, which hold
/// events back, so it waits for `count` of them.
fn read(connection: &mut PgConnection, merchant: MerchantId, count: usize) -> Vec<Event> {
    let begun = Instant::now();
    loop {
        let events = visible(connection, merchant, None);
        if events.len() >= count {
            assert_eq!(events.len(), count, "{events:?}");
            return events;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{events:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn visible(
    connection: &mut PgConnection,
    merchant: MerchantId,
    mut after: Option<EventId>,
) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let page = events::list(connection, merchant, after, &[], 3)
            .unwrap()
            .unwrap();
        after = page.events.last().map(|event| event.id).or(after);
        all.extend(page.events);
        if !page.has_more {
            return all;
        }
    }
}

fn names(events: &[Event]) -> Vec<(EventName, i32)> {
    events
        .iter()
        .map(|event| (event.name, event.version))
        .collect()
}

fn again(merchant: MerchantId, account: AccountId) -> ValidateAgain {
    let terms = call(merchant, "customer_1122", &[]).terms;
    ValidateAgain {
        merchant,
        customer: CustomerRef::parse("customer_1122").unwrap(),
        account,
        kind: None,
        validation: ValidationId::new(),
        pin: None,
        terms,
    }
}

fn delete(connection: &mut PgConnection, merchant: MerchantId, account: AccountId) {
    let customer = CustomerRef::parse("customer_1122").unwrap();
    let deleted = connection
        .transaction(|connection| accounts::delete(connection, merchant, &customer, account));
    assert!(deleted.unwrap().is_some());
}

fn complete(connection: &mut PgConnection, key: ValidationKey, next: Next) {
    let (token, _) = claimed(connection, key);
    assert_eq!(
        settle(connection, &[settlement(key, token, next)])
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn each_change_of_an_account_is_one_event_with_the_next_version() {
    use AccountStatus::{Active, Created, Deleted, Failure, Pending};
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
    // A step that changes nothing that a merchant sees as a status is no event.
    complete(&mut connection, first, later(false));
    due_again(&mut connection, first);
    complete(&mut connection, first, later(true));
    due_again(&mut connection, first);
    // Still PENDING.
    complete(&mut connection, first, later(true));
    due_again(&mut connection, first);
    let (token, _) = claimed(&mut connection, first);
    let mut settled = settlement(first, token, valid());
    settled.provenance = Some(provenance());
    settled.attempt = Some(report(AttemptState::Settled, Some(Class::Valid)));
    settle(&mut connection, &[settled]).unwrap();
    // Creating the account again returns it, and changes nothing.
    create(&mut connection, &[call(merchant, "customer_1122", &["a"])]);
    let wanted = again(merchant, account);
    assert!(matches!(
        validate_again(&mut connection, &wanted),
        Revalidation::Started { .. }
    ));
    let second = ValidationKey {
        merchant,
        id: wanted.validation,
    };
    complete(&mut connection, second, invalid());
    let wanted = again(merchant, account);
    validate_again(&mut connection, &wanted);
    let third = ValidationKey {
        merchant,
        id: wanted.validation,
    };
    complete(&mut connection, third, Next::name_review());
    // While a person decides, the account can be validated again: its status stays, its validation is another one.
    let wanted = again(merchant, account);
    validate_again(&mut connection, &wanted);
    let fourth = ValidationKey {
        merchant,
        id: wanted.validation,
    };
    complete(&mut connection, fourth, Next::name_review());
    assert!(name_review::decide(&mut connection, fourth, true).unwrap());
    delete(&mut connection, merchant, account);
    let found = read(&mut connection, merchant, 11);
    let expected = [
        EventName::Created,
        EventName::Pending,
        EventName::Active,
        EventName::Pending,
        EventName::Failure,
        EventName::Pending,
        EventName::Pending,
        EventName::Updated,
        EventName::Pending,
        EventName::Active,
        EventName::Deleted,
    ];
    let expected: Vec<_> = expected.into_iter().zip(1..).collect();
    assert_eq!(names(&found), expected);
    assert!(found.iter().all(|event| event.subject_id == account.0));
    assert!(
        found
            .iter()
            .all(|event| event.trace_parent.as_deref() == Some(TRACE))
    );
    let statuses: Vec<_> = found.iter().map(|event| event.status.unwrap()).collect();
    assert_eq!(
        statuses,
        [
            Created, Pending, Active, Pending, Failure, Pending, Pending, Pending, Pending, Active,
            Deleted
        ]
    );
    let created = &found[0];
    assert_eq!((created.validation, created.attempts), (None, None));
    let pending = &found[1];
    assert_eq!(pending.pending_reason, Some(PendingReason::Retrying));
    assert!(pending.due_at.is_some() && pending.completed_at.is_none());
    let active = &found[2];
    assert_eq!(
        (active.validation, active.attempts, active.gateway_id),
        (Some(first.id), Some(1), Some(70))
    );
    assert!(active.completed_at.is_some() && active.last_validated_at.is_some());
    let revalidated = &found[3];
    assert_eq!(
        (revalidated.validation, revalidated.attempts),
        (Some(second.id), Some(0))
    );
    assert_eq!(
        number(&mut connection, "select version from customer_accounts"),
        11
    );
    let rows = events::with_accounts(
        &mut connection,
        &found
            .iter()
            .map(|event| (merchant, event.id))
            .collect::<Vec<_>>(),
    );
    let rows: HashMap<_, _> = rows
        .unwrap()
        .into_iter()
        .map(|row| (row.event.id, row.account))
        .collect();
    assert_eq!(rows.len(), 11);
    assert_eq!(rows[&active.id].validation.id, Some(first.id));
    assert_eq!(
        rows[&active.id].status, Deleted,
        "the account's columns are those of now"
    );
}

fn due_again(connection: &mut PgConnection, key: ValidationKey) {
    crate::rows::alter(connection, key, "state = 'DUE', due_at = now()");
}

/// Transactions that end in another order than they began must not let a reader pass over an event.
#[test]
fn a_reader_never_passes_over_an_event_of_a_slow_transaction() {
    let database = Database::new();
    let (mut reader, mut slow, mut fast) =
        (database.connect(), database.connect(), database.connect());
    let merchant = merchant(&mut reader, "local");
    slow.batch_execute("begin").unwrap();
    let late = call(merchant, "slow", &["slow"]);
    accounts::create(&mut slow, &[&late]).unwrap();
    for seed in ["b", "c", "d"] {
        create(&mut fast, &[call(merchant, seed, &[seed])]);
    }
    let events = "select count(*) from events";
    assert_eq!(number(&mut reader, events), 3, "three are committed");
    // Younger events wait behind the open transaction.
    let before = visible(&mut reader, merchant, None);
    assert_eq!(names(&before), []);
    assert_eq!(events::latest(&mut reader, merchant).unwrap(), None);
    slow.batch_execute("commit").unwrap();
    let found = read(&mut reader, merchant, 4);
    assert_eq!(
        found[0].subject_id, late.accounts[0].id.0,
        "in the order of the transactions"
    );
    // A cursor at each event shows exactly the later ones.
    for (place, event) in found.iter().enumerate() {
        let rest = visible(&mut reader, merchant, Some(event.id));
        let rest: Vec<_> = rest.iter().map(|event| event.id).collect();
        let expected: Vec<_> = found[place + 1..].iter().map(|event| event.id).collect();
        assert_eq!(rest, expected);
    }
    // A transaction that was rolled back leaves nothing behind.
    slow.batch_execute("begin").unwrap();
    accounts::create(&mut slow, &[&call(merchant, "slow", &["rolled back"])]).unwrap();
    create(&mut fast, &[call(merchant, "e", &["e"])]);
    // The newest event is the one before those that are not visible yet.
    let latest = events::latest(&mut reader, merchant).unwrap();
    assert_eq!(latest, Some(found[3].id));
    slow.batch_execute("rollback").unwrap();
    let found = read(&mut reader, merchant, 5);
    let rest = visible(&mut reader, merchant, latest);
    assert_eq!(names(&rest), names(&found[4..]));
}

/// Operators see that an open transaction holds events back, also one of another role or database.
#[test]
fn the_age_of_the_oldest_event_that_is_held_back_is_measured() {
    let database = Database::new();
    let (mut reader, mut slow) = (database.connect(), database.connect());
    let merchant = merchant(&mut reader, "local");
    create(&mut reader, &[call(merchant, "a", &["a"])]);
    read(&mut reader, merchant, 1);
    slow.batch_execute("begin; select pg_current_xact_id()")
        .unwrap();
    create(&mut reader, &[call(merchant, "b", &["b"])]);
    let older = "update events set created_at = created_at - interval '10 min'";
    reader.batch_execute(older).unwrap();
    let age = database_metrics::events_held_back(&mut reader).unwrap();
    assert!((600.0..700.0).contains(&age), "{age}");
    slow.batch_execute("rollback").unwrap();
    read(&mut reader, merchant, 2);
    // The transactions of other tests are seconds old.
    let age = database_metrics::events_held_back(&mut reader).unwrap();
    assert!(age < 1.0, "{age}");
}

/// A transaction may write before it waits for an account that a younger transaction holds: its number is smaller, its version
/// greater.
#[test]
fn the_events_of_an_account_are_in_the_order_of_its_versions() {
    let database = Database::new();
    let (mut reader, mut old, mut young) =
        (database.connect(), database.connect(), database.connect());
    let merchant = merchant(&mut reader, "local");
    let key = due(&mut reader, merchant, 1)[0];
    complete(&mut reader, key, valid());
    let account = AccountId(read(&mut reader, merchant, 2)[0].subject_id);
    old.batch_execute("begin; select pg_current_xact_id()")
        .unwrap();
    let wanted = again(merchant, account);
    assert!(matches!(
        validate_again(&mut young, &wanted),
        Revalidation::Started { .. }
    ));
    let customer = CustomerRef::parse("customer_1122").unwrap();
    accounts::delete(&mut old, merchant, &customer, account)
        .unwrap()
        .unwrap();
    old.batch_execute("commit").unwrap();
    let found = read(&mut reader, merchant, 4);
    let expected = [
        EventName::Created,
        EventName::Active,
        EventName::Pending,
        EventName::Deleted,
    ];
    assert_eq!(
        names(&found),
        expected.into_iter().zip(1..).collect::<Vec<_>>()
    );
    assert_eq!(
        found[2].position, found[3].position,
        "the younger transaction's position holds for both"
    );
}

#[test]
fn a_cursor_filters_by_name_and_knows_events_of_its_merchant_only() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, other) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "other"),
    );
    let keys = due(&mut connection, one, 5);
    for key in keys {
        complete(&mut connection, key, valid());
    }
    due(&mut connection, other, 1);
    let found = read(&mut connection, one, 10);
    let wanted = [EventName::Active, EventName::Failure];
    let page = events::list(&mut connection, one, None, &wanted, 100)
        .unwrap()
        .unwrap();
    assert_eq!((page.events.len(), page.has_more), (5, false));
    assert!(
        page.events
            .iter()
            .all(|event| event.name == EventName::Active)
    );
    let page = events::list(&mut connection, one, None, &wanted, 4)
        .unwrap()
        .unwrap();
    assert_eq!((page.events.len(), page.has_more), (4, true));
    // A page without a wanted event moves the cursor on too.
    let none = events::list(&mut connection, one, None, &[EventName::Failure], 100)
        .unwrap()
        .unwrap();
    assert_eq!((none.events.len(), none.has_more), (0, false));
    assert_eq!(none.last, found.last().map(|event| event.id));
    // The last event that was read is no event of the page, and the page has each of its events once.
    let created = events::list(&mut connection, one, None, &[EventName::Created], 100)
        .unwrap()
        .unwrap();
    let expected: Vec<_> = found
        .iter()
        .filter(|event| event.name == EventName::Created)
        .collect();
    let ids = |events: &[Event]| events.iter().map(|event| event.id).collect::<Vec<_>>();
    assert_eq!(
        ids(&created.events),
        expected.iter().map(|event| event.id).collect::<Vec<_>>()
    );
    assert_eq!(created.last, found.last().map(|event| event.id));
    let of_other = events::list(&mut connection, other, Some(found[0].id), &[], 100).unwrap();
    assert!(of_other.is_none(), "another merchant's event");
    assert!(
        events::list(&mut connection, one, Some(EventId::new()), &[], 100)
            .unwrap()
            .is_none()
    );
    assert!(
        events::find(&mut connection, other, found[0].id)
            .unwrap()
            .is_none()
    );
    assert!(
        events::with_accounts(&mut connection, &[(other, found[0].id)])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn events_are_deleted_when_their_merchant_keeps_them_no_longer() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    due(&mut connection, merchant, 3);
    let found = read(&mut connection, merchant, 3);
    assert_eq!(events::delete_expired(&mut connection, 10).unwrap(), 0);
    // As if two of them were 31 days old: their ids have the time.
    for event in &found[..2] {
        let old = khata_domain::ids::first_at(event.created_at - TimeDelta::days(31));
        let old = Uuid::from_u128(old.as_u128() | (event.id.0.as_u128() & 0xffff_ffff));
        diesel::sql_query(format!(
            "update events set id = '{old}' where id = '{}'",
            event.id.0
        ))
        .execute(&mut connection)
        .unwrap();
    }
    assert_eq!(events::delete_expired(&mut connection, 1).unwrap(), 1);
    assert_eq!(events::delete_expired(&mut connection, 10).unwrap(), 1);
    assert_eq!(events::delete_expired(&mut connection, 10).unwrap(), 0);
    assert_eq!(number(&mut connection, "select count(*) from events"), 1);
}

/// A dump that is restored into a new cluster meets smaller numbers of transactions.
#[test]
fn migrating_keeps_later_events_behind_earlier_ones() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    due(&mut connection, merchant, 2);
    let before = read(&mut connection, merchant, 2);
    connection
        .batch_execute(
            "update events set position = position + 1000000; update event_clock set cluster_id = cluster_id + 1",
        )
        .unwrap();
    // Services do not start before: they would write events that readers have passed.
    assert_eq!(khata_store::pending_migrations(&mut connection), Ok(1));
    khata_store::migrate(database.url()).unwrap();
    assert_eq!(khata_store::pending_migrations(&mut connection), Ok(0));
    assert!(number(&mut connection, "select base from event_clock") > 0);
    due(&mut connection, merchant, 1);
    let after = read(&mut connection, merchant, 3);
    assert_eq!(
        after[..2].iter().map(|event| event.id).collect::<Vec<_>>(),
        before.iter().map(|event| event.id).collect::<Vec<_>>()
    );
    let base = number(&mut connection, "select base from event_clock");
    khata_store::migrate(database.url()).unwrap();
    assert_eq!(
        number(&mut connection, "select base from event_clock"),
        base
    );
}
