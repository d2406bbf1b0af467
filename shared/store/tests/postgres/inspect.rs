//! One account with its history, and the retry of its open validation.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Timestamptz, Uuid as SqlUuid};
use khata_domain::ids::first_at;
use khata_domain::validation::{AttemptState, FailureCode, Outcome};
use khata_domain::{
    AccountId, Class, GatewayAccountId, MerchantId, PendingReason, ValidationId, ValidationState,
};
use khata_store::inspect::{
    Account, account_of_validation, attempts, find, find_of_any_merchant, validations,
};
use khata_store::name_review;
use khata_store::retry::{RetryResult, retry_now};
use khata_store::validations::{Postponement, Settlement, Slot, insert_attempts, postpone, settle};

use crate::rows::{
    LEASE, alter, alter_account, attempt, call, claimed, create, current_state, due, ids, later,
    merchant, provenance, report, rows_read, settlement, take_due, valid,
};
use khata_testing::Database;
use khata_testing::database::number;

/// A new account with its validation.
fn account(connection: &mut PgConnection, merchant: MerchantId) -> Account {
    let seed = AccountId::new().to_string();
    let call = call(merchant, "customer_1122", &[&seed]);
    let created = create(connection, std::slice::from_ref(&call));
    let id = ids(&call, &created[0])[0];
    find(connection, merchant, id).unwrap().unwrap()
}

/// Adds a validation with this time of creation, which becomes the account's newest.
fn validated_again(
    connection: &mut PgConnection,
    account: &Account,
    at: DateTime<Utc>,
) -> ValidationId {
    let id = ValidationId(first_at(at));
    diesel::sql_query(
        "with new as (
            insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, created_at)
            values ($1, $2, $3, 'DUE', now(), now() + interval '1 h', $4) returning merchant_id, id, account_id
         )
         update customer_accounts a set validation_id = new.id from new
         where a.merchant_id = new.merchant_id and a.id = new.account_id",
    )
    .bind::<SqlUuid, _>(account.merchant.0)
    .bind::<SqlUuid, _>(id.0)
    .bind::<SqlUuid, _>(account.id.0)
    .bind::<Timestamptz, _>(at)
    .execute(connection)
    .unwrap();
    id
}

fn read_again(connection: &mut PgConnection, account: &Account) -> Account {
    find(connection, account.merchant, account.id)
        .unwrap()
        .unwrap()
}

#[test]
fn an_account_is_found_by_its_id_alone_and_by_no_other_merchant() {
    let database = Database::new();
    let mut connection = database.connect();
    let [_, one, two] = ["zero", "one", "two"].map(|name| merchant(&mut connection, name));
    let account = account(&mut connection, one);
    let found = find_of_any_merchant(&mut connection, account.id)
        .unwrap()
        .unwrap();
    assert_eq!((found.id, found.merchant), (account.id, one));
    assert_eq!(
        (found.merchant_name.as_str(), found.masked.as_str()),
        ("one", "XXXXXXX1191")
    );
    assert!(find(&mut connection, two, account.id).unwrap().is_none());
    assert!(
        find_of_any_merchant(&mut connection, AccountId::new())
            .unwrap()
            .is_none()
    );
    diesel::sql_query("update customer_accounts set status = 'DELETED', deleted_at = now()")
        .execute(&mut connection)
        .unwrap();
    let deleted = find_of_any_merchant(&mut connection, account.id).unwrap();
    assert!(deleted.unwrap().deleted_at.is_some(), "deleted ones too");
}

#[test]
fn an_account_is_found_by_any_of_its_validations() {
    let database = Database::new();
    let mut connection = database.connect();
    let [one, two] = ["one", "two"].map(|name| merchant(&mut connection, name));
    let account = account(&mut connection, one);
    let first = account.validation().unwrap().id;
    let second = validated_again(&mut connection, &account, Utc::now() + TimeDelta::hours(1));
    for validation in [first, second] {
        for (among, found) in [(None, true), (Some(one), true), (Some(two), false)] {
            assert_eq!(
                account_of_validation(&mut connection, among, validation).unwrap(),
                found.then_some((one, account.id)),
                "{validation} among {among:?}"
            );
        }
    }
    let unknown = account_of_validation(&mut connection, None, ValidationId::new()).unwrap();
    assert_eq!(unknown, None);
}

#[test]
fn the_search_over_all_merchants_looks_up_and_does_not_scan() {
    let database = Database::new();
    let mut connection = database.connect();
    for name in ["one", "two", "three"] {
        let merchant = merchant(&mut connection, name);
        due(&mut connection, merchant, 400);
    }
    connection.batch_execute("analyze").unwrap();
    // Statistics of this connection.
    let scans = |connection: &mut _, table: &str| {
        ["seq_scan", "idx_scan"].map(|kind| {
            let counts = format!("pg_stat_xact_user_tables where relname = '{table}'");
            number(connection, &format!("select {kind} from {counts}"))
        })
    };
    // In one transaction, as a connection flushes its statistics between two.
    connection
        .transaction(|connection| {
            for table in ["customer_accounts", "validations"] {
                let [scanned, looked_up] = scans(connection, table);
                if table == "validations" {
                    account_of_validation(connection, None, ValidationId::new())?;
                } else {
                    find_of_any_merchant(connection, AccountId::new())?;
                }
                assert_eq!(
                    scans(connection, table),
                    [scanned, looked_up + 3],
                    "one for each merchant in {table}"
                );
            }
            QueryResult::Ok(())
        })
        .unwrap();
}

