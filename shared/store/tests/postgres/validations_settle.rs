//! Settling: only with the lease, once, and its effect on attempt, validation and account.

use diesel::prelude::*;
use khata_domain::validation::{AttemptState, FailureCode, Next, Outcome, unavailable};
use khata_domain::{AccountStatus, Class, MerchantId};
use khata_domain::{ValidationKey, ValidationState};
use khata_store::accounts;
use khata_store::name_review::decide;
use khata_store::validations::{LeaseToken, Settlement, attempts, claim, insert_attempts, settle};

use crate::rows::{
    LEASE, alter, alter_account, attempt, call, claimed, create, current_state, due, invalid,
    later, merchant, provenance, report, settled, settlement, take_due, token, valid,
};
use khata_testing::Database;
use khata_testing::database::number;

struct Bench {
    connection: PgConnection,
    merchant: MerchantId,
    _database: Database,
}

fn bench() -> Bench {
    let database = Database::new();
    let mut connection = database.connect();
    Bench {
        merchant: merchant(&mut connection, "local"),
        connection,
        _database: database,
    }
}

impl Bench {
    /// A claimed validation with its first attempt.
    fn with_attempt(&mut self) -> (ValidationKey, LeaseToken) {
        let key = due(&mut self.connection, self.merchant, 1)[0];
        let (token, _) = claimed(&mut self.connection, key);
        insert_attempts(&mut self.connection, &[attempt(key, 1)]).unwrap();
        (key, token)
    }

    fn settle(&mut self, settlement: Settlement) -> bool {
        let key = settlement.key;
        let settled = settled(&mut self.connection, &[settlement]);
        assert!(settled.is_empty() || settled == [key]);
        !settled.is_empty()
    }

    /// The scheduler finds the expired lease.
    fn rescue(&mut self, key: ValidationKey) {
        alter(
            &mut self.connection,
            key,
            "leased_until = now() - interval '1 s', due_at = now() - interval '1 s'",
        );
        let due = take_due(&mut self.connection, 10, false, LEASE).unwrap();
        assert_eq!((due[0].key, due[0].was), (key, ValidationState::Leased));
    }
}

#[test]
fn a_valid_response_completes_validation_attempt_and_account() {
    let mut bench = bench();
    let (key, token) = bench.with_attempt();
    let mut change = settlement(key, token, valid());
    change.provenance = Some(provenance());
    change.attempt = Some(report(AttemptState::Settled, Some(Class::Valid)));
    change.sealed_result = Some(b"sealed".to_vec());
    change.name_match_score = Some(85);
    assert!(bench.settle(change));
    let current = current_state(&mut bench.connection, key);
    assert_eq!(
        (current.state.as_str(), current.lease_token),
        ("COMPLETED", None)
    );
    assert_eq!(
        (current.outcome.as_deref(), current.failure_code),
        (Some("VALID"), None)
    );
    assert_eq!(
        (current.account_status.as_str(), current.attempts),
        ("ACTIVE", 1)
    );
    assert!(current.completed_at.is_some() && current.last_validated_at.is_some());
    let row = &attempts(&mut bench.connection, &[key]).unwrap()[&key][0];
    assert_eq!(
        (row.state, row.class),
        (AttemptState::Settled, Some(Class::Valid))
    );
    assert_eq!(row.code.as_deref(), Some("ACCOUNT_IS_VALID"));
    assert_eq!(
        (row.gateway_reference.as_deref(), row.polls),
        (Some("34"), 2)
    );
    let seen = "select count(*) from validations where gateway_id = 70 and gateway_reference_id = 'cashfree_main'
        and method = 'PENNY_DROP' and sealed_result = 'sealed' and name_match_score = 85";
    assert_eq!(number(&mut bench.connection, seen), 1);
    let timed = "select count(*) from validation_attempts where latency_ms = 120 and settled_at is not null";
    assert_eq!(number(&mut bench.connection, timed), 1);
}

#[test]
fn each_outcome_gives_the_account_its_status() {
    let mut bench = bench();
    let complete = |outcome, failure| Next::Complete { outcome, failure };
    for (next, state, status, validated) in [
        (valid(), "COMPLETED", "ACTIVE", true),
        (invalid(), "COMPLETED", "FAILURE", true),
        (
            complete(Outcome::Review, Some(FailureCode::SuspectedFraud)),
            "COMPLETED",
            "FAILURE",
            true,
        ),
        // A person decides.
        (Next::name_review(), "COMPLETED", "PENDING", true),
        // No gateway gave a result for the account.
        (unavailable(), "COMPLETED", "FAILURE", false),
        (
            complete(Outcome::Cancelled, None),
            "COMPLETED",
            "CREATED",
            false,
        ),
        (later(true), "WAITING", "PENDING", false),
        (later(false), "WAITING", "CREATED", false),
    ] {
        let (key, token) = bench.with_attempt();
        assert!(
            bench.settle(settlement(key, token, next.clone())),
            "{next:?}"
        );
        let current = current_state(&mut bench.connection, key);
        assert_eq!(
            (current.state.as_str(), current.account_status.as_str()),
            (state, status),
            "{next:?}"
        );
        assert_eq!(current.last_validated_at.is_some(), validated, "{next:?}");
        assert_eq!(
            current.completed_at.is_some(),
            state == "COMPLETED",
            "{next:?}"
        );
    }
}

