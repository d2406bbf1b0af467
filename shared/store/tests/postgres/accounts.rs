//! *Create accounts*, many calls in one transaction: registered customers, new accounts and existing ones.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::{AccountStatus, CustomerId};
use khata_store::accounts::{self, Created, CreatedAccount, find, find_many};

use crate::rows::{account, alter_account, call, create, current_state, due, ids, merchant};
use khata_testing::Database;
use khata_testing::database::number;

const ACCOUNTS: &str = "select count(*) from customer_accounts";
const CUSTOMERS: &str = "select count(*) from customers";
const VALIDATIONS: &str = "select count(*) from validations";

#[test]
fn each_call_of_a_batch_has_its_own_result_and_every_account_is_due() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchants = [
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    ];
    let calls: Vec<_> = (0..60)
        .map(|n| {
            let seeds: Vec<String> = (0..n % 7).map(|m| format!("{n}/{m}")).collect();
            let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
            call(merchants[n % 2], &format!("customer_{}", n % 11), &seeds)
        })
        .collect();
    let created = create(&mut connection, &calls);
    assert_eq!(created.len(), calls.len());
    for (call, created) in calls.iter().zip(&created) {
        let asked: Vec<_> = call.accounts.iter().map(|account| account.id).collect();
        assert_eq!(ids(call, created), asked, "all of them are new");
        let Created::Accounts {
            object_reference_id,
            ..
        } = created
        else {
            panic!("{created:?}")
        };
        let CustomerRef::Reference(reference) = &call.customer else {
            panic!()
        };
        assert_eq!(object_reference_id, reference.expose());
    }
    let wanted =
        i64::try_from(calls.iter().map(|call| call.accounts.len()).sum::<usize>()).unwrap();
    assert_eq!(number(&mut connection, ACCOUNTS), wanted);
    assert_eq!(number(&mut connection, CUSTOMERS), 22);
    let begun = "select count(*) from customer_accounts a join validations v
        on v.merchant_id = a.merchant_id and v.id = a.validation_id and v.account_id = a.id
        where a.status = 'CREATED' and v.state = 'DUE' and v.trace_parent is not null
        and v.created_at = a.created_at and v.deadline_at = v.created_at + interval '48 hours'
        and v.due_at between v.created_at and v.created_at + interval '1 minute'";
    assert_eq!(number(&mut connection, begun), wanted);
}

#[test]
fn the_stored_account_equals_the_request() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let mut call = call(merchant, "customer_1122", &["a"]);
    call.metadata = r#"{"udf1":"x"}"#.into();
    call.pin = Pin {
        gateway_id: Some(70),
        reference_id: Some("main".into()),
    };
    call.accounts[0].bank_code = Some("JP_HDFC".into());
    let created = create(&mut connection, std::slice::from_ref(&call)).remove(0);
    let Created::Accounts { created_at, .. } = created else {
        panic!("{created:?}")
    };
    let row = find(
        &mut connection,
        merchant,
        &call.customer,
        call.accounts[0].id,
    )
    .unwrap()
    .unwrap();
    assert_eq!(row.id, call.accounts[0].id);
    assert_eq!(row.validation.id, Some(call.accounts[0].validation));
    assert_eq!(row.object_reference_id, "customer_1122");
    assert_eq!(row.sealed_details, b"a");
    assert_eq!(row.bank_code.as_deref(), Some("JP_HDFC"));
    assert_eq!(row.status, AccountStatus::Created);
    assert_eq!(row.pinned_gateway_id, Some(70));
    assert_eq!(row.pinned_gateway_reference_id.as_deref(), Some("main"));
    assert_eq!(row.metadata, serde_json::json!({"udf1": "x"}));
    assert_eq!(row.created_at, created_at, "as the reply shows it");
    assert_eq!(row.last_validated_at, None);
    assert_eq!(row.validation.attempts, Some(0));
}

