//! The database metrics: correct, and read without scanning the table.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use khata_crypto::{ApiKeyHash, Keyring, KeyringFile, Purpose};
use khata_domain::validation::{FailureCode, Next, Outcome};
use khata_domain::{Gateway, GatewayAccountId, MerchantId, ValidationState};
use khata_store::database_metrics::{
    self, MAX_COUNTED, OPEN_DELIVERIES, OpenValidations, open_validations_text,
};
use khata_store::encryption_counts::{self, EncryptionCounter};
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::keys::KeyScope;
use khata_store::merchants::insert_key;
use khata_store::name_review::{self, decide};
use khata_store::validations::settle;

use crate::rows::{alter, alter_account, claimed, due, later, merchant, settlement, valid};
use khata_testing::Database;

fn of_state(facts: &[OpenValidations], state: ValidationState) -> &OpenValidations {
    facts.iter().find(|row| row.state == state).unwrap()
}

#[test]
fn unfinished_validations_are_counted_and_completed_ones_are_not() {
    let database = Database::new();
    let mut connection = database.connect();
    assert_eq!(
        database_metrics::open_validations(&mut connection).unwrap(),
        []
    );
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 5);
    for (key, next) in [(keys[0], valid()), (keys[1], later(true))] {
        let (token, _) = claimed(&mut connection, key);
        settle(&mut connection, &[settlement(key, token, next)]).unwrap();
    }
    claimed(&mut connection, keys[2]);
    alter(
        &mut connection,
        keys[1],
        "created_at = now() - interval '1 hour'",
    );
    let facts = database_metrics::open_validations(&mut connection).unwrap();
    let counts = [
        ValidationState::Due,
        ValidationState::Leased,
        ValidationState::Waiting,
    ]
    .map(|state| {
        let row = of_state(&facts, state);
        assert_eq!(row.merchant, merchant);
        (row.count, row.stuck)
    });
    assert_eq!(counts, [(2, 0), (1, 0), (1, 0)]);
    let oldest = of_state(&facts, ValidationState::Waiting).oldest_seconds;
    assert!((3_600.0..3_700.0).contains(&oldest), "{oldest}");
    assert!(
        facts.iter().all(|row| row.overdue_seconds < 1.0),
        "{facts:?}"
    );
}

#[test]
fn overdue_validations_are_stuck() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 4);
    for key in &keys[2..] {
        claimed(&mut connection, *key);
    }
    alter(
        &mut connection,
        keys[0],
        "due_at = now() - interval '119 s'",
    );
    alter(
        &mut connection,
        keys[1],
        "due_at = now() - interval '130 s'",
    );
    alter(
        &mut connection,
        keys[2],
        "leased_until = now() - interval '50 s'",
    );
    alter(
        &mut connection,
        keys[3],
        "leased_until = now() - interval '70 s'",
    );
    let facts = database_metrics::open_validations(&mut connection).unwrap();
    let (due, leased) = (
        of_state(&facts, ValidationState::Due),
        of_state(&facts, ValidationState::Leased),
    );
    assert_eq!((due.count, due.stuck), (2, 1));
    assert_eq!((leased.count, leased.stuck), (2, 1));
    assert!((130.0..140.0).contains(&due.overdue_seconds), "{due:?}");
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    text: String,
}

/// Returns the plan of a statement, as it was carried out.
fn plan_of(connection: &mut PgConnection, statement: &str) -> String {
    let explain = format!("explain (analyze, buffers) {statement}");
    let plan: Vec<Line> = diesel::sql_query(explain).load(connection).unwrap();
    let plan: Vec<&str> = plan.iter().map(|line| line.text.as_str()).collect();
    plan.join("\n")
}

