//! A merchant's settings, its overview and the attempts at its gateway accounts.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use khata_crypto::ApiKeyHash;
use khata_domain::GatewayAccountId;
use khata_domain::validation::AttemptState;
use khata_store::gateway_accounts::{
    self, NewGatewayAccount, attempts_by_class, set_enabled, unlisted_codes,
};
use khata_store::inspect;
use khata_store::keys::KeyScope;
use khata_store::merchant_settings::{Changes, change, overview};
use khata_store::merchants::{all, insert_key, of_id};
use khata_store::validations::{NewAttempt, Settlement, insert_attempts};
use serde_json::json;

use crate::rows::{
    alter_account, attempt, claimed, due, later, merchant, provenance, report, settled, settlement,
    valid,
};
use khata_testing::Database;

#[test]
fn only_the_given_settings_of_one_merchant_change() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let untouched = of_id(&mut connection, two).unwrap();
    let changes = Changes {
        requests_per_second: Some(7),
        implicit_customers: Some(false),
        ..Changes::default()
    };
    let (before, after) = change(&mut connection, one, &changes).unwrap();
    assert_eq!(
        (before.requests_per_second, before.implicit_customers),
        (500, true)
    );
    assert_eq!(
        (after.requests_per_second, after.implicit_customers),
        (7, false)
    );
    assert_eq!(after.validation_deadline_seconds, 172_800);
    assert_eq!(after.validations_per_account_per_day, 5);
    let (before, same) = change(&mut connection, one, &Changes::default()).unwrap();
    assert_eq!((&before, &same), (&after, &after));
    assert_eq!(all(&mut connection).unwrap(), [after, untouched]);
}

#[test]
fn the_database_rejects_settings_out_of_bounds() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let deadline = |seconds| Changes {
        validation_deadline_seconds: Some(seconds),
        ..Changes::default()
    };
    let rate = |requests| Changes {
        requests_per_second: Some(requests),
        ..Changes::default()
    };
    let budget = |penny_drops| Changes {
        penny_drops_per_day: Some(penny_drops),
        ..Changes::default()
    };
    let velocity = Changes {
        validations_per_account_per_day: Some(0),
        ..Changes::default()
    };
    let reuse = |seconds| Changes {
        reuse_results_seconds: Some(seconds),
        ..Changes::default()
    };
    let fail = |score| Changes {
        fail_names_below: Some(score),
        ..Changes::default()
    };
    let review = |score| Changes {
        review_names_below: Some(score),
        ..Changes::default()
    };
    for wrong in [
        fail(-1),
        fail(101),
        review(-1),
        review(101),
        deadline(59),
        deadline(2_592_001),
        rate(0),
        rate(1_000_001),
        velocity,
        budget(-1),
        budget(1_000_000_001),
        reuse(-1),
        reuse(31_536_001),
    ] {
        assert!(change(&mut connection, one, &wrong).is_err(), "{wrong:?}");
    }
    for right in [
        fail(0),
        fail(100),
        review(0),
        review(100),
        deadline(60),
        deadline(2_592_000),
        rate(1),
        rate(1_000_000),
        budget(0),
        budget(1_000_000_000),
        reuse(0),
        reuse(31_536_000),
    ] {
        assert!(change(&mut connection, one, &right).is_ok(), "{right:?}");
    }
}

#[test]
fn the_overview_counts_usable_keys_and_the_newest_accounts() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let past = Utc::now() - TimeDelta::seconds(1);
    for (byte, expires_at) in [
        (1, None),
        (2, Some(past)),
        (3, Some(Utc::now() + TimeDelta::hours(1))),
    ] {
        insert_key(
            &mut connection,
            one,
            &ApiKeyHash([byte; 32]),
            "kh_test_abcd",
            expires_at,
            KeyScope::Admin,
        )
        .unwrap();
    }
    insert_key(
        &mut connection,
        two,
        &ApiKeyHash([4; 32]),
        "kh_test_abcd",
        None,
        KeyScope::Admin,
    )
    .unwrap();
    connection
        .batch_execute("update api_keys set revoked_at = now() where key_hash = decode(repeat('03', 32), 'hex')")
        .unwrap();
    let ids = ["main", "spare"].map(|reference_id| {
        let new = NewGatewayAccount {
            id: GatewayAccountId::new(),
            gateway_id: 70,
            reference_id,
            priority: 1,
            pinned_only: false,
            base_url: None,
            settings: &json!({}),
        };
        gateway_accounts::insert(&mut connection, one, &new, None).unwrap();
        new.id
    });
    assert_eq!(
        set_enabled(&mut connection, two, ids[0], false),
        Ok(false),
        "not theirs"
    );
    assert_eq!(set_enabled(&mut connection, one, ids[0], false), Ok(true));
    assert_eq!(
        set_enabled(&mut connection, one, ids[0], false),
        Ok(false),
        "it is"
    );

    let keys = due(&mut connection, one, 3);
    due(&mut connection, two, 1);
    alter_account(&mut connection, keys[2], "status = 'FAILURE'");
    let by_status = |limit, connection: &mut _| -> BTreeMap<&'static str, i64> {
        let has = overview(connection, one, limit).unwrap();
        assert_eq!(
            (
                has.active_keys,
                has.enabled_gateway_accounts,
                has.gateway_accounts
            ),
            (1, 1, 2)
        );
        has.accounts
            .into_iter()
            .map(|(status, accounts)| (status.as_str(), accounts))
            .collect()
    };
    let counted = by_status(100, &mut connection);
    assert_eq!(counted, [("CREATED", 2), ("FAILURE", 1)].into());
    let all = overview(&mut connection, one, 100).unwrap();
    assert_eq!(all.accounts_counted(), 3);
    let counted = by_status(1, &mut connection);
    assert_eq!(counted, [("FAILURE", 1)].into(), "the newest only");
}

