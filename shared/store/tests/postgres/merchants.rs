//! Merchants, the keys that name them, and their accounts at gateways.

use chrono::{TimeDelta, Utc};
use diesel::prelude::*;
use khata_crypto::ApiKeyHash;
use khata_domain::GatewayAccountId;
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::keys::KeyScope;
use khata_store::merchants::{authenticate, find, insert, insert_key};
use serde_json::json;

use crate::rows::merchant;
use khata_testing::Database;

#[test]
fn a_merchant_is_found_by_name_and_by_id_and_its_name_is_taken_once() {
    let database = Database::new();
    let mut connection = database.connect();
    let local = insert(&mut connection, "local").unwrap().unwrap();
    assert_eq!(insert(&mut connection, "local").unwrap(), None);
    for name in ["local", &local.id.to_string()] {
        assert_eq!(
            find(&mut connection, name).unwrap().as_ref(),
            Some(&local),
            "{name}"
        );
    }
    assert_eq!(find(&mut connection, "other").unwrap(), None);
    assert_eq!(local.validation_deadline(), TimeDelta::hours(48));
}

#[test]
fn a_key_names_its_merchant_until_it_expires_or_is_revoked() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let now = Utc::now();
    for (byte, owner, expires_at) in [
        (1, one, None),
        (2, two, Some(now + TimeDelta::hours(1))),
        (3, one, Some(now - TimeDelta::seconds(1))),
    ] {
        let hash = ApiKeyHash([byte; 32]);
        let scope = KeyScope::Read;
        insert_key(
            &mut connection,
            owner,
            &hash,
            "kh_test_abcd",
            expires_at,
            scope,
        )
        .unwrap();
    }
    let mut whose = |byte| {
        let found = authenticate(&mut connection, &ApiKeyHash([byte; 32])).unwrap();
        found.map(|key| key.merchant.id)
    };
    assert_eq!(whose(1), Some(one));
    assert_eq!(whose(2), Some(two));
    assert_eq!(whose(3), None, "expired");
    assert_eq!(whose(4), None, "never issued");
    let key = authenticate(&mut connection, &ApiKeyHash([2; 32])).unwrap();
    let key = key.unwrap();
    assert_eq!(key.scope, KeyScope::Read);
    assert!(
        (3_500.0..=3_600.0).contains(&key.expires_in.unwrap()),
        "{key:?}"
    );
    let key = authenticate(&mut connection, &ApiKeyHash([1; 32])).unwrap();
    assert_eq!(key.unwrap().expires_in, None);
    diesel::sql_query("update api_keys set revoked_at = now()")
        .execute(&mut connection)
        .unwrap();
    let revoked = authenticate(&mut connection, &ApiKeyHash([1; 32])).unwrap();
    assert_eq!(revoked, None);
}

#[test]
fn a_gateway_account_is_one_row_for_each_reference_however_often_it_is_added() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let settings = json!({"bank_flow": "sync"});
    let new = |reference_id, priority| NewGatewayAccount {
        id: GatewayAccountId::new(),
        gateway_id: 70,
        reference_id,
        priority,
        pinned_only: false,
        base_url: None,
        settings: &settings,
    };
    let (second, first, theirs) = (new("second", 20), new("first", 10), new("first", 1));
    for (merchant, account) in [(one, &second), (one, &first), (two, &theirs)] {
        let sealed = Some(b"a".to_vec());
        assert!(gateway_accounts::insert(&mut connection, merchant, account, sealed).unwrap());
    }
    let again = new("second", 5);
    assert!(!gateway_accounts::insert(&mut connection, one, &again, None).unwrap());
    let unchanged = gateway_accounts::lock(&mut connection, one, second.id).unwrap();
    assert_eq!(
        unchanged.map(|row| row.priority),
        Some(20),
        "refused, not changed"
    );
    let changed = NewGatewayAccount {
        id: second.id,
        ..again
    };
    gateway_accounts::update(&mut connection, one, &changed, Some(b"b".to_vec())).unwrap();
    gateway_accounts::update(&mut connection, two, &changed, None).unwrap();

    let found = gateway_accounts::of_merchant(&mut connection, one).unwrap();
    let order: Vec<_> = found.iter().map(|row| row.reference_id.as_str()).collect();
    assert_eq!(
        order,
        ["second", "first"],
        "by priority, and only one's own"
    );
    assert_eq!(found[0].id, second.id, "its id stays, and its past with it");
    assert_eq!(
        found[0].sealed_credentials.as_deref(),
        Some(b"b".as_slice())
    );
    assert_eq!((found[0].priority, &found[0].settings), (5, &settings));
    assert!(found[0].enabled);
    let same = gateway_accounts::find(&mut connection, one, 70, "second").unwrap();
    assert_eq!(same.as_ref(), Some(&found[0]));
    for (gateway, reference) in [(100, "second"), (70, "third")] {
        let none = gateway_accounts::find(&mut connection, one, gateway, reference).unwrap();
        assert_eq!(none, None);
    }
}