/// Postgres plans a statement while the tables are empty, and keeps the plan until it has statistics.
#[test]
fn an_account_is_shown_by_the_keys_of_its_rows_without_statistics() {
    let database = Database::new();
    let mut connection = database.connect();
    connection
        .batch_execute("set plan_cache_mode = force_generic_plan")
        .unwrap();
    let one = merchant(&mut connection, "one");
    let show = |connection: &mut PgConnection, account: &Account| {
        let found = find(connection, one, account.id).unwrap().unwrap();
        let read = validations(connection, &found, 20).unwrap();
        let ids: Vec<_> = read.rows.iter().map(|row| row.id).collect();
        let made = attempts(connection, one, &ids).unwrap();
        name_review::in_review(connection, Some(one), 20).unwrap();
        (ids.len(), made.len())
    };
    let account = account(&mut connection, one);
    assert_eq!(show(&mut connection, &account), (1, 0), "planned");
    let keys = due(&mut connection, one, 400);
    let new: Vec<_> = keys.iter().map(|key| attempt(*key, 1)).collect();
    insert_attempts(&mut connection, &new).unwrap();
    for key in &keys[..10] {
        alter(
            &mut connection,
            *key,
            "state = 'COMPLETED', outcome = 'REVIEW', failure_code = 'NAME_MISMATCH', failure_reason = '', completed_at = now()",
        );
        alter_account(&mut connection, *key, "status = 'PENDING'");
    }
    let again = validated_again(&mut connection, &account, Utc::now() + TimeDelta::hours(1));
    let again = khata_domain::ValidationKey {
        merchant: one,
        id: again,
    };
    insert_attempts(&mut connection, &[attempt(again, 1)]).unwrap();
    let (found, rows) = rows_read(&mut connection, |connection| show(connection, &account));
    assert_eq!(found, (2, 1));
    // Twice 20 validations are searched for those of the account, and ten accounts are in review.
    assert!(rows < 200, "{rows} rows read");
}

#[test]
fn only_validations_of_the_account_are_found() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let account = account(&mut connection, one);
    let first = account.validation().unwrap().id;
    let read = |connection: &mut _, account: &Account, reach| {
        let read = validations(connection, account, reach).unwrap();
        let ids: Vec<_> = read.rows.iter().map(|row| row.id).collect();
        (ids, read.complete)
    };
    assert_eq!(
        read(&mut connection, &account, 10),
        (vec![first], true),
        "only the one it began with"
    );
    // The merchant has other validations in between.
    let now = Utc::now();
    let other = self::account(&mut connection, one);
    for minute in 1..=6 {
        validated_again(&mut connection, &other, now + TimeDelta::minutes(minute));
    }
    let second = validated_again(
        &mut connection,
        &account,
        now + TimeDelta::seconds(3 * 60 + 30),
    );
    let third = validated_again(&mut connection, &account, now + TimeDelta::minutes(10));
    let account = read_again(&mut connection, &account);
    assert_eq!(
        read(&mut connection, &account, 10),
        (vec![first, second, third], true)
    );
    assert_eq!(
        read(&mut connection, &account, 5),
        (vec![first, second, third], true),
        "early and late meet"
    );
    let (found, complete) = read(&mut connection, &account, 2);
    assert_eq!(
        (found, complete),
        (vec![first, third], false),
        "the one between is out of reach, and the result says so"
    );
    let none = find(&mut connection, one, other.id).unwrap().unwrap();
    assert_eq!(
        validations(&mut connection, &none, 10).unwrap().rows.len(),
        7
    );
}

