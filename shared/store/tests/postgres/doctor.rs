//! The checks of `khata doctor`: each row is read once, and the status is judged as settling sets it. The end-to-end test of the command
//! has a bad row for each rule.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_crypto::{Keyring, KeyringFile, Purpose};
use khata_domain::validation::{FailureCode, Next, Outcome};
use khata_domain::{
    AccountId, AccountStatus, GatewayAccountId, MerchantId, PendingReason, ValidationId,
    ValidationKey,
};
use khata_store::database_metrics::open_validations;
use khata_store::doctor::{self, Page, Rule, Table};
use khata_store::retry::{self, Waiting};
use khata_store::rotation::{self, SealedColumn};
use khata_store::validations::{Postponement, QueuePlace, QueueRank, Slot, postpone};
use uuid::Uuid;

use crate::rows::{alter, alter_account, claimed, due, merchant};
use khata_testing::Database;

const WHOLE: Page = Page {
    from: Uuid::nil(),
    before: Uuid::max(),
    rows: 1,
};

/// The pages of a merchant's accounts.
fn pages(connection: &mut PgConnection, merchant: MerchantId, size: i64) -> Vec<Page> {
    let (mut pages, mut before) = (Vec::new(), Uuid::max());
    while let Some(page) =
        doctor::page(connection, Table::Accounts, merchant, before, size).unwrap()
    {
        before = page.from;
        pages.push(page);
    }
    pages
}

#[test]
fn the_status_must_be_the_one_that_the_outcome_makes() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let key = due(&mut connection, merchant, 1)[0];
    let differs = |connection: &mut PgConnection, status: AccountStatus| {
        let set = format!("status = '{status}', last_validated_at = now()");
        alter_account(connection, key, &set);
        let found = doctor::check(connection, Table::Accounts, merchant, WHOLE).unwrap();
        assert!(found.iter().all(|found| found.rule == Rule::StatusDiffers));
        !found.is_empty()
    };
    let live = [
        AccountStatus::Created,
        AccountStatus::Pending,
        AccountStatus::Active,
        AccountStatus::Failure,
    ];
    for status in live {
        let is_open = [AccountStatus::Created, AccountStatus::Pending].contains(&status);
        assert_eq!(differs(&mut connection, status), !is_open, "open, {status}");
    }
    for outcome in Outcome::ALL {
        let codes: Vec<Option<FailureCode>> = match outcome {
            Outcome::Valid | Outcome::Cancelled => vec![None],
            _ => FailureCode::ALL.iter().copied().map(Some).collect(),
        };
        for failure in codes {
            let code = failure.map_or("null".to_owned(), |code| format!("'{code}'"));
            alter(
                &mut connection,
                key,
                &format!(
                    "state = 'COMPLETED', completed_at = now(), outcome = '{outcome}', failure_code = {code}"
                ),
            );
            let next = Next::Complete {
                outcome: *outcome,
                failure,
            };
            for status in live {
                let is_right = next.account_status() == Some(status);
                let says = format!("{outcome} {failure:?}, {status}");
                assert_eq!(differs(&mut connection, status), !is_right, "{says}");
            }
        }
    }
}

#[test]
fn each_row_is_read_once_also_beside_another_merchant() {
    let database = Database::new();
    let mut connection = database.connect();
    let own = merchant(&mut connection, "local");
    let other = merchant(&mut connection, "other");
    due(&mut connection, own, 25);
    due(&mut connection, other, 5);
    connection
        .batch_execute("update customer_accounts set status = 'FAILURE'")
        .unwrap();
    doctor::prepare(&mut connection).unwrap();
    let pages = pages(&mut connection, own, 10);
    let rows: Vec<i64> = pages.iter().map(|page| page.rows).collect();
    assert_eq!(rows, [10, 10, 5]);
    let mut seen: Vec<AccountId> = Vec::new();
    for page in pages {
        let found = doctor::check(&mut connection, Table::Accounts, own, page).unwrap();
        seen.extend(found.iter().filter_map(|found| found.account));
    }
    let distinct: BTreeSet<AccountId> = seen.iter().copied().collect();
    assert_eq!((seen.len(), distinct.len()), (25, 25));
    assert!(
        connection
            .batch_execute("update customer_accounts set status = 'CREATED'")
            .is_err(),
        "the connection only reads"
    );
}