#[test]
fn a_repeated_call_returns_the_existing_accounts() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let first = call(merchant, "customer_1122", &["a", "b"]);
    let stored = create(&mut connection, std::slice::from_ref(&first));
    let again = call(merchant, "customer_1122", &["b", "c", "a"]);
    let answered = create(&mut connection, std::slice::from_ref(&again));
    let existing = ids(&first, &stored[0]);
    assert_eq!(
        ids(&again, &answered[0]),
        [existing[1], again.accounts[1].id, existing[0]]
    );
    let Created::Accounts { accounts, .. } = &answered[0] else {
        panic!()
    };
    let CreatedAccount::Existing(row) = &accounts[0] else {
        panic!("{accounts:?}")
    };
    assert_eq!(row.validation.id, Some(first.accounts[1].validation));
    assert_eq!(number(&mut connection, ACCOUNTS), 3);
    assert_eq!(number(&mut connection, VALIDATIONS), 3);
}

#[test]
fn a_call_reads_no_other_accounts_of_the_merchant_also_on_a_new_database() {
    let database = Database::new();
    let mut connection = database.connect();
    // The settings of the group commit, with plans from the time when the tables were empty.
    connection
        .batch_execute(
            "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_hashjoin = off;
             set enable_mergejoin = off; set join_collapse_limit = 1",
        )
        .unwrap();
    let merchant = merchant(&mut connection, "local");
    for n in 0..500 {
        let customer = format!("customer_{n}");
        create(&mut connection, &[call(merchant, &customer, &[&customer])]);
    }
    let read = |connection: &mut PgConnection| {
        number(
            connection,
            "select coalesce(sum(idx_tup_fetch), 0)::bigint from pg_stat_xact_user_tables
             where relname = 'customer_accounts'",
        )
    };
    connection
        .transaction(|connection| {
            let new = call(merchant, "customer_new", &["new"]);
            let existing = call(merchant, "customer_7", &["customer_7"]);
            accounts::create(connection, &[&new, &existing])?;
            assert!(read(connection) < 20, "{}", read(connection));
            QueryResult::Ok(())
        })
        .unwrap();
}

#[test]
fn an_existing_account_comes_without_large_metadata() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let large: String = ('\u{4e00}'..'\u{5e00}').collect();
    let compressible = "x".repeat(12_000);
    for (seed, text, is_large) in [
        ("small", "x", false),
        ("large", &*large, true),
        ("compressible", &*compressible, true),
    ] {
        let mut call = call(merchant, "customer_1122", &[seed]);
        let metadata = serde_json::json!({ "udf1": text });
        call.metadata = metadata.to_string();
        create(&mut connection, std::slice::from_ref(&call));
        let Created::Accounts { accounts, .. } =
            create(&mut connection, std::slice::from_ref(&call)).remove(0)
        else {
            panic!("{seed}")
        };
        let CreatedAccount::Existing(row) = &accounts[0] else {
            panic!("{seed}: {accounts:?}")
        };
        assert_eq!(row.lacks_metadata(), is_large, "{seed}");
        let read = find_many(&mut connection, merchant, &[row.id, row.id]).unwrap();
        assert!(read.len() == 2 && read.iter().all(|row| row.metadata == metadata));
    }
}

#[test]
fn the_same_account_in_two_calls_of_a_batch_is_stored_once() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let calls = [
        call(merchant, "customer_1122", &["a"]),
        call(merchant, "customer_1122", &["b", "a"]),
        call(merchant, "customer_2233", &["a"]),
    ];
    let created = create(&mut connection, &calls);
    assert_eq!(
        ids(&calls[0], &created[0])[0],
        ids(&calls[1], &created[1])[1]
    );
    assert_ne!(
        ids(&calls[0], &created[0])[0],
        ids(&calls[2], &created[2])[0]
    );
    assert_eq!(number(&mut connection, ACCOUNTS), 3);
    assert_eq!(number(&mut connection, VALIDATIONS), 3);
}

#[test]
fn merchants_and_customers_do_not_share_accounts() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchants = [
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    ];
    for (merchant, customer) in [
        (merchants[0], "customer_1"),
        (merchants[0], "customer_2"),
        (merchants[1], "customer_1"),
    ] {
        let call = call(merchant, customer, &["a"]);
        let created = create(&mut connection, std::slice::from_ref(&call));
        assert_eq!(ids(&call, &created[0]), [call.accounts[0].id], "new");
    }
    assert_eq!(number(&mut connection, CUSTOMERS), 3);
}