/// 60,000 due deliveries of one endpoint, as many delivered ones, and 50 endpoints: each count reads the first due ones of each endpoint
/// by the index of the open ones, and no more than an equal share.
#[test]
fn a_backlog_of_deliveries_is_not_read_as_a_whole() {
    let database = Database::new();
    let mut connection = database.connect();
    connection
        .batch_execute(
            "insert into webhook_endpoints (merchant_id, id, url, sealed_settings, payload, concurrency)
             select gen_random_uuid(), gen_random_uuid(), 'https://shop.example', '', 'FULL', 1 from generate_series(1, 50);
             insert into webhook_deliveries (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, created_at,
                delivered_at)
             select w.merchant_id, w.id, gen_random_uuid(), 1, gen_random_uuid(), s.state, now() - n * interval '1 ms', now(),
                case when s.state = 'DELIVERED' then now() end
             from (select merchant_id, id from webhook_endpoints limit 1) w, (values ('OPEN'), ('DELIVERED')) s (state),
                generate_series(1, 60000) n;
             insert into webhook_deliveries (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, created_at)
             select merchant_id, id, gen_random_uuid(), 2, gen_random_uuid(), 'OPEN', now() + interval '1 hour', now()
             from webhook_endpoints;
             analyze webhook_deliveries, webhook_endpoints",
        )
        .unwrap();
    let statement = OPEN_DELIVERIES.replace("$1", &MAX_COUNTED.to_string());
    let plan = plan_of(&mut connection, &statement);
    eprintln!("{plan}");
    assert!(plan.contains("webhook_deliveries_open"), "{plan}");
    assert!(!plan.contains("Seq Scan on webhook_deliveries"), "{plan}");
    let facts = database_metrics::open_deliveries(&mut connection).unwrap();
    // One endpoint has a share of the counted ones; 49 have one that waits.
    let share = MAX_COUNTED / 50;
    let [facts] = &facts[..] else {
        panic!("{facts:?}")
    };
    assert_eq!((facts.due, facts.waiting), (share, 49));
    assert!(facts.overdue_seconds >= 60.0, "{facts:?}");
}

/// 200,000 completed validations and 200 open ones: the statement reads the index of open ones, and little else.
#[test]
fn completed_validations_are_not_read() {
    let database = Database::new();
    let mut connection = database.connect();
    connection
        .batch_execute(
            "insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, created_at, completed_at, outcome)
             select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'COMPLETED', now(), now(), now(), now(), 'VALID'
             from generate_series(1, 200000);
             insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, created_at)
             select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'DUE', now(), now(), now()
             from generate_series(1, 200);
             analyze validations",
        )
        .unwrap();
    let limit = database_metrics::MAX_COUNTED.to_string();
    let statement = open_validations_text().replace("$1", &limit);
    // The time of the server alone. A busy machine may delay one of the executions, and a slow statement is always slow.
    let mut fastest = f64::INFINITY;
    for _ in 0..3 {
        let plan = plan_of(&mut connection, &statement);
        eprintln!("{plan}");
        assert!(plan.contains("validations_open"), "{plan}");
        assert!(!plan.contains("Seq Scan on validations"), "{plan}");
        let took = plan
            .lines()
            .find_map(|line| line.strip_prefix("Execution Time: ")?.strip_suffix(" ms"))
            .unwrap();
        fastest = fastest.min(took.parse().unwrap());
    }
    assert!(fastest < 100.0, "{fastest} ms");
    assert_eq!(
        database_metrics::open_validations(&mut connection)
            .unwrap()
            .len(),
        200
    );
}

/// 100,000 visible events: the statement reads the index after them.
#[test]
fn visible_events_are_not_read() {
    let database = Database::new();
    let mut connection = database.connect();
    connection
        .batch_execute(
            "insert into merchants (id, name)
             select gen_random_uuid(), 'merchant-' || number from generate_series(1, 20) number;
             insert into events (merchant_id, id, position, subject_id, version, name, created_at)
             -- Below the number of any transaction: a new server begins with 3 or more.
             select m.id, gen_random_uuid(), number % 3, gen_random_uuid(), 1, 'CUSTOMER_ACCOUNT_CREATED', now()
             from merchants m, generate_series(1, 5000) number;
             analyze events",
        )
        .unwrap();
    let explain = format!("explain {}", database_metrics::events_held_back_text());
    let plan: Vec<Line> = diesel::sql_query(explain).load(&mut connection).unwrap();
    let plan: Vec<String> = plan.into_iter().map(|line| line.text).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan using events_in_order"), "{plan}");
    let held_back = database_metrics::events_held_back(&mut connection).unwrap();
    assert!(held_back.abs() < f64::EPSILON, "{held_back}");
}