/// Values of two keys, one of which the keyring lacks: a sample of each key is tried in each page.
#[test]
fn a_sample_of_each_key_is_decrypted_in_each_page() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let (file, _) = KeyringFile::generate().with_new_key().unwrap();
    let newer = Keyring::from(&file.promoted());
    let older = Keyring::from(&KeyringFile::generate());
    due(&mut connection, merchant, 40);
    let ids: Vec<AccountId> = pages(&mut connection, merchant, 1)
        .iter()
        .map(|page| AccountId(page.from))
        .collect();
    for (place, id) in ids.iter().enumerate() {
        let keyring = if place % 4 == 0 { &older } else { &newer };
        let sealed = keyring.encrypt(merchant, id.0, Purpose::Details, b"details");
        diesel::sql_query("update customer_accounts set sealed_details = $1 where id = $2")
            .bind::<diesel::sql_types::Binary, _>(sealed)
            .bind::<diesel::sql_types::Uuid, _>(id.0)
            .execute(&mut connection)
            .unwrap();
    }
    for (samples, values, failed) in [(3, vec![6, 6], 6), (20, vec![20, 20], 10)] {
        let (mut before, mut tried, mut bad): (Option<Vec<u8>>, _, _) = (None, vec![], 0);
        while let Some(page) = rotation::decrypt(
            &mut connection,
            &newer,
            (SealedColumn::Details, merchant),
            before.as_deref(),
            (20, samples),
        )
        .unwrap()
        {
            assert_eq!(page.rows, 20);
            tried.push(page.values);
            bad += page.failed.len();
            before = Some(page.last);
        }
        assert_eq!((tried, bad), (values, failed));
    }
    let none = rotation::decrypt(
        &mut connection,
        &newer,
        (SealedColumn::AttemptReplies, merchant),
        None,
        (20, 3),
    );
    assert!(none.unwrap().is_none());
}

/// A postponed validation keeps its failed steps. Each reader leaves it out while it waits in a queue, for a booked call or for longer than
/// the interval of the retries.
#[test]
fn the_list_the_retry_the_metric_and_doctor_mean_the_same_by_set_aside() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 6);
    let gateway_account = GatewayAccountId::new();
    let waits = |key: ValidationKey, hours: u64| Postponement {
        key,
        delay: Duration::from_hours(hours),
        reason: PendingReason::RateLimited,
        slot: None,
        queue: None,
    };
    let queued = Postponement {
        queue: Some(QueuePlace {
            gateway_account,
            rank: QueueRank::New,
        }),
        ..waits(keys[1], 1)
    };
    let booked = |key: ValidationKey, at: TimeDelta| Postponement {
        slot: Some(Slot {
            gateway_account,
            at: Utc::now() + at,
        }),
        ..waits(key, 1)
    };
    let postponements = [
        waits(keys[0], 1),
        queued,
        booked(keys[2], TimeDelta::minutes(30)),
        booked(keys[3], TimeDelta::minutes(-30)),
        waits(keys[4], 2),
    ];
    postpone(&mut connection, &postponements).unwrap();
    claimed(&mut connection, keys[5]);
    connection
        .batch_execute("update validations set failed_steps = 10")
        .unwrap();
    let expected = BTreeSet::from([keys[0].id, keys[3].id]);

    let listed = retry::set_aside(&mut connection, None, 100).unwrap();
    let listed: BTreeSet<ValidationId> = listed.iter().map(|row| row.validation).collect();
    assert_eq!(listed, expected, "the list");
    let wanted = Waiting {
        set_aside: true,
        ..Waiting::default()
    };
    let retried = retry::waiting(&mut connection, merchant, wanted, 100).unwrap();
    let retried: BTreeSet<ValidationId> = retried.into_iter().collect();
    assert_eq!(retried, expected, "the retry");
    let counted = open_validations(&mut connection).unwrap();
    let counted: i64 = counted.iter().map(|row| row.set_aside).sum();
    assert_eq!(counted, 2, "the metric");
    let overdue = doctor::overdue_validations(&mut connection, merchant, 100).unwrap();
    assert_eq!(overdue, []);
    let found = doctor::set_aside(&mut connection, merchant, 100).unwrap();
    assert!(found.iter().all(|found| found.rule == Rule::SetAside));
    let found: BTreeSet<ValidationId> = found.iter().filter_map(|found| found.validation).collect();
    assert_eq!(found, expected, "doctor");

    // The scheduler has not taken it yet.
    alter(&mut connection, keys[0], "due_at = now() - interval '1 s'");
    let listed = retry::set_aside(&mut connection, None, 100).unwrap();
    let retried = retry::waiting(&mut connection, merchant, wanted, 100).unwrap();
    assert_eq!((listed.len(), retried.len()), (2, 2));
}

