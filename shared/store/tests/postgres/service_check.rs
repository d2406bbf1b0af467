//! The checks of a service before it is ready: the rights of its role, and its keyring.

use std::collections::BTreeSet;
use std::sync::Arc;

use diesel::prelude::*;
use khata_crypto::{Keyring, KeyringFile, Purpose};
use khata_domain::GatewayAccountId;
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::rights::Service;
use khata_store::service_check::{Checked, ServiceCheck};
use serde_json::json;

use crate::rows::merchant;
use khata_testing::Database;

fn check(service: Service, keyring: &Arc<Keyring>, connection: &mut PgConnection) -> Checked {
    let check = ServiceCheck::new(service, Arc::clone(keyring));
    check.run(connection).unwrap()
}

fn keyring(file: &KeyringFile) -> Arc<Keyring> {
    Arc::new(Keyring::from(file))
}

#[test]
fn a_service_is_ready_in_its_own_role_only() {
    let database = Database::new();
    let keyring = keyring(&KeyringFile::generate());
    let as_role = |role| PgConnection::establish(&database.url_as(role)).unwrap();
    for (service, other, missing) in [
        (Service::Api, "khata_worker", "insert on customer_accounts"),
        (Service::Worker, "khata_api", "insert on gateway_scores"),
    ] {
        let own = check(service, &keyring, &mut as_role(service.role()));
        assert_eq!(own, Checked::Passed, "{service:?}");
        let owner = check(service, &keyring, &mut database.connect());
        assert_eq!(owner, Checked::Passed, "the owner has every right");
        for other in [other, "khata_operator"] {
            let found = check(service, &keyring, &mut as_role(other));
            let Checked::MissingRights(rights) = found else {
                panic!("{service:?} as {other}: {found:?}");
            };
            assert!(
                other == "khata_operator" || rights.iter().any(|right| right == missing),
                "{rights:?}"
            );
        }
    }
    let found = check(Service::Api, &keyring, &mut Database::empty().connect());
    assert_eq!(found, Checked::SchemaBehind);
}

#[test]
fn a_right_on_columns_is_checked() {
    let database = Database::new();
    let keyring = keyring(&KeyringFile::generate());
    diesel::sql_query("revoke update (not_understood) on validation_attempts from khata_api")
        .execute(&mut database.connect())
        .unwrap();
    let mut api = PgConnection::establish(&database.url_as("khata_api")).unwrap();
    assert_eq!(
        check(Service::Api, &keyring, &mut api),
        Checked::MissingRights(vec!["update on validation_attempts".to_owned()])
    );
}

#[test]
fn a_keyring_that_decrypts_nothing_of_a_key_is_wrong() {
    let database = Database::new();
    let mut connection = database.connect();
    let file = KeyringFile::generate();
    let (right, other) = (keyring(&file), keyring(&KeyringFile::generate()));
    for of_any in [&right, &other] {
        let found = check(Service::Worker, of_any, &mut connection);
        assert_eq!(found, Checked::Passed, "nothing is encrypted yet");
    }

    let merchant = merchant(&mut connection, "one");
    let mut add = |reference_id: &str, keyring: &Keyring| {
        let id = GatewayAccountId::new();
        let new = NewGatewayAccount {
            id,
            gateway_id: 70,
            reference_id,
            priority: 1,
            pinned_only: false,
            base_url: None,
            settings: &json!({}),
        };
        let sealed = keyring.encrypt(merchant, id.0, Purpose::Credentials, b"secret");
        gateway_accounts::insert(&mut connection, merchant, &new, Some(sealed)).unwrap();
    };
    add("first", &right);
    let (two_keys, second) = file.clone().with_new_key().unwrap();
    let two_keys = two_keys.promoted();
    let both = keyring(&two_keys);
    let wrong = |key| Checked::WrongKeyring(BTreeSet::from([key]));
    let first = right.primary();
    let found = |keyring: &Arc<Keyring>| check(Service::Worker, keyring, &mut database.connect());
    assert_eq!(found(&right), Checked::Passed);
    assert_eq!(found(&both), Checked::Passed);
    // Every keyring numbers its keys from 1: equal ids do not mean equal keys.
    assert_eq!(other.primary(), first);
    assert_eq!(found(&other), wrong(first));

    // A value that was altered does not stop a service, as long as the key decrypts another one.
    add("altered", &other);
    assert_eq!(found(&right), Checked::Passed);

    // The keyring of before a rotation lacks the new key.
    add("rotated", &both);
    assert_eq!(found(&right), wrong(second));
    assert_eq!(found(&both), Checked::Passed);
}