#[test]
fn the_state_of_gateway_accounts_is_reported() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let account = |reference_id| NewGatewayAccount {
        id: GatewayAccountId::new(),
        gateway_id: Gateway::Dummy.id(),
        reference_id,
        priority: 1,
        pinned_only: false,
        base_url: None,
        settings: &serde_json::Value::Null,
    };
    for reference in ["fine", "down", "off"] {
        let settings = serde_json::json!({});
        let new = NewGatewayAccount {
            settings: &settings,
            ..account(reference)
        };
        gateway_accounts::insert(&mut connection, merchant, &new, None).unwrap();
    }
    connection
        .batch_execute(
            "update gateway_accounts set enabled = false where reference_id = 'off';
             insert into gateway_states (merchant_id, gateway_account_id, circuit, open_until, paused_until,
                misconfigured_code, misconfigured_since)
             select merchant_id, id, 'OPEN', now(), now() - interval '1 s', 'insufficient_balance', now()
             from gateway_accounts where reference_id = 'down'",
        )
        .unwrap();
    let mut gateways = database_metrics::gateways(&mut connection).unwrap();
    gateways.sort_by(|a, b| a.reference_id.cmp(&b.reference_id));
    let found: Vec<_> = gateways
        .iter()
        .map(|g| {
            assert_eq!((g.merchant, g.gateway_id), (merchant, Gateway::Dummy.id()));
            (
                g.reference_id.as_str(),
                g.is_down,
                g.is_paused,
                g.is_misconfigured,
            )
        })
        .collect();
    assert_eq!(
        found,
        [("down", true, false, true), ("fine", false, false, false)]
    );
}

#[test]
fn keys_that_expire_soon_without_a_successor_are_counted() {
    let database = Database::new();
    let mut connection = database.connect();
    let [one, two, three, four] =
        ["one", "two", "three", "four"].map(|name| merchant(&mut connection, name));
    let mut issue = |merchant, byte, days: Option<i64>, scope| {
        let expires_at = days.map(|days| Utc::now() + TimeDelta::days(days));
        let hash = ApiKeyHash([byte; 32]);
        insert_key(
            &mut connection,
            merchant,
            &hash,
            "kh_test_abcd",
            expires_at,
            scope,
        )
        .unwrap()
    };
    // Both of one expire; two's old key has a successor, and a key that never expires or has expired is no news.
    for (merchant, byte, days) in [
        (one, 1, Some(13)),
        (one, 2, Some(5)),
        (two, 3, Some(5)),
        (two, 4, Some(90)),
        (three, 5, None),
        (three, 6, Some(-1)),
        (three, 7, Some(15)),
    ] {
        issue(merchant, byte, days, KeyScope::Admin);
    }
    // A key that permits less is no successor, one that permits more is.
    for (byte, days, scope) in [
        (8, Some(3), KeyScope::Read),
        (9, Some(5), KeyScope::Create),
        (10, None, KeyScope::Read),
    ] {
        issue(four, byte, days, scope);
    }
    let found = database_metrics::expiring_keys(&mut connection).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|keys| (keys.merchant, keys.keys))
        .collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.contains(&(one, 2)) && found.contains(&(four, 1)),
        "{found:?}"
    );
    connection
        .batch_execute("update api_keys set revoked_at = now() where key_hash = decode(repeat('04', 32), 'hex')")
        .unwrap();
    assert_eq!(
        database_metrics::expiring_keys(&mut connection)
            .unwrap()
            .len(),
        3
    );
}