#[test]
fn an_unknown_customer_fails_its_own_call_only() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let known = call(two, "customer_1122", &["a"]);
    let Created::Accounts { customer, .. } =
        create(&mut connection, std::slice::from_ref(&known)).remove(0)
    else {
        panic!()
    };
    let calls = [
        call(one, &CustomerId::new().to_string(), &["x"]),
        // Another merchant's customer is unknown too.
        call(one, &customer.to_string(), &["y"]),
        call(two, &customer.to_string(), &["z"]),
    ];
    let created = create(&mut connection, &calls);
    assert!(matches!(created[0], Created::UnknownCustomer));
    assert!(matches!(created[1], Created::UnknownCustomer));
    let Created::Accounts {
        customer: answered,
        object_reference_id,
        ..
    } = &created[2]
    else {
        panic!("{created:?}")
    };
    assert_eq!(
        (answered, object_reference_id.as_str()),
        (&customer, "customer_1122")
    );
    assert_eq!(number(&mut connection, ACCOUNTS), 2);
    assert_eq!(number(&mut connection, CUSTOMERS), 1);
    assert_eq!(number(&mut connection, VALIDATIONS), 2);
}

#[test]
fn without_implicit_customers_an_unknown_reference_is_not_registered() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let mut strict = call(merchant, "customer_1122", &["a"]);
    strict.implicit_customer = false;
    let created = create(&mut connection, std::slice::from_ref(&strict));
    assert!(matches!(created[0], Created::UnknownCustomer));
    assert_eq!(number(&mut connection, CUSTOMERS), 0);
    assert_eq!(number(&mut connection, ACCOUNTS), 0);
    // After the registration, the same call succeeds.
    create(&mut connection, &[call(merchant, "customer_1122", &[])]);
    let created = create(&mut connection, std::slice::from_ref(&strict));
    assert_eq!(ids(&strict, &created[0]), [strict.accounts[0].id]);
}

#[test]
fn the_details_of_a_deleted_account_can_be_stored_again() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    // The new id is older than the deleted account's; the deleted account must not come first in any order.
    let again_later = call(merchant, "customer_1122", &["a"]);
    let key = due(&mut connection, merchant, 1)[0];
    alter_account(&mut connection, key, "fingerprint = sha256('a')");
    let existing = call(merchant, "customer_1122", &["a"]);
    let before = ids(
        &existing,
        &create(&mut connection, std::slice::from_ref(&existing))[0],
    );
    assert_ne!(before, [existing.accounts[0].id], "the existing account");
    alter_account(
        &mut connection,
        key,
        "status = 'DELETED', deleted_at = now()",
    );

    let after = ids(
        &again_later,
        &create(&mut connection, std::slice::from_ref(&again_later))[0],
    );
    assert_eq!(after, [again_later.accounts[0].id], "it is new");
    alter_account(&mut connection, key, "updated_at = now()");
    let again = call(merchant, "customer_1122", &["a"]);
    assert_eq!(
        ids(
            &again,
            &create(&mut connection, std::slice::from_ref(&again))[0]
        ),
        after,
        "the new account, not the deleted one"
    );
    assert_eq!(
        current_state(&mut connection, key).account_status,
        "DELETED"
    );
}

#[test]
fn one_rejected_account_stores_nothing_of_its_batch() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let mut bad = call(merchant, "customer_1", &["a"]);
    bad.accounts.push(account("b"));
    // A CHECK constraint rejects a gateway account without a gateway.
    bad.pin.reference_id = Some("main".into());
    let calls = [call(merchant, "customer_2", &["c"]), bad];
    let refused = connection
        .transaction(|connection| khata_store::accounts::create(connection, &calls.each_ref()));
    assert!(refused.is_err());
    assert_eq!(number(&mut connection, ACCOUNTS), 0);
    assert_eq!(number(&mut connection, CUSTOMERS), 0);
}