#[test]
fn a_waiting_validation_is_due_after_its_delay() {
    let mut bench = bench();
    let (key, token) = bench.with_attempt();
    let mut change = settlement(key, token, later(true));
    change.provenance = Some(provenance());
    change.attempt = Some(report(AttemptState::Pending, Some(Class::Pending)));
    assert!(bench.settle(change));
    let reason = "select count(*) from validations where pending_reason = 'RETRYING'";
    assert_eq!(number(&mut bench.connection, reason), 1);
    let soon = "select count(*) from validations where due_at between now() + interval '1 s' and now() + interval '30 s'";
    assert_eq!(number(&mut bench.connection, soon), 1);
    let open =
        "select count(*) from validation_attempts where state = 'PENDING' and settled_at is null";
    assert_eq!(number(&mut bench.connection, open), 1);
}

#[test]
fn settling_requires_the_lease_token() {
    let mut bench = bench();
    let (key, right) = bench.with_attempt();
    let before = current_state(&mut bench.connection, key);
    let mut change = settlement(key, token(), valid());
    change.provenance = Some(provenance());
    change.attempt = Some(report(AttemptState::Settled, Some(Class::Valid)));
    assert!(!bench.settle(change));
    assert_eq!(current_state(&mut bench.connection, key), before);
    let row = &attempts(&mut bench.connection, &[key]).unwrap()[&key][0];
    assert_eq!(
        (row.state, row.polls),
        (AttemptState::Started, 0),
        "nor the attempt"
    );
    assert!(bench.settle(settlement(key, right, valid())));
}

#[test]
fn a_waiting_validation_is_not_settled_by_its_old_token() {
    let mut bench = bench();
    let (key, token) = bench.with_attempt();
    assert!(bench.settle(settlement(key, token, later(false))));
    assert!(!bench.settle(settlement(key, token, invalid())));
    assert_eq!(current_state(&mut bench.connection, key).state, "WAITING");
}

#[test]
fn settling_after_a_rescue_changes_nothing() {
    let mut bench = bench();
    let (key, late) = bench.with_attempt();
    bench.rescue(key);
    assert!(!bench.settle(settlement(key, late, valid())), "it is DUE");
    assert_eq!(current_state(&mut bench.connection, key).state, "DUE");
    let (holder, _) = claimed(&mut bench.connection, key);
    assert!(
        !bench.settle(settlement(key, late, valid())),
        "another worker holds it"
    );
    assert_eq!(
        current_state(&mut bench.connection, key).lease_token,
        Some(holder.0)
    );
    assert!(bench.settle(settlement(key, holder, invalid())));
    assert!(!bench.settle(settlement(key, late, valid())), "it is final");
    assert_eq!(
        current_state(&mut bench.connection, key).account_status,
        "FAILURE"
    );
}

#[test]
fn a_completed_validation_never_changes_again() {
    let mut bench = bench();
    let (key, token) = bench.with_attempt();
    assert!(bench.settle(settlement(key, token, valid())));
    let is_final = current_state(&mut bench.connection, key);
    alter(
        &mut bench.connection,
        key,
        "due_at = now() - interval '1 day'",
    );
    let is_final = super::rows::CurrentState {
        due_at: current_state(&mut bench.connection, key).due_at,
        ..is_final
    };
    for next in [valid(), invalid(), later(true)] {
        assert!(!bench.settle(settlement(key, token, next)));
    }
    assert!(
        claim(&mut bench.connection, &[key], token, LEASE)
            .unwrap()
            .is_empty()
    );
    assert!(
        take_due(&mut bench.connection, 10, false, LEASE)
            .unwrap()
            .is_empty()
    );
    assert_eq!(current_state(&mut bench.connection, key), is_final);
}

#[test]
fn a_batch_settles_only_validations_whose_lease_holds() {
    let mut bench = bench();
    let (held, held_token) = bench.with_attempt();
    let (lost, lost_token) = bench.with_attempt();
    let (waiting, waiting_token) = bench.with_attempt();
    bench.rescue(lost);
    let mut settled = settled(
        &mut bench.connection,
        &[
            settlement(lost, lost_token, invalid()),
            settlement(held, held_token, valid()),
            settlement(waiting, waiting_token, later(true)),
        ],
    );
    settled.sort_unstable();
    let mut expected = [held, waiting];
    expected.sort_unstable();
    assert_eq!(settled, expected);
    let mut state = |key| current_state(&mut bench.connection, key).account_status;
    assert_eq!(
        (state(held), state(lost), state(waiting)),
        ("ACTIVE".into(), "CREATED".into(), "PENDING".into())
    );
    assert!(settle(&mut bench.connection, &[]).unwrap().is_empty());
}

