//! Lost calls, killed workers and late responses at the sandbox's gateways: no rupee is moved twice without a record.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use khata_domain::Gateway;
use khata_testing::database::number;
use khata_testing::{avoid_midnight, until};
use serde_json::json;

use crate::sandbox::Sandbox;
use crate::workshop::{Start, Workshop};
use crate::{account, accounts, called, wakeups};

/// Lets the leases of a killed worker expire.
pub(crate) const EXPIRED: &str =
    "update validations set leased_until = now(), due_at = now() where state = 'LEASED'";
/// Makes the attempts so old that a call which is not found cannot arrive any more.
const OLD: &str = "update validation_attempts set started_at = started_at - interval '2 minutes'";

/// A worker whose lease is long enough for several slow calls, so that a busy machine has the time to kill it during one.
fn with_long_lease() -> Start<'static> {
    Start {
        settings: &["--lease-seconds", "60"],
        ..Start::default()
    }
}

fn attempts(workshop: &mut Workshop, condition: &str) -> i64 {
    let count = format!("select count(*) from validation_attempts where {condition}");
    number(&mut workshop.connection, &count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_made_again_is_looked_up_after_its_worker_was_killed() {
    const CALL: &str = "POST /bank-account/async";
    let (mut workshop, sandbox) = (Workshop::new(), Sandbox::start());
    let settings = json!({"calls_per_minute": 0});
    sandbox.add(&mut workshop, Gateway::Cashfree, 0, &settings);
    workshop.gateway_alone();
    let failing = json!({"error_rate": 1.0, "errors": "before_work"});
    sandbox.behave(Gateway::Cashfree, failing).await;
    let key = workshop.store(&account("00011020001700"));
    let worker = workshop.worker_process(with_long_lease()).await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    until("the response is lost", async || {
        attempts(&mut workshop, "state = 'UNKNOWN'") == 1
    })
    .await;
    // The lookup finds nothing, and the call is made again, so slowly that the worker is killed meanwhile.
    let slow = json!({"latency_ms": 5_000});
    sandbox.behave(Gateway::Cashfree, slow).await;
    workshop.connection.batch_execute(OLD).unwrap();
    until("the call is made again", async || {
        sandbox.rupees().await == 1
    })
    .await;
    worker.kill();
    assert_eq!(workshop.count("state = 'LEASED'"), 1, "not settled");
    assert_eq!(
        attempts(&mut workshop, "sent_at > now() - interval '1 minute'"),
        1
    );
    sandbox.behave(Gateway::Cashfree, json!({})).await;
    workshop.connection.batch_execute(EXPIRED).unwrap();
    let worker = workshop.worker().await;
    let valid = ("VALID".into(), "ACTIVE".into(), 1);
    assert_eq!(workshop.outcome(key).await, valid);
    assert_eq!(sandbox.calls(Gateway::Cashfree, CALL).await, 2);
    assert_eq!(sandbox.rupees().await, 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_a_pending_response_is_stored_before_its_first_poll() {
    const POLL: &str = "GET /api/verify/ban/async/{id}";
    let (mut workshop, sandbox) = (Workshop::new(), Sandbox::start());
    // The login may take half of a call's time-out.
    let settings = json!({"poll_ms": [1, 3_600_000], "call_timeout_ms": 14_000});
    sandbox.add(&mut workshop, Gateway::Setu, 0, &settings);
    workshop.gateway_alone();
    let slow = json!({"latency_ms": 5_000});
    sandbox.behave(Gateway::Setu, slow).await;
    let key = workshop.store(&account("00011020001700"));
    let worker = workshop.worker_process(with_long_lease()).await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    until("the outcome is polled", async || {
        sandbox.calls(Gateway::Setu, POLL).await == 1
    })
    .await;
    worker.kill();
    assert_eq!(attempts(&mut workshop, "gateway_reference is not null"), 1);
    sandbox.behave(Gateway::Setu, json!({})).await;
    workshop.connection.batch_execute(EXPIRED).unwrap();
    let worker = workshop.worker().await;
    let valid = ("VALID".into(), "ACTIVE".into(), 1);
    assert_eq!(workshop.outcome(key).await, valid);
    assert_eq!(sandbox.rupees().await, 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_may_still_arrive_does_not_leave_its_disabled_gateway_account() {
    let (mut workshop, sandbox) = (Workshop::new(), Sandbox::start());
    for (priority, gateway) in [(0, Gateway::Decentro), (1, Gateway::Setu)] {
        let settings = json!({"poll_ms": [1]});
        sandbox.add(&mut workshop, gateway, priority, &settings);
    }
    workshop.gateway_alone();
    let patience = "update merchants set recovery_patience_seconds = 3600";
    workshop.connection.batch_execute(patience).unwrap();
    let failing = json!({"error_rate": 1.0, "errors": "before_work"});
    sandbox.behave(Gateway::Decentro, failing).await;
    let key = workshop.store(&account("00011020001700"));
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    until("the response is lost", async || {
        attempts(&mut workshop, "state = 'UNKNOWN'") == 1
    })
    .await;
    // The next worker knows that the gateway account is disabled.
    worker.stop().await;
    let disable = "update gateway_accounts set enabled = false where reference_id = 'DECENTRO'";
    workshop.connection.batch_execute(disable).unwrap();
    sandbox.behave(Gateway::Decentro, json!({})).await;
    workshop.all_due();
    let worker = workshop.worker().await;
    until("the call has time to arrive", async || {
        workshop.count("state = 'WAITING' and due_at > now() + interval '30 s'") == 1
    })
    .await;
    assert_eq!(attempts(&mut workshop, "code = 'not_yet_received'"), 1);
    assert_eq!(sandbox.rupees().await, 0);
    workshop.connection.batch_execute(OLD).unwrap();
    workshop.all_due();
    let valid = ("VALID".into(), "ACTIVE".into(), 2);
    assert_eq!(workshop.outcome(key).await, valid);
    assert_eq!(attempts(&mut workshop, "code = 'not_received'"), 1);
    assert_eq!(attempts(&mut workshop, "possible_double_drop"), 0);
    assert_eq!(sandbox.rupees().await, 1);
    worker.stop().await;
}

/// Makes each statement of this kind take three seconds, which leaves a lease of ten no time for two calls.
fn slow_down(workshop: &mut Workshop, when: &str) {
    let trigger = format!(
        "create or replace function slow() returns trigger language plpgsql as $$
            begin perform pg_sleep(3); return new; end $$;
         create trigger slow {when} execute function slow()"
    );
    workshop.connection.batch_execute(&trigger).unwrap();
}

const SHORT_LEASE: Start<'_> = Start {
    database_url: None,
    amqp_url: None,
    settings: &["--lease-seconds", "10"],
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_time_in_its_lease_is_not_sent_and_not_lost() {
    let mut workshop = Workshop::new();
    // Nothing can be looked up here: a lost call would cost a second rupee.
    let settings = json!({"calls_per_minute": 0, "bank_flow": "sync", "call_timeout_ms": 2_900});
    let calls = workshop.slow_gateway_with(Duration::ZERO, &settings);
    workshop.gateway_alone();
    let key = workshop.store(&account("00011020001700"));
    slow_down(
        &mut workshop,
        "before insert on validation_attempts for each row",
    );
    let worker = workshop.worker_with(SHORT_LEASE).await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    until("nothing is sent", async || {
        attempts(&mut workshop, "code = 'not_sent' and state = 'SETTLED'") > 0
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let faster = "drop trigger slow on validation_attempts";
    workshop.connection.batch_execute(faster).unwrap();
    let (outcome, status, _) = workshop.outcome(key).await;
    assert_eq!((outcome.as_str(), status.as_str()), ("VALID", "ACTIVE"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(attempts(&mut workshop, "possible_double_drop"), 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poll_without_time_in_its_lease_is_made_under_the_next_one() {
    let mut workshop = Workshop::new();
    let pending = json!({"reference_id": 1, "account_status": "RECEIVED", "account_status_code": "VALIDATION_IN_PROGRESS"});
    let settings = json!({"calls_per_minute": 0, "call_timeout_ms": 2_900, "poll_ms": [3_600_000]});
    let calls = workshop.slow_gateway_replying(Duration::ZERO, pending, &settings);
    workshop.gateway_alone();
    let key = workshop.store(&account("00011020001700"));
    let worker = workshop.worker_with(SHORT_LEASE).await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    until("the outcome is pending", async || {
        workshop.count("state = 'WAITING'") == 1
    })
    .await;
    slow_down(
        &mut workshop,
        "before update on validations for each row when (new.state = 'LEASED')",
    );
    workshop.all_due();
    // Long before the lease ends, and not as a failed step.
    until("the lease is given back", async || {
        workshop.count("state = 'WAITING' and failed_steps = 0 and due_at > now()") == 1
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let faster = "drop trigger slow on validations";
    workshop.connection.batch_execute(faster).unwrap();
    called(&calls, 2).await;
    assert_eq!(attempts(&mut workshop, "state = 'PENDING'"), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_budget_no_further_rupee_is_moved() {
    avoid_midnight();
    let (mut workshop, sandbox) = (Workshop::new(), Sandbox::start());
    for (priority, gateway) in [Gateway::Cashfree, Gateway::Decentro]
        .into_iter()
        .enumerate()
    {
        let settings = json!({"calls_per_minute": 0, "poll_ms": [1]});
        let priority = i16::try_from(priority).unwrap();
        sandbox.add(&mut workshop, gateway, priority, &settings);
    }
    workshop.gateway_alone();
    let budget = |drops: i32| format!("update merchants set penny_drops_per_day = {drops}");
    workshop.connection.batch_execute(&budget(1)).unwrap();
    // No gateway can decide about this account.
    let key = workshop.store(&account("12399009941"));
    let later = "update validations set deadline_at = now() + interval '48 hours'";
    workshop.connection.batch_execute(later).unwrap();
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    until("the validation waits for the next day", async || {
        workshop.count("state = 'WAITING' and pending_reason = 'BUDGET_EXHAUSTED'") == 1
    })
    .await;
    assert_eq!(sandbox.rupees().await, 1);
    let to_midnight = "extract(epoch from (
            date_trunc('day', now() at time zone 'Asia/Kolkata') + interval '1 day'
        ) at time zone 'Asia/Kolkata' - due_at)";
    let at_midnight = format!("abs({to_midnight}) < 5");
    assert_eq!(workshop.count(&at_midnight), 1);
    // Workers read the merchant's settings every five seconds.
    workshop.connection.batch_execute(&budget(2)).unwrap();
    until("the other gateway is called", async || {
        workshop.all_due();
        sandbox.rupees().await == 2
    })
    .await;
    let counted = "select sum(drops)::bigint from penny_drop_counts";
    assert_eq!(number(&mut workshop.connection, counted), 2);
    let validations = "select cardinality(revalidated_at)::bigint from customer_accounts";
    assert_eq!(number(&mut workshop.connection, validations), 1);
    worker.stop().await;
}

/// A gateway fails every call, and its lookups too: the merchant's patience decides how long each account waits for the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_little_patience_every_account_is_saved_within_a_minute() {
    const ACCOUNTS: usize = 40;
    for patience in [0, 5] {
        let (mut workshop, sandbox) = (Workshop::new(), Sandbox::start());
        for (priority, gateway) in [Gateway::Cashfree, Gateway::Decentro]
            .into_iter()
            .enumerate()
        {
            let settings = json!({"calls_per_minute": 0, "poll_ms": [1]});
            let priority = i16::try_from(priority).unwrap();
            sandbox.add(&mut workshop, gateway, priority, &settings);
        }
        workshop.gateway_alone();
        let setting = format!("update merchants set recovery_patience_seconds = {patience}");
        workshop.connection.batch_execute(&setting).unwrap();
        let failing = json!({"error_rate": 1.0});
        sandbox.behave(Gateway::Cashfree, failing).await;
        let keys = workshop.store_all(&accounts(ACCOUNTS));
        let worker = workshop.worker().await;
        let began = Instant::now();
        workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
        let valid = |workshop: &mut Workshop| workshop.count("outcome = 'VALID'");
        while valid(&mut workshop) < i64::try_from(ACCOUNTS).unwrap() {
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "{} of {ACCOUNTS} within a minute",
                valid(&mut workshop)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let lost = attempts(&mut workshop, "code = 'answer_lost' and state = 'SETTLED'");
        let flagged = attempts(&mut workshop, "possible_double_drop");
        let rupees = i64::try_from(sandbox.rupees().await).unwrap();
        eprintln!(
            "patience {patience} s: {ACCOUNTS} accounts in {:.1} s, {lost} responses lost, {flagged} attempts flagged, {rupees} rupees",
            began.elapsed().as_secs_f64()
        );
        assert!(lost > 0 && flagged == lost);
        assert!(rupees <= i64::try_from(ACCOUNTS).unwrap() + flagged);
        worker.stop().await;
    }
}
