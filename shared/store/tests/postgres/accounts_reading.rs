//! Reading accounts: only of the given merchant and customer, newest first, page by page.

use diesel::PgConnection;
use khata_domain::ValidationKey;
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, CustomerId, MerchantId};
use khata_store::accounts::{Created, find, list};

use crate::rows::{alter_account, call, create, merchant};
use khata_testing::Database;

struct Shelf {
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
fn shelf() -> Shelf {
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
    Shelf {
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
    let mut shelf = shelf();
    let account = shelf.accounts[0];
    for name in &shelf.names {
        let found = find(&mut shelf.connection, shelf.one, name, account).unwrap();
        assert_eq!(found.unwrap().id, account);
        let elsewhere = find(&mut shelf.connection, shelf.two, name, account).unwrap();
        assert!(elsewhere.is_none(), "another merchant's");
    }
    for other in ["customer_2", "customer_9", &CustomerId::new().to_string()] {
        let other = CustomerRef::parse(other).unwrap();
        let found = find(&mut shelf.connection, shelf.one, &other, account).unwrap();
        assert!(found.is_none(), "another customer's");
    }
    let none = find(
        &mut shelf.connection,
        shelf.one,
        &shelf.names[0],
        AccountId::new(),
    )
    .unwrap();
    assert!(none.is_none());
}

#[test]
fn pages_go_from_the_newest_to_the_oldest_without_gap_or_repetition() {
    let mut shelf = shelf();
    let mut newest_first = shelf.accounts.clone();
    newest_first.reverse();
    for name in shelf.names.clone() {
        let mut page = |count, offset| {
            let page = list(&mut shelf.connection, shelf.one, &name, None, count, offset)
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
    let mut shelf = shelf();
    let theirs = list(
        &mut shelf.connection,
        shelf.two,
        &shelf.names[1],
        None,
        10,
        0,
    )
    .unwrap()
    .unwrap();
    assert_eq!((theirs.total, theirs.accounts.len()), (1, 1));
    assert!(!shelf.accounts.contains(&theirs.accounts[0].id));
    // The id belongs to another merchant's customer, so the customer is unknown.
    let nobody = list(
        &mut shelf.connection,
        shelf.two,
        &shelf.names[0],
        None,
        10,
        0,
    )
    .unwrap();
    assert!(nobody.is_none());
    let unknown = CustomerRef::parse("customer_9").unwrap();
    assert!(
        list(&mut shelf.connection, shelf.one, &unknown, None, 10, 0)
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_deleted_account_is_neither_found_nor_listed() {
    let mut shelf = shelf();
    let deleted = "status = 'DELETED', deleted_at = now()";
    alter_account(&mut shelf.connection, shelf.first, deleted);
    let found = find(
        &mut shelf.connection,
        shelf.one,
        &shelf.names[0],
        shelf.accounts[0],
    )
    .unwrap();
    assert!(found.is_none());
    let page = list(
        &mut shelf.connection,
        shelf.one,
        &shelf.names[0],
        None,
        10,
        0,
    )
    .unwrap()
    .unwrap();
    assert_eq!((page.total, page.accounts.len()), (4, 4));
    assert!(page.accounts.iter().all(|row| row.id != shelf.accounts[0]));
}