#[test]
fn an_account_follows_only_its_newest_validation() {
    let mut bench = bench();
    let (key, token) = bench.with_attempt();
    alter_account(
        &mut bench.connection,
        key,
        "validation_id = gen_random_uuid()",
    );
    assert!(bench.settle(settlement(key, token, valid())));
    let current = current_state(&mut bench.connection, key);
    assert_eq!(
        (current.state.as_str(), current.account_status.as_str()),
        ("COMPLETED", "CREATED")
    );
    assert_eq!(current.last_validated_at, None);
}

#[test]
fn a_deleted_account_stays_deleted() {
    let mut bench = bench();
    for next in [valid(), invalid(), later(true)] {
        let (key, token) = bench.with_attempt();
        alter_account(
            &mut bench.connection,
            key,
            "status = 'DELETED', deleted_at = now()",
        );
        assert!(bench.settle(settlement(key, token, next)));
        let current = current_state(&mut bench.connection, key);
        assert_eq!(current.account_status, "DELETED");
        assert_eq!(current.last_validated_at, None);
    }
}

#[test]
fn a_later_step_without_a_name_keeps_the_name() {
    let mut bench = bench();
    let (key, first) = bench.with_attempt();
    let mut change = settlement(key, first, later(true));
    change.sealed_result = Some(b"name".to_vec());
    change.name_match_score = Some(70);
    assert!(bench.settle(change));
    alter(&mut bench.connection, key, "state = 'DUE'");
    let (second, _) = claimed(&mut bench.connection, key);
    assert!(bench.settle(settlement(key, second, valid())));
    let kept =
        "select count(*) from validations where sealed_result = 'name' and name_match_score = 70";
    assert_eq!(number(&mut bench.connection, kept), 1);
}

#[test]
fn validating_an_active_account_again_updates_its_time() {
    let mut bench = bench();
    let (key, token) = bench.with_attempt();
    alter_account(
        &mut bench.connection,
        key,
        "status = 'ACTIVE', last_validated_at = now() - interval '1 year'",
    );
    assert!(bench.settle(settlement(key, token, valid())));
    let today =
        "select count(*) from customer_accounts where last_validated_at > now() - interval '1 day'";
    assert_eq!(number(&mut bench.connection, today), 1);
}

#[test]
fn the_merchant_reads_the_settled_result() {
    let mut bench = bench();
    let create_call = call(bench.merchant, "customer_9", &["z"]);
    create(&mut bench.connection, std::slice::from_ref(&create_call));
    let key = ValidationKey {
        merchant: bench.merchant,
        id: create_call.accounts[0].validation,
    };
    let (token, _) = claimed(&mut bench.connection, key);
    insert_attempts(&mut bench.connection, &[attempt(key, 1)]).unwrap();
    let mut change = settlement(key, token, invalid());
    change.provenance = Some(provenance());
    change.attempt = Some(report(AttemptState::Settled, Some(Class::Invalid)));
    assert!(bench.settle(change));
    let row = accounts::find(
        &mut bench.connection,
        bench.merchant,
        &create_call.customer,
        create_call.accounts[0].id,
    )
    .unwrap()
    .unwrap();
    assert_eq!(row.status, AccountStatus::Failure);
    assert_eq!(row.validation.pending_reason, None, "the validation ended");
    assert_eq!(
        row.validation.failure_code.map(FailureCode::as_str),
        Some("INVALID_ACCOUNT")
    );
    assert_eq!(
        row.validation.failure_reason.as_deref(),
        Some(FailureCode::InvalidAccount.reason())
    );
    assert_eq!(
        (row.validation.attempts, row.validation.gateway_id),
        (Some(1), Some(70))
    );
    assert_eq!(
        row.validation.gateway_reference_id.as_deref(),
        Some("cashfree_main")
    );
    assert!(row.validation.completed_at.is_some());
}

#[test]
fn a_person_decides_once_about_a_name_and_only_in_review() {
    for (accept, status, outcome, code) in [
        (true, "ACTIVE", "VALID", None),
        (false, "FAILURE", "INVALID", Some("NAME_MISMATCH")),
    ] {
        let mut bench = bench();
        let (other, token) = bench.with_attempt();
        let fraud = Next::Complete {
            outcome: Outcome::Review,
            failure: Some(FailureCode::SuspectedFraud),
        };
        assert!(bench.settle(settlement(other, token, fraud)));
        let (key, token) = bench.with_attempt();
        assert!(!decide(&mut bench.connection, key, accept).unwrap(), "open");
        assert!(bench.settle(settlement(key, token, Next::name_review())));
        assert!(
            !decide(&mut bench.connection, other, accept).unwrap(),
            "fraud"
        );
        assert!(decide(&mut bench.connection, key, accept).unwrap());
        let current = current_state(&mut bench.connection, key);
        assert_eq!(current.account_status.as_str(), status);
        assert_eq!(current.outcome.as_deref(), Some(outcome));
        assert_eq!(current.failure_code.as_deref(), code);
        assert!(
            !decide(&mut bench.connection, key, !accept).unwrap(),
            "decided"
        );
        assert_eq!(current_state(&mut bench.connection, key), current);
    }
}