#[test]
fn attempts_are_counted_by_class() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let began = Utc::now();
    let account = GatewayAccountId::new();
    let mine = due(&mut connection, one, 3);
    let theirs = due(&mut connection, two, 1);
    let attempts: Vec<_> = mine
        .iter()
        .chain(&theirs)
        .map(|key| NewAttempt {
            gateway_account: account,
            ..attempt(*key, 1)
        })
        .collect();
    insert_attempts(&mut connection, &attempts).unwrap();
    for (key, state, next) in [
        (mine[0], AttemptState::Settled, valid()),
        (mine[1], AttemptState::Unknown, later(false)),
    ] {
        let (token, _) = claimed(&mut connection, key);
        let class = (state == AttemptState::Settled).then_some(khata_domain::Class::Valid);
        let end = Settlement {
            attempt: Some(report(state, class)),
            provenance: Some(provenance()),
            ..settlement(key, token, next)
        };
        assert_eq!(settled(&mut connection, &[end]), [key]);
    }
    let marked =
        "possible_double_drop = true, unlisted_code = true, code = coalesce(code, 'brand_new')";
    connection
        .batch_execute(&format!(
            "update validation_attempts set {marked} where state in ('SETTLED', 'UNKNOWN')"
        ))
        .unwrap();
    let drops = attempts_by_class(&mut connection, one, began, 100).unwrap();
    let drops: BTreeMap<_, _> = drops
        .iter()
        .map(|row| (row.class.as_str(), row.possible_double_drops))
        .collect();
    assert_eq!(drops, [("STARTED", 0), ("UNKNOWN", 1), ("VALID", 1)].into());
    let mut codes = |merchant, limit| -> Vec<_> {
        let rows = unlisted_codes(&mut connection, merchant, began, limit).unwrap();
        assert!(rows.iter().all(|row| row.gateway_account == account));
        rows.into_iter()
            .map(|row| (row.code, row.attempts))
            .collect()
    };
    assert_eq!(codes(one, 100), [("ACCOUNT_IS_VALID".into(), 2)]);
    assert_eq!(codes(one, 1), [], "the newest has none");
    assert_eq!(codes(two, 100), []);
    let mut counts = |since, limit| -> BTreeMap<String, i64> {
        let rows = attempts_by_class(&mut connection, one, since, limit).unwrap();
        assert!(rows.iter().all(|row| row.gateway_account == account));
        rows.into_iter()
            .map(|row| (row.class, row.attempts))
            .collect()
    };
    let all = [
        ("VALID".into(), 1),
        ("UNKNOWN".into(), 1),
        ("STARTED".into(), 1),
    ];
    assert_eq!(counts(began, 100), all.into());
    assert_eq!(
        counts(began, 1),
        [("STARTED".into(), 1)].into(),
        "the newest"
    );
    assert!(counts(Utc::now() + TimeDelta::seconds(1), 100).is_empty());
}

#[test]
fn an_attempt_that_moved_nothing_is_no_possible_double_drop() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let began = Utc::now();
    let key = due(&mut connection, one, 1)[0];
    let codes = [
        "null",
        "'not_sent'",
        "'answer_lost'",
        "'not_yet_received'",
        "'not_received'",
        "'unclear_response'",
    ];
    let ends = [
        ("STARTED", "null"),
        ("UNKNOWN", "null"),
        ("PENDING", "'PENDING'"),
        ("SETTLED", "'VALID'"),
        ("SETTLED", "'INVALID'"),
        ("SETTLED", "'INCONCLUSIVE'"),
        ("SETTLED", "'RETRYABLE'"),
        ("SETTLED", "'MISCONFIGURED'"),
    ];
    let mut updates = Vec::new();
    for (state, class) in ends {
        for code in codes {
            for reference in ["null", "'cf_1'"] {
                updates.push(format!(
                    "state = '{state}', class = {class}, code = {code}, gateway_reference = {reference},
                     settled_at = case when '{state}' = 'SETTLED' then now() end"
                ));
            }
        }
    }
    for (number, update) in (1..).zip(&updates) {
        let new = NewAttempt {
            possible_double_drop: true,
            ..attempt(key, number)
        };
        insert_attempts(&mut connection, &[new]).unwrap();
        let update = format!("update validation_attempts set {update} where number = {number}");
        connection.batch_execute(&update).unwrap();
    }
    let rows = inspect::attempts(&mut connection, one, &[key.id]).unwrap();
    assert_eq!(rows.len(), updates.len());
    let mut may_have_paid = 0;
    for row in rows {
        let by_domain = khata_domain::attempt::Attempt::from((*row).clone());
        assert_eq!(row.possible_double_drop, by_domain.may_pay(), "{row:?}");
        may_have_paid += i64::from(row.possible_double_drop);
        if row.code.as_deref() == Some("not_sent") && row.gateway_reference.is_none() {
            let moved_nothing = row.class == Some(khata_domain::Class::Retryable);
            assert!(!(moved_nothing && row.possible_double_drop), "{row:?}");
        }
    }
    let counts = attempts_by_class(&mut connection, one, began, 1_000).unwrap();
    let counted: i64 = counts.iter().map(|row| row.possible_double_drops).sum();
    assert_eq!(counted, may_have_paid);
}
