//! API keys as operators manage them: found by prefix, revoked, expired.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use khata_crypto::ApiKeyHash;
use khata_domain::{KeyId, MerchantId};
use khata_store::keys::{
    KeyScope, KeyState, expire_within, find, of_merchant, revoke, starting_with,
};
use khata_store::merchants::{authenticate, insert_key};

use crate::rows::merchant;
use khata_testing::Database;

fn issue(
    connection: &mut PgConnection,
    merchant: MerchantId,
    byte: u8,
    prefix: &str,
    expires_at: Option<DateTime<Utc>>,
) -> KeyId {
    insert_key(
        connection,
        merchant,
        &ApiKeyHash([byte; 32]),
        prefix,
        expires_at,
        KeyScope::Admin,
    )
    .unwrap()
}

fn works(connection: &mut PgConnection, byte: u8) -> bool {
    authenticate(connection, &ApiKeyHash([byte; 32]))
        .unwrap()
        .is_some()
}

#[test]
fn keys_are_found_by_prefix_within_one_merchant() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let first = issue(&mut connection, one, 1, "kh_test_AbCd", None);
    let second = issue(&mut connection, one, 2, "kh_test_AbXy", None);
    let theirs = issue(&mut connection, two, 3, "kh_test_AbCd", None);
    let mut beginning = |merchant, text| -> Vec<KeyId> {
        let found = starting_with(&mut connection, merchant, text).unwrap();
        found.iter().map(|key| key.id).collect()
    };
    assert_eq!(beginning(one, "kh_test_AbC"), [first]);
    assert_eq!(beginning(one, "kh_test_Ab"), [first, second]);
    assert_eq!(beginning(two, "kh_test_AbCd"), [theirs]);
    assert!(beginning(one, "kh_test_abcd").is_empty(), "letters count");
    assert!(beginning(one, "kh%").is_empty() && beginning(one, "kh_test_Ab__").is_empty());
    assert_eq!(
        find(&mut connection, one, first)
            .unwrap()
            .map(|key| key.prefix),
        Some("kh_test_AbCd".into())
    );
    assert_eq!(find(&mut connection, two, first).unwrap(), None);
    assert_eq!(of_merchant(&mut connection, two).unwrap().len(), 1);
}

#[test]
fn a_revoked_key_keeps_its_first_time() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let key = issue(&mut connection, one, 1, "kh_test_AbCd", None);
    assert_eq!(
        of_merchant(&mut connection, one).unwrap()[0].state,
        KeyState::Active
    );
    let at = revoke(&mut connection, one, key).unwrap();
    assert!(!works(&mut connection, 1));
    assert_eq!(
        revoke(&mut connection, one, key),
        Ok(at),
        "not revoked again"
    );
    let rows = of_merchant(&mut connection, one).unwrap();
    assert_eq!(
        (rows[0].state, rows[0].revoked_at),
        (KeyState::Revoked, Some(at))
    );
    let elsewhere = merchant(&mut connection, "two");
    assert!(revoke(&mut connection, elsewhere, key).is_err());
}

#[test]
fn an_expiry_is_never_postponed() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let soon = Utc::now() + TimeDelta::minutes(5);
    let forever = issue(&mut connection, one, 1, "kh_test_aaaa", None);
    let ending = issue(&mut connection, one, 2, "kh_test_bbbb", Some(soon));
    let day = TimeDelta::hours(24);
    let ends = expire_within(&mut connection, one, forever, day).unwrap();
    let left = ends - Utc::now();
    assert!(left > day - TimeDelta::minutes(1) && left <= day + TimeDelta::minutes(1));
    let ends = expire_within(&mut connection, one, ending, day).unwrap();
    assert_eq!(ends.timestamp_micros(), soon.timestamp_micros());
    assert!(works(&mut connection, 1) && works(&mut connection, 2));

    expire_within(&mut connection, one, forever, TimeDelta::zero()).unwrap();
    assert!(!works(&mut connection, 1), "at once");
    let rows = of_merchant(&mut connection, one).unwrap();
    assert_eq!(rows[0].state, KeyState::Expired);
    assert_eq!(rows[1].state, KeyState::Active);
}