#[test]
fn accounts_in_review_are_counted_and_listed_until_a_person_decides() {
    let database = Database::new();
    let mut connection = database.connect();
    let (one, two) = (
        merchant(&mut connection, "one"),
        merchant(&mut connection, "two"),
    );
    let in_review = |connection: &mut PgConnection, merchant, count| {
        let keys = due(connection, merchant, count);
        for key in &keys {
            let (token, _) = claimed(connection, *key);
            settle(connection, &[settlement(*key, token, Next::name_review())]).unwrap();
        }
        keys
    };
    let keys = in_review(&mut connection, one, 4);
    let other = in_review(&mut connection, two, 1)[0];
    // An open validation, and one in review for fraud.
    let [open, fraud] = due(&mut connection, one, 2)[..] else {
        panic!("two")
    };
    let (token, _) = claimed(&mut connection, fraud);
    let suspected = Next::Complete {
        outcome: Outcome::Review,
        failure: Some(FailureCode::SuspectedFraud),
    };
    settle(&mut connection, &[settlement(fraud, token, suspected)]).unwrap();
    alter(
        &mut connection,
        keys[2],
        "completed_at = now() - interval '3 days'",
    );
    alter(
        &mut connection,
        keys[3],
        "completed_at = now() - interval '4 days'",
    );
    // Decided, and repeated.
    assert!(decide(&mut connection, keys[0], true).unwrap());
    alter_account(
        &mut connection,
        keys[3],
        &format!("validation_id = '{}'", open.id.0),
    );
    let mut counted = database_metrics::accounts_in_review(&mut connection).unwrap();
    counted.sort_by_key(|row| row.merchant != one);
    let counts: Vec<_> = counted
        .iter()
        .map(|row| (row.merchant, row.count))
        .collect();
    assert_eq!(counts, [(one, 2), (two, 1)]);
    let days = counted[0].oldest_seconds / 86_400.0;
    assert!((3.0..3.1).contains(&days), "{days}");
    let listed = |connection: &mut PgConnection, merchant, limit| -> Vec<_> {
        let accounts = name_review::in_review(connection, merchant, limit).unwrap();
        accounts.iter().map(|one| one.validation).collect()
    };
    assert_eq!(
        listed(&mut connection, None, 10),
        [keys[2].id, keys[1].id, other.id]
    );
    assert_eq!(listed(&mut connection, Some(one), 1), [keys[2].id]);
    assert_eq!(listed(&mut connection, Some(two), 10), [other.id]);
    let first = &name_review::in_review(&mut connection, Some(one), 1).unwrap()[0];
    assert_eq!(first.merchant_name, "one");
    assert!(first.age_seconds > 2.9 * 86_400.0, "{first:?}");
}

/// 20,000 completed validations of a merchant: those in review are found by their index.
#[test]
fn completed_validations_are_not_read_for_those_in_review() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    connection
        .batch_execute(&format!(
            "insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, created_at, completed_at, outcome)
             select '{}', gen_random_uuid(), gen_random_uuid(), 'COMPLETED', now(), now(), now(), now(), 'VALID'
             from generate_series(1, 20000);
             analyze validations; analyze merchants",
            merchant.0
        ))
        .unwrap();
    let explain = format!("explain {}", database_metrics::ACCOUNTS_IN_REVIEW);
    let plan: Vec<Line> = diesel::sql_query(&explain).load(&mut connection).unwrap();
    let plan: Vec<&str> = plan.iter().map(|line| line.text.as_str()).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("validations_in_review"), "{plan}");
    assert!(!plan.contains("Seq Scan on validations"), "{plan}");
}

#[test]
fn encryptions_are_counted_by_key_over_all_processes() {
    let database = Database::new();
    let mut connection = database.connect();
    let keyring = || Arc::new(Keyring::from(&KeyringFile::generate()));
    let (one, two) = (keyring(), keyring());
    let counters = [&one, &two].map(|keyring| EncryptionCounter::new(Arc::clone(keyring)));
    for counter in &counters {
        counter.store(&mut connection).unwrap();
    }
    let mut total = || -> i64 {
        let rows = encryption_counts::all(&mut connection).unwrap();
        assert!(rows.iter().all(|(key, _)| *key == 1), "{rows:?}");
        rows.iter().map(|(_, count)| count).sum()
    };
    // Each process counts some in advance, and never fewer than there are.
    let reserved = total();
    assert!(reserved > 0);
    let merchant = MerchantId::new();
    for _ in 0..30_000 {
        one.encrypt(merchant, merchant.0, Purpose::Contact, b"x");
    }
    let mut connection = database.connect();
    for counter in &counters {
        counter.store(&mut connection).unwrap();
        counter.store(&mut connection).unwrap();
    }
    // The reserve grows with the use, so that the same burst before the next count is counted, too.
    assert!(total() >= reserved + 2 * 30_000, "{}", total());
    for _ in 0..30_000 {
        one.encrypt(merchant, merchant.0, Purpose::Contact, b"x");
    }
    assert!(total() >= 60_000);
    assert_eq!(one.encryptions(), 60_000);
    // When a process stops, no more are added than there are.
    let before = total();
    counters[0].store_last(&mut connection).unwrap();
    assert_eq!(total(), before);
}
