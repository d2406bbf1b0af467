//! The CHECK constraints hold the state machines for every writer, and each migration can be reverted.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use khata_testing::Database;
use khata_testing::database::number;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// A row that is allowed, as columns and SQL values.
type Row = &'static [(&'static str, &'static str)];
/// The changed columns, and the constraint that rejects them; `None` if they are allowed.
type Case = (Row, Option<&'static str>);

const MERCHANT: Row = &[
    ("id", "gen_random_uuid()"),
    ("name", "'m' || gen_random_uuid()"),
];
const ACCOUNT: Row = &[
    ("merchant_id", "gen_random_uuid()"),
    ("customer_id", "gen_random_uuid()"),
    ("id", "gen_random_uuid()"),
    ("kind", "'BANK'"),
    ("sealed_details", "'\\x00'"),
    ("fingerprint", "sha256('a')"),
    ("masked", "'XXXXXXX1191'"),
    ("status", "'CREATED'"),
    ("created_at", "now()"),
    ("updated_at", "now()"),
];
const VALIDATION: Row = &[
    ("merchant_id", "gen_random_uuid()"),
    ("id", "gen_random_uuid()"),
    ("account_id", "gen_random_uuid()"),
    ("state", "'DUE'"),
    ("due_at", "now()"),
    ("deadline_at", "now()"),
    ("created_at", "now()"),
];
const ATTEMPT: Row = &[
    ("merchant_id", "gen_random_uuid()"),
    ("validation_id", "gen_random_uuid()"),
    ("number", "1"),
    ("gateway_account_id", "gen_random_uuid()"),
    ("gateway_id", "70"),
    ("method", "'PENNY_DROP'"),
    ("reference", "'kh_01'"),
    ("choice", "'first'"),
    ("state", "'STARTED'"),
];

fn judge(table: &str, row: Row, cases: &[Case]) {
    let database = Database::new();
    let mut connection = database.connect();
    for (changes, refused_by) in cases {
        let columns: BTreeMap<_, _> = row.iter().chain(*changes).copied().collect();
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let statement = format!(
            "insert into {table} ({}) values ({})",
            names.join(", "),
            values.join(", ")
        );
        let found = match diesel::sql_query(&statement).execute(&mut connection) {
            Ok(_) => None,
            Err(Error::DatabaseError(DatabaseErrorKind::CheckViolation, info)) => {
                Some(info.constraint_name().unwrap().to_owned())
            }
            Err(error) => panic!("{statement}: {error}"),
        };
        assert_eq!(found.as_deref(), *refused_by, "{changes:?}");
    }
}

#[test]
fn each_state_of_a_validation_requires_its_columns() {
    const TOKEN: (&str, &str) = ("lease_token", "gen_random_uuid()");
    const UNTIL: (&str, &str) = ("leased_until", "now()");
    const LEASED: (&str, &str) = ("state", "'LEASED'");
    const COMPLETED: (&str, &str) = ("state", "'COMPLETED'");
    const AT: (&str, &str) = ("completed_at", "now()");
    const CODE: (&str, &str) = ("failure_code", "'INVALID_ACCOUNT'");
    judge(
        "validations",
        VALIDATION,
        &[
            (&[], None),
            (&[("state", "'WAITING'")], None),
            (&[LEASED, TOKEN, UNTIL], None),
            (&[COMPLETED, AT, ("outcome", "'VALID'")], None),
            (&[COMPLETED, AT, ("outcome", "'CANCELLED'")], None),
            (&[COMPLETED, AT, ("outcome", "'INVALID'"), CODE], None),
            (&[COMPLETED, AT, ("outcome", "'REVIEW'"), CODE], None),
            (&[COMPLETED, AT, ("outcome", "'UNAVAILABLE'"), CODE], None),
            (&[LEASED], Some("leased_has_a_lease")),
            (&[LEASED, TOKEN], Some("leased_has_a_lease")),
            (&[LEASED, UNTIL], Some("leased_has_a_lease")),
            (&[TOKEN, UNTIL], Some("leased_has_a_lease")),
            (&[UNTIL], Some("leased_has_a_lease")),
            (
                &[("state", "'WAITING'"), TOKEN, UNTIL],
                Some("leased_has_a_lease"),
            ),
            (
                &[COMPLETED, AT, ("outcome", "'VALID'"), TOKEN, UNTIL],
                Some("leased_has_a_lease"),
            ),
            (&[COMPLETED], Some("completed_has_an_outcome")),
            (&[COMPLETED, AT], Some("completed_has_an_outcome")),
            (
                &[COMPLETED, ("outcome", "'VALID'")],
                Some("completed_has_an_outcome"),
            ),
            (
                &[AT, ("outcome", "'VALID'")],
                Some("completed_has_an_outcome"),
            ),
            (&[("outcome", "'VALID'")], Some("completed_has_an_outcome")),
            (
                &[COMPLETED, AT, ("outcome", "'INVALID'")],
                Some("failure_has_a_code"),
            ),
            (
                &[COMPLETED, AT, ("outcome", "'REVIEW'")],
                Some("failure_has_a_code"),
            ),
            (
                &[COMPLETED, AT, ("outcome", "'UNAVAILABLE'")],
                Some("failure_has_a_code"),
            ),
            (
                &[COMPLETED, AT, ("outcome", "'VALID'"), CODE],
                Some("failure_has_a_code"),
            ),
            (
                &[COMPLETED, AT, ("outcome", "'CANCELLED'"), CODE],
                Some("failure_has_a_code"),
            ),
            (&[CODE], Some("failure_has_a_code")),
            (&[("state", "'READY'")], Some("validations_state_check")),
            (
                &[COMPLETED, AT, ("outcome", "'MAYBE'")],
                Some("validations_outcome_check"),
            ),
            (&[("method", "'GUESS'")], Some("validations_method_check")),
            (&[("attempts", "-1")], Some("validations_attempts_check")),
            (
                &[("name_match_score", "101")],
                Some("validations_name_match_score_check"),
            ),
            (&[("queue_rank", "1")], Some("queue_has_a_rank")),
            (
                &[
                    ("queued_gateway_account_id", "gen_random_uuid()"),
                    ("queue_rank", "3"),
                ],
                Some("queue_rank_is_known"),
            ),
            (
                &[
                    ("queued_gateway_account_id", "gen_random_uuid()"),
                    ("queue_rank", "2"),
                ],
                None,
            ),
        ],
    );
}

#[test]
fn an_active_account_was_validated_and_a_deleted_one_has_a_time() {
    judge(
        "customer_accounts",
        ACCOUNT,
        &[
            (&[], None),
            (&[("status", "'PENDING'")], None),
            (&[("status", "'FAILURE'")], None),
            (
                &[("status", "'ACTIVE'"), ("last_validated_at", "now()")],
                None,
            ),
            (&[("status", "'DELETED'"), ("deleted_at", "now()")], None),
            (&[("pinned_gateway_id", "70")], None),
            (
                &[
                    ("pinned_gateway_id", "70"),
                    ("pinned_gateway_reference_id", "'main'"),
                ],
                None,
            ),
            (&[("status", "'ACTIVE'")], Some("active_was_validated")),
            (&[("status", "'DELETED'")], Some("deleted_has_a_time")),
            (&[("deleted_at", "now()")], Some("deleted_has_a_time")),
            (
                &[("pinned_gateway_reference_id", "'main'")],
                Some("reference_needs_gateway"),
            ),
            (
                &[("status", "'LOST'")],
                Some("customer_accounts_status_check"),
            ),
            (&[("kind", "'CARD'")], Some("customer_accounts_kind_check")),
            (
                &[("fingerprint", "'\\x00'")],
                Some("customer_accounts_fingerprint_check"),
            ),
        ],
    );
}

#[test]
fn an_attempt_is_settled_with_a_class_and_a_time() {
    const SETTLED: (&str, &str) = ("state", "'SETTLED'");
    judge(
        "validation_attempts",
        ATTEMPT,
        &[
            (&[], None),
            (&[("state", "'UNKNOWN'")], None),
            (&[("state", "'PENDING'"), ("class", "'PENDING'")], None),
            (
                &[SETTLED, ("class", "'VALID'"), ("settled_at", "now()")],
                None,
            ),
            (
                &[SETTLED, ("settled_at", "now()")],
                Some("settled_has_a_class"),
            ),
            (
                &[SETTLED, ("class", "'VALID'")],
                Some("settled_has_a_class"),
            ),
            (&[("settled_at", "now()")], Some("settled_has_a_class")),
            (
                &[("state", "'DONE'")],
                Some("validation_attempts_state_check"),
            ),
            (
                &[("class", "'GOOD'")],
                Some("validation_attempts_class_check"),
            ),
            (
                &[("method", "'GUESS'")],
                Some("validation_attempts_method_check"),
            ),
            (&[("number", "0")], Some("validation_attempts_number_check")),
        ],
    );
}

#[test]
fn a_merchants_name_and_deadline_are_within_bounds() {
    judge(
        "merchants",
        MERCHANT,
        &[
            (&[], None),
            (&[("validation_deadline_seconds", "60")], None),
            (&[("name", "'Local'")], Some("merchants_name_check")),
            (&[("name", "''")], Some("merchants_name_check")),
            (
                &[("validation_deadline_seconds", "59")],
                Some("merchants_validation_deadline_seconds_check"),
            ),
        ],
    );
}

#[test]
fn the_schema_allows_exactly_the_words_of_the_domain() {
    use khata_domain::validation::{AttemptState, Outcome};
    use khata_domain::{AccountKind, AccountStatus, Class, Method, PendingReason, ValidationState};
    use khata_store::idempotency::ReplyForm;
    use khata_store::keys::KeyScope;

    let database = Database::new();
    let mut connection = database.connect();
    let mut constraint = |name: &str, mut words: Vec<&str>| {
        let definition: String =
            diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>(&format!(
                "(select pg_get_constraintdef(oid) from pg_constraint where conname = '{name}')"
            )))
            .get_result(&mut connection)
            .unwrap();
        let mut found: Vec<&str> = definition.split('\'').skip(1).step_by(2).collect();
        found.sort_unstable();
        words.sort_unstable();
        assert_eq!(found, words, "{name}");
    };
    let reasons = PendingReason::ALL
        .iter()
        .map(|word| word.as_str())
        .collect();
    constraint("pending_reason_is_known", reasons);
    let scopes = KeyScope::ALL.iter().map(|word| word.as_str()).collect();
    constraint("scope_is_known", scopes);
    let mut words = |table: &str, column: &str, words| {
        constraint(&format!("{table}_{column}_check"), words);
    };
    let all = |all: &[Class]| all.iter().map(|word| word.as_str()).collect::<Vec<_>>();
    words("validation_attempts", "class", all(Class::ALL));
    words(
        "validation_attempts",
        "state",
        AttemptState::ALL.iter().map(|w| w.as_str()).collect(),
    );
    let methods: Vec<_> = Method::ALL.iter().map(|w| w.as_str()).collect();
    words("validation_attempts", "method", methods.clone());
    words("validations", "method", methods);
    words(
        "validations",
        "outcome",
        Outcome::ALL.iter().map(|w| w.as_str()).collect(),
    );
    words(
        "validations",
        "state",
        ValidationState::ALL.iter().map(|w| w.as_str()).collect(),
    );
    words(
        "customer_accounts",
        "status",
        AccountStatus::ALL.iter().map(|w| w.as_str()).collect(),
    );
    words(
        "customer_accounts",
        "kind",
        AccountKind::ALL.iter().map(|w| w.as_str()).collect(),
    );
    words(
        "idempotency_records",
        "answer_form",
        ReplyForm::ALL.iter().map(|w| w.as_str()).collect(),
    );
}

