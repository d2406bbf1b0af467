//! Reading accounts: only of the given merchant and customer, newest first, page by page.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_domain::ValidationKey;
use khata_domain::events::EventId;
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, CustomerId, MerchantId};
use khata_store::accounts::{Created, find, find_many, list, of_validations};
use khata_store::events;
use uuid::Uuid;

use crate::rows::{alter_account, call, create, due, merchant, rows_read};
use khata_testing::Database;

struct Setup {
    connection: PgConnection,
    one: MerchantId,
    two: MerchantId,
    /// Merchant one's customer, by id and by reference.
    names: [CustomerRef; 2],
    accounts: Vec<AccountId>,
    first: ValidationKey,
    _database: Database,
}

/// Five accounts of merchant one's `customer_1`; `customer_1` of merchant two and merchant one's `customer_2` have
/// one each.
fn setup() -> Setup {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let calls: Vec<_> = ["a", "b", "c", "d", "e"]
        .iter()
        .map(|seed| call(one, "customer_1", &[seed]))
        .collect();
    let Created::Accounts { customer, .. } = create(&mut connection, &calls).remove(0) else {
        panic!()
    };
    create(
        &mut connection,
        &[
            call(two, "customer_1", &["a"]),
            call(one, "customer_2", &["a"]),
        ],
    );
    Setup {
        one,
        two,
        names: [
            CustomerRef::Id(customer),
            CustomerRef::parse("customer_1").unwrap(),
        ],
        accounts: calls.iter().map(|call| call.accounts[0].id).collect(),
        first: ValidationKey {
            merchant: one,
            id: calls[0].accounts[0].validation,
        },
        connection,
        _database: database,
    }
}

#[test]
fn an_account_is_found_by_its_merchant_and_its_customer_only() {
    let mut setup = setup();
    let account = setup.accounts[0];
    for name in &setup.names {
        let found = find(&mut setup.connection, setup.one, name, account).unwrap();
        assert_eq!(found.unwrap().id, account);
        let elsewhere = find(&mut setup.connection, setup.two, name, account).unwrap();
        assert!(elsewhere.is_none(), "another merchant's");
    }
    for other in ["customer_2", "customer_9", &CustomerId::new().to_string()] {
        let other = CustomerRef::parse(other).unwrap();
        let found = find(&mut setup.connection, setup.one, &other, account).unwrap();
        assert!(found.is_none(), "another customer's");
    }
    let none = find(
        &mut setup.connection,
        setup.one,
        &setup.names[0],
        AccountId::new(),
    )
    .unwrap();
    assert!(none.is_none());
}

#[test]
fn pages_go_from_the_newest_to_the_oldest_without_gap_or_repetition() {
    let mut setup = setup();
    let mut newest_first = setup.accounts.clone();
    newest_first.reverse();
    for name in setup.names.clone() {
        let mut page = |count, offset| {
            let page = list(&mut setup.connection, setup.one, &name, None, count, offset)
                .unwrap()
                .unwrap();
            assert_eq!(page.total, 5);
            page.accounts.iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(page(100, 0), newest_first);
        let pages = [page(2, 0), page(2, 2), page(2, 4)].concat();
        assert_eq!(pages, newest_first);
        assert!(page(2, 5).is_empty());
        assert!(page(0, 0).is_empty());
    }
}

#[test]
fn a_list_is_of_one_customer_of_one_merchant() {
    let mut setup = setup();
    let theirs = list(
        &mut setup.connection,
        setup.two,
        &setup.names[1],
        None,
        10,
        0,
    )
    .unwrap()
    .unwrap();
    assert_eq!((theirs.total, theirs.accounts.len()), (1, 1));
    assert!(!setup.accounts.contains(&theirs.accounts[0].id));
    // The id belongs to another merchant's customer, so the customer is unknown.
    let unknown_customer = list(
        &mut setup.connection,
        setup.two,
        &setup.names[0],
        None,
        10,
        0,
    )
    .unwrap();
    assert!(unknown_customer.is_none());
    let unknown = CustomerRef::parse("customer_9").unwrap();
    assert!(
        list(&mut setup.connection, setup.one, &unknown, None, 10, 0)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_deleted_account_is_neither_found_nor_listed() {
    let mut setup = setup();
    let deleted = "status = 'DELETED', deleted_at = now()";
    alter_account(&mut setup.connection, setup.first, deleted);
    let found = find(
        &mut setup.connection,
        setup.one,
        &setup.names[0],
        setup.accounts[0],
    )
    .unwrap();
    assert!(found.is_none());
    let page = list(
        &mut setup.connection,
        setup.one,
        &setup.names[0],
        None,
        10,
        0,
    )
    .unwrap()
    .unwrap();
    assert_eq!((page.total, page.accounts.len()), (4, 4));
    assert!(page.accounts.iter().all(|row| row.id != setup.accounts[0]));
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

/// Postgres plans a statement while the tables are empty, and keeps the plan until it has statistics.
#[test]
fn a_page_reads_each_row_by_its_key_without_statistics() {
    const PAGE: usize = 20;
    let database = Database::new();
    let mut connection = database.connect();
    connection
        .batch_execute("set plan_cache_mode = force_generic_plan")
        .unwrap();
    let merchant = merchant(&mut connection, "local");
    let page = |connection: &mut PgConnection,
                keys: &[ValidationKey],
                accounts: &[AccountId],
                events: &[EventId]| {
        let customer = CustomerRef::parse("customer_1122").unwrap();
        let events: Vec<_> = events.iter().map(|event| (merchant, *event)).collect();
        let count = i64::try_from(keys.len()).unwrap();
        [
            find_many(connection, merchant, accounts).unwrap().len(),
            of_validations(connection, keys, false).unwrap().len(),
            events::with_accounts(connection, &events).unwrap().len(),
            list(connection, merchant, &customer, None, count, 0)
                .unwrap()
                .map_or(0, |page| page.accounts.len()),
        ]
    };
    let read = |connection: &mut PgConnection, keys: &[ValidationKey]| {
        let keys = &keys[..PAGE];
        let ids = |connection: &mut PgConnection, of: &str| -> Vec<Uuid> {
            let ids = diesel::sql_query(format!("select {of} limit {PAGE}"));
            let ids: Vec<Id> = ids.load(connection).unwrap();
            ids.into_iter().map(|id| id.id).collect()
        };
        let accounts = ids(connection, "id from customer_accounts");
        let accounts: Vec<_> = accounts.into_iter().map(AccountId).collect();
        let events: Vec<_> = ids(connection, "id from events")
            .into_iter()
            .map(EventId)
            .collect();
        page(connection, keys, &accounts, &events)
    };
    let unknown = ValidationKey {
        merchant,
        id: khata_domain::ValidationId::new(),
    };
    page(
        &mut connection,
        &[unknown],
        &[AccountId::new()],
        &[EventId(Uuid::new_v4())],
    );
    let keys = due(&mut connection, merchant, 400);
    let (found, rows) = rows_read(&mut connection, |connection| read(connection, &keys));
    assert_eq!(found, [PAGE; 4]);
    assert!(rows < 1_500, "{rows} rows read for four pages of {PAGE}");
}