/// A long queue, leases in progress and attempts of deliveries in progress come first by their times, and use up no part of the limit.
#[test]
fn rows_that_are_no_finding_do_not_count_towards_the_limit() {
    let database = Database::new();
    let mut connection = database.connect();
    let merchant = merchant(&mut connection, "local");
    let keys = due(&mut connection, merchant, 20);
    for (place, key) in keys.iter().enumerate() {
        let set = match place {
            0..5 => {
                "state = 'WAITING', queued_gateway_account_id = gen_random_uuid(), queue_rank = 2, due_at = now() - interval '1 h'"
            }
            5..10 => {
                "state = 'LEASED', lease_token = gen_random_uuid(), leased_until = now() + interval '30 s', due_at = now() - interval '1 h'"
            }
            10..13 => "state = 'WAITING', failed_steps = 10, due_at = now() + interval '59 min'",
            13..16 => {
                "state = 'LEASED', lease_token = gen_random_uuid(), leased_until = now() - interval '3 min'"
            }
            _ => "due_at = now() - interval '3 min'",
        };
        alter(&mut connection, *key, set);
    }
    for (limit, expected) in [(2, [2, 2, 2]), (100, [3, 3, 4])] {
        let found = [
            doctor::set_aside(&mut connection, merchant, limit).unwrap(),
            doctor::expired_leases(&mut connection, merchant, limit).unwrap(),
            doctor::overdue_validations(&mut connection, merchant, limit).unwrap(),
        ];
        let rules = [Rule::SetAside, Rule::LeaseExpired, Rule::DueAndNotClaimed];
        for (found, rule) in found.iter().zip(rules) {
            assert!(found.iter().all(|found| found.rule == rule), "{found:?}");
        }
        assert_eq!(found.each_ref().map(Vec::len), expected);
    }

    connection
        .batch_execute(&format!(
            "insert into webhook_endpoints (merchant_id, id, url, sealed_settings, payload, concurrency)
             select '{0}', gen_random_uuid(), 'https://shop.example', '', 'FULL', 1 from generate_series(1, 2);
             insert into webhook_deliveries (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, started_at, created_at)
             select w.merchant_id, w.id, gen_random_uuid(), 1, gen_random_uuid(), 'OPEN', now() - (30 - n) * interval '1 min',
                case when n <= 10 then now() end, now()
             from webhook_endpoints w, generate_series(1, 15) n",
            merchant.0
        ))
        .unwrap();
    for (limit, expected) in [(3, 3), (100, 10)] {
        let found = doctor::overdue_deliveries(&mut connection, merchant, limit).unwrap();
        assert_eq!(found.len(), expected);
    }
}