#[test]
fn every_migration_can_be_reverted_and_repeated() {
    let database = Database::new();
    let mut connection = database.connect();
    let everything = "select count(*) from pg_class where relnamespace = 'public'::regnamespace
        and relname not like '\\_\\_diesel%'";
    let constraints =
        "select count(*) from pg_constraint where connamespace = 'public'::regnamespace";
    let columns = "select count(*) from information_schema.columns
        where table_schema = 'public' and table_name not like '\\_\\_diesel%'";
    let counts = |connection: &mut PgConnection| {
        [everything, constraints, columns].map(|count| number(connection, count))
    };
    let all = counts(&mut connection);
    assert!(all.iter().all(|count| *count > 0), "{all:?}");
    // Each step alone, from the last one down.
    while !connection.applied_migrations().unwrap().is_empty() {
        let before = counts(&mut connection);
        let step = connection.revert_last_migration(MIGRATIONS).unwrap();
        connection.run_next_migration(MIGRATIONS).unwrap();
        assert_eq!(counts(&mut connection), before, "{step}");
        connection.revert_last_migration(MIGRATIONS).unwrap();
    }
    assert_eq!(number(&mut connection, everything), 0);
    connection.run_pending_migrations(MIGRATIONS).unwrap();
    assert_eq!(counts(&mut connection), all);
}
