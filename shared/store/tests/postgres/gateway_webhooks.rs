//! Gateway webhooks, and when a worker reads them.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, Text};
use khata_domain::Class;
use khata_domain::ValidationKey;
use khata_domain::ids::AttemptReference;
use khata_domain::validation::{AttemptState, unavailable};
use khata_store::gateway_health::GatewayKey;
use khata_store::gateway_webhooks::{
    FoundAttempt, OpenAttempt, Received, by_our_reference, by_their_reference, delete_expired,
    receive, stored,
};
use khata_store::validations::{
    NewAttempt, Settlement, claim, give_up_attempts, insert_attempts, settle,
};

use crate::rows::{
    LEASE, attempt, claimed, current_state, due, later, merchant, provenance, report, rows_read,
    settled, settlement, token, valid,
};
use khata_testing::Database;
use khata_testing::database::number;

/// A waiting validation with one open attempt.
struct Waiting {
    key: ValidationKey,
    gateway: GatewayKey,
    reference: AttemptReference,
}

fn waiting(connection: &mut PgConnection) -> Waiting {
    let merchant = merchant(connection, "local");
    let key = due(connection, merchant, 1)[0];
    let (token, _) = claimed(connection, key);
    let reference = AttemptReference {
        validation: key.id,
        number: 1,
    };
    let new = NewAttempt {
        reference: reference.to_string(),
        ..attempt(key, 1)
    };
    let gateway = GatewayKey {
        merchant: key.merchant,
        account: new.gateway_account,
    };
    insert_attempts(connection, &[new]).unwrap();
    let mut pending = report(AttemptState::Pending, Some(Class::Pending));
    pending.webhook_gateway_account = Some(gateway.account);
    let waits = Settlement {
        attempt: Some(pending),
        provenance: Some(provenance()),
        ..settlement(key, token, later(true))
    };
    assert_eq!(settled(connection, &[waits]), [key]);
    Waiting {
        key,
        gateway,
        reference,
    }
}