#[test]
fn attempts_have_the_name_of_their_gateway_account() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let account = account(&mut connection, one);
    let key = account.validation().unwrap();
    let new = attempt(key, 1);
    let gateway_account = new.gateway_account;
    insert_attempts(&mut connection, &[new]).unwrap();
    let (token, _) = claimed(&mut connection, key);
    let mut said = report(AttemptState::Settled, Some(Class::Valid));
    said.unlisted_code = true;
    said.failure = Some(FailureCode::ImpsNotEnabled);
    said.not_understood = vec!["utr".to_owned(), "name_at_bank".to_owned()];
    let end = Settlement {
        attempt: Some(said),
        provenance: Some(provenance()),
        name_match_score: Some(85),
        gateway_name_match_score: Some(90),
        reused_from: Some(key.id),
        ..settlement(key, token, valid())
    };
    settle(&mut connection, &[end]).unwrap();
    diesel::sql_query(
        "insert into gateway_accounts (merchant_id, id, gateway_id, reference_id) values ($1, $2, 70, 'cashfree_main')",
    )
    .bind::<SqlUuid, _>(one.0)
    .bind::<SqlUuid, _>(gateway_account.0)
    .execute(&mut connection)
    .unwrap();
    let found = attempts(&mut connection, one, &[key.id]).unwrap();
    assert_eq!(found.len(), 1);
    let attempt_row = &found[0];
    assert_eq!((attempt_row.key.id, attempt_row.number), (key.id, 1));
    assert_eq!(attempt_row.gateway_account, gateway_account);
    assert_eq!(
        attempt_row.gateway_reference_id.as_deref(),
        Some("cashfree_main")
    );
    assert_eq!(
        (
            attempt_row.state,
            attempt_row.class,
            attempt_row.code.as_deref()
        ),
        (
            AttemptState::Settled,
            Some(Class::Valid),
            Some("ACCOUNT_IS_VALID")
        )
    );
    assert_eq!((attempt_row.polls, attempt_row.latency_ms), (2, Some(120)));
    assert!(
        attempt_row.settled_at.is_some()
            && !attempt_row.possible_double_drop
            && attempt_row.unlisted_code
    );
    assert_eq!(attempt_row.choice, "first by priority 1");
    assert_eq!(attempt_row.failure, Some(FailureCode::ImpsNotEnabled));
    assert_eq!(attempt_row.not_understood, ["name_at_bank", "utr"]);
    let row = &validations(&mut connection, &account, 10).unwrap().rows[0];
    assert_eq!(row.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(
        (row.state, row.outcome),
        (ValidationState::Completed, Some(Outcome::Valid))
    );
    assert_eq!(
        (row.name_match_score, row.gateway_name_match_score),
        (Some(85), Some(90))
    );
    assert_eq!(row.reused_from, Some(key.id));
    assert!(!row.fresh && !row.webhook_received && row.slot.is_none());
    let elsewhere = merchant(&mut connection, "two");
    assert!(
        attempts(&mut connection, elsewhere, &[key.id])
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_waiting_validation_shows_its_slot_and_reason() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let account = account(&mut connection, one);
    let key = account.validation().unwrap();
    let slot = Slot {
        gateway_account: GatewayAccountId::new(),
        at: Utc::now().trunc_subsecs(6),
    };
    let waits = Postponement {
        key,
        delay: Duration::from_secs(30),
        reason: PendingReason::RateLimited,
        slot: Some(slot),
        queue: None,
    };
    postpone(&mut connection, &[waits]).unwrap();
    alter(&mut connection, key, "fresh = true, called_back = true");
    let row = &validations(&mut connection, &account, 10).unwrap().rows[0];
    assert_eq!(row.slot, Some(slot));
    assert!(row.fresh && row.webhook_received && row.reused_from.is_none());
}

#[test]
fn only_an_open_validation_is_made_due() {
    let database = Database::new();
    let mut connection = database.connect();
    let one = merchant(&mut connection, "one");
    let key = account(&mut connection, one).validation().unwrap();
    let take = |connection: &mut _| take_due(connection, 10, false, LEASE).unwrap().len();
    let done = |was| Some(RetryResult::MadeDue { was });

    // DUE, and within its wake-up grace: due at the next poll.
    assert_eq!(take(&mut connection), 0);
    assert_eq!(
        retry_now(&mut connection, key),
        Ok(done(ValidationState::Due))
    );
    assert_eq!(take(&mut connection), 1);

    let (token, _) = claimed(&mut connection, key);
    let held = retry_now(&mut connection, key).unwrap();
    assert!(matches!(held, Some(RetryResult::Leased { .. })), "{held:?}");
    assert_eq!(
        current_state(&mut connection, key).lease_token,
        Some(token.0),
        "it still is"
    );

    let waits = Settlement {
        delay: Duration::from_hours(1),
        ..settlement(key, token, later(false))
    };
    settle(&mut connection, &[waits]).unwrap();
    assert_eq!(take(&mut connection), 0);
    assert_eq!(
        retry_now(&mut connection, key),
        Ok(done(ValidationState::Waiting))
    );
    assert_eq!(current_state(&mut connection, key).state, "WAITING");
    assert_eq!(take(&mut connection), 1);

    let (token, _) = claimed(&mut connection, key);
    settle(&mut connection, &[settlement(key, token, valid())]).unwrap();
    let before = current_state(&mut connection, key);
    assert_eq!(
        retry_now(&mut connection, key),
        Ok(Some(RetryResult::Completed {
            outcome: Outcome::Valid
        }))
    );
    assert_eq!(current_state(&mut connection, key), before, "final");
    let elsewhere = merchant(&mut connection, "two");
    let theirs = khata_domain::ValidationKey {
        merchant: elsewhere,
        ..key
    };
    assert_eq!(retry_now(&mut connection, theirs), Ok(None));
}