fn open(found: FoundAttempt) -> OpenAttempt {
    match found {
        FoundAttempt::Open(attempt) => attempt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attempt_is_found_by_either_reference_and_by_its_own_gateway_account_only() {
    let database = Database::new();
    let mut connection = database.connect();
    let waiting = waiting(&mut connection);
    let ours =
        open(by_our_reference(&mut connection, waiting.gateway, &waiting.reference).unwrap());
    let theirs = open(by_their_reference(&mut connection, waiting.gateway, "34").unwrap());
    assert_eq!(ours, theirs);
    assert_eq!((ours.key, ours.number), (waiting.key, 1));
    assert_eq!(
        by_their_reference(&mut connection, waiting.gateway, "35").unwrap(),
        FoundAttempt::Unknown
    );
    let strangers = [
        GatewayKey {
            merchant: merchant(&mut connection, "stranger"),
            ..waiting.gateway
        },
        GatewayKey {
            account: khata_domain::GatewayAccountId::new(),
            ..waiting.gateway
        },
    ];
    for stranger in strangers {
        assert_eq!(
            by_our_reference(&mut connection, stranger, &waiting.reference).unwrap(),
            FoundAttempt::Unknown
        );
        assert_eq!(
            by_their_reference(&mut connection, stranger, "34").unwrap(),
            FoundAttempt::Unknown
        );
    }
}

#[test]
fn a_webhook_makes_its_validation_due_once() {
    let database = Database::new();
    let mut connection = database.connect();
    let waiting = waiting(&mut connection);
    let attempt =
        open(by_our_reference(&mut connection, waiting.gateway, &waiting.reference).unwrap());
    assert_eq!(
        receive(&mut connection, &attempt, &[1; 32], Some(b"sealed"), &[]).unwrap(),
        Received::Due
    );
    assert_eq!(current_state(&mut connection, waiting.key).state, "DUE");
    assert_eq!(
        receive(&mut connection, &attempt, &[1; 32], Some(b"sealed"), &[]).unwrap(),
        Received::Ignored
    );
    let (token, claimed) = claimed(&mut connection, waiting.key);
    assert!(claimed.webhook_received);
    let stored = stored(&mut connection, &[waiting.key])
        .unwrap()
        .remove(&waiting.key)
        .unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(
        (stored[0].number, stored[0].sealed_response.as_deref()),
        (1, Some(&b"sealed"[..]))
    );
    // The validation ends, and later webhooks are too late.
    let end = Settlement {
        attempt: Some(report(AttemptState::Settled, Some(Class::Valid))),
        provenance: Some(provenance()),
        ..settlement(waiting.key, token, valid())
    };
    settle(&mut connection, &[end]).unwrap();
    assert_eq!(
        receive(&mut connection, &attempt, &[2; 32], None, &[]).unwrap(),
        Received::Ignored
    );
    assert_eq!(
        by_our_reference(&mut connection, waiting.gateway, &waiting.reference).unwrap(),
        FoundAttempt::Ended
    );
    assert_eq!(
        by_their_reference(&mut connection, waiting.gateway, "34").unwrap(),
        FoundAttempt::Ended
    );
}

#[test]
fn a_webhook_during_a_lease_makes_the_next_step_due_at_once() {
    let database = Database::new();
    let mut connection = database.connect();
    let waiting = waiting(&mut connection);
    let attempt =
        open(by_our_reference(&mut connection, waiting.gateway, &waiting.reference).unwrap());
    receive(&mut connection, &attempt, &[1; 32], None, &[]).unwrap();
    let (token, _) = claimed(&mut connection, waiting.key);
    assert_eq!(
        receive(&mut connection, &attempt, &[2; 32], None, &[]).unwrap(),
        Received::Stored
    );
    let waits = Settlement {
        delay: std::time::Duration::from_hours(1),
        ..settlement(waiting.key, token, later(true))
    };
    settle(&mut connection, &[waits]).unwrap();
    let due = crate::rows::take_due(
        &mut connection,
        10,
        false,
        std::time::Duration::from_secs(15),
    );
    assert_eq!(due.unwrap().len(), 1);
    let (_, claimed) = claimed(&mut connection, waiting.key);
    assert!(claimed.webhook_received);
}

#[test]
fn a_webhook_about_an_attempt_that_was_given_up_is_taken_until_another_one_is_made() {
    let database = Database::new();
    let mut connection = database.connect();
    let waiting = waiting(&mut connection);
    give_up_attempts(&mut connection, &[(waiting.key, 1)]).unwrap();
    let find = |connection: &mut PgConnection| {
        by_our_reference(connection, waiting.gateway, &waiting.reference).unwrap()
    };
    let attempt = open(find(&mut connection));
    assert_eq!((attempt.key, attempt.number), (waiting.key, 1));
    assert_eq!(
        receive(&mut connection, &attempt, &[1; 32], Some(b"sealed"), &[]).unwrap(),
        Received::Due
    );
    let second = crate::rows::attempt(waiting.key, 2);
    insert_attempts(&mut connection, &[second]).unwrap();
    assert_eq!(find(&mut connection), FoundAttempt::Ended);
}

#[test]
fn a_webhook_that_arrives_in_the_last_step_is_used_before_the_validation_ends() {
    let database = Database::new();
    let mut connection = database.connect();
    let waiting = waiting(&mut connection);
    crate::rows::alter(&mut connection, waiting.key, "state = 'DUE'");
    let (token, _) = claimed(&mut connection, waiting.key);
    let attempt =
        open(by_our_reference(&mut connection, waiting.gateway, &waiting.reference).unwrap());
    let received = receive(&mut connection, &attempt, &[1; 32], Some(b"sealed"), &[]);
    assert_eq!(received.unwrap(), Received::Stored);
    let end = |token| Settlement {
        attempt: Some(report(AttemptState::Settled, Some(Class::Pending))),
        ..settlement(waiting.key, token, unavailable())
    };
    settle(&mut connection, &[end(token)]).unwrap();
    let current = current_state(&mut connection, waiting.key);
    assert_eq!(
        (current.state.as_str(), current.account_status.as_str()),
        ("WAITING", "PENDING")
    );
    let due = "select count(*) from validations where due_at <= now()";
    assert_eq!(number(&mut connection, due), 1);
    // A step that has seen the webhook may end the validation.
    crate::rows::alter(&mut connection, waiting.key, "state = 'DUE'");
    let (token, _) = claimed(&mut connection, waiting.key);
    settle(&mut connection, &[end(token)]).unwrap();
    let current = current_state(&mut connection, waiting.key);
    assert_eq!(current.outcome.as_deref(), Some("UNAVAILABLE"));
}

#[test]
fn hints_about_one_attempt_cause_one_lookup_in_ten_seconds() {
    let database = Database::new();
    let mut connection = database.connect();
    let waiting = waiting(&mut connection);
    let attempt =
        open(by_our_reference(&mut connection, waiting.gateway, &waiting.reference).unwrap());
    let hint = |connection: &mut PgConnection| receive(connection, &attempt, &[1; 32], None, &[]);
    assert_eq!(hint(&mut connection).unwrap(), Received::Due);
    let first_at = number(
        &mut connection,
        "select extract(epoch from received_at) * 1000000 from gateway_notices",
    );
    for _ in 0..100 {
        assert_eq!(
            hint(&mut connection).unwrap(),
            Received::Ignored,
            "one is pending"
        );
    }
    let (token, _) = claimed(&mut connection, waiting.key);
    assert_eq!(
        hint(&mut connection).unwrap(),
        Received::Ignored,
        "a worker looks it up"
    );
    let waits = Settlement {
        delay: std::time::Duration::from_hours(1),
        ..settlement(waiting.key, token, later(true))
    };
    settle(&mut connection, &[waits]).unwrap();
    // The next hint is kept, and the validation is due ten seconds after the first one.
    assert_eq!(hint(&mut connection).unwrap(), Received::Stored);
    assert_eq!(hint(&mut connection).unwrap(), Received::Ignored);
    let row = current_state(&mut connection, waiting.key);
    assert_eq!(row.state, "WAITING");
    assert_eq!(
        number(&mut connection, "select count(*) from gateway_notices"),
        1
    );
    let due_at = number(
        &mut connection,
        "select extract(epoch from due_at) * 1000000 from validations",
    );
    assert_eq!(due_at - first_at, 10_000_000, "microseconds");
}

/// Postgres plans a statement while the tables are empty, and keeps the plan until it has statistics.
#[test]
fn a_webhook_is_read_with_its_own_attempt_without_statistics() {
    let database = Database::new();
    let mut connection = database.connect();
    connection
        .batch_execute("set plan_cache_mode = force_generic_plan")
        .unwrap();
    let merchant = merchant(&mut connection, "local");
    let gateway = GatewayKey {
        merchant,
        account: khata_domain::GatewayAccountId::new(),
    };
    let read = |connection: &mut PgConnection, key: ValidationKey| {
        let reference = AttemptReference {
            validation: key.id,
            number: 1,
        };
        let theirs = by_their_reference(connection, gateway, &key.id.to_string()).unwrap();
        let ours = by_our_reference(connection, gateway, &reference).unwrap();
        stored(connection, &[key]).unwrap();
        [theirs, ours].map(|found| matches!(found, FoundAttempt::Open(_)))
    };
    let unknown = ValidationKey {
        merchant,
        id: khata_domain::ValidationId::new(),
    };
    assert_eq!(read(&mut connection, unknown), [false; 2]);
    let keys = due(&mut connection, merchant, 400);
    let new = keys.iter().map(|key| NewAttempt {
        gateway_account: gateway.account,
        ..attempt(*key, 1)
    });
    insert_attempts(&mut connection, &new.collect::<Vec<_>>()).unwrap();
    let token = token();
    claim(&mut connection, &keys, token, LEASE).unwrap();
    let waits = keys.iter().map(|key| {
        let mut pending = report(AttemptState::Pending, Some(Class::Pending));
        pending.webhook_gateway_account = Some(gateway.account);
        pending.gateway_reference = Some(key.id.to_string());
        Settlement {
            attempt: Some(pending),
            provenance: Some(provenance()),
            ..settlement(*key, token, later(true))
        }
    });
    settle(&mut connection, &waits.collect::<Vec<_>>()).unwrap();
    let (found, rows) = rows_read(&mut connection, |connection| read(connection, keys[200]));
    assert_eq!(found, [true; 2]);
    assert!(rows < 50, "{rows} rows read for one attempt");
}

#[test]
fn the_unread_fields_of_a_webhook_are_kept_with_its_attempt() {
    let database = Database::new();
    let mut connection = database.connect();
    let waiting = waiting(&mut connection);
    let attempt =
        open(by_our_reference(&mut connection, waiting.gateway, &waiting.reference).unwrap());
    let received = |connection: &mut PgConnection, response: Option<&[u8]>, field: &str| {
        let fields = [field.to_owned(), "account_status".to_owned()];
        receive(connection, &attempt, &[1; 32], response, &fields).unwrap()
    };
    let kept = |connection: &mut PgConnection| -> Vec<String> {
        diesel::dsl::sql::<Array<Text>>("select not_understood from validation_attempts")
            .get_result(connection)
            .unwrap()
    };
    assert_eq!(received(&mut connection, None, "event"), Received::Due);
    assert_eq!(kept(&mut connection), ["account_status", "event"]);
    // The hint is pending already, and the fields are others.
    assert_eq!(received(&mut connection, None, "utr"), Received::Ignored);
    assert_eq!(kept(&mut connection), ["account_status", "event", "utr"]);
    let row_version = "select xmin::text::bigint from validation_attempts";
    let version = number(&mut connection, row_version);
    received(&mut connection, None, "utr");
    assert_eq!(number(&mut connection, row_version), version, "no write");
    // The response of a worker adds its own fields.
    let (token, _) = claimed(&mut connection, waiting.key);
    let mut end = report(AttemptState::Settled, Some(Class::Valid));
    end.not_understood = vec!["name_at_bank".to_owned(), "utr".to_owned()];
    let end = Settlement {
        attempt: Some(end),
        provenance: Some(provenance()),
        ..settlement(waiting.key, token, valid())
    };
    settle(&mut connection, &[end]).unwrap();
    let all = ["account_status", "event", "name_at_bank", "utr"];
    assert_eq!(kept(&mut connection), all);
    received(&mut connection, Some(b"sealed"), "late");
    assert_eq!(kept(&mut connection), all, "the validation has ended");
}

#[test]
fn webhooks_are_deleted_after_the_longest_possible_validation() {
    let database = Database::new();
    let mut connection = database.connect();
    let waiting = waiting(&mut connection);
    let attempt =
        open(by_our_reference(&mut connection, waiting.gateway, &waiting.reference).unwrap());
    receive(&mut connection, &attempt, &[1; 32], None, &[]).unwrap();
    assert_eq!(delete_expired(&mut connection, 10).unwrap(), 0);
    for (table, column) in [
        ("gateway_notices", "received_at"),
        ("gateway_references", "created_at"),
    ] {
        diesel::sql_query(format!(
            "update {table} set {column} = now() - interval '32 days'"
        ))
        .execute(&mut connection)
        .unwrap();
    }
    assert_eq!(delete_expired(&mut connection, 10).unwrap(), 2);
}
