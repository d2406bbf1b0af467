//! A worker that gets SIGTERM finishes what it has begun, and begins nothing more.

use std::sync::atomic::Ordering;
use std::time::Duration;

use khata_testing::Proxy;
use khata_testing::database::number;

use crate::workshop::{Start, Workshop};
use crate::{accounts, called, wakeups};

/// Longer than any part of the stop but the drain.
const CALL: Duration = Duration::from_secs(6);

/// Nothing is leased, and no attempt is unfinished.
fn nothing_is_left(workshop: &mut Workshop) {
    assert_eq!(workshop.count("state = 'LEASED'"), 0);
    let open = "select count(*) from validation_attempts where state = 'STARTED'";
    assert_eq!(number(&mut workshop.connection, open), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_worker_leaves_no_validation_leased() {
    let mut workshop = Workshop::new();
    let keys = workshop.store_all(&accounts(1_000));
    let wakeups = wakeups(&keys);
    let worker = workshop.worker().await;
    for part in wakeups.chunks(20) {
        workshop.publisher.publish(part).await.unwrap();
    }
    workshop.outcome(keys[0]).await;
    worker.stop().await;
    nothing_is_left(&mut workshop);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_worker_finishes_its_calls_and_leaves_the_rest_to_others() {
    let mut workshop = Workshop::new();
    let calls = workshop.slow_gateway(CALL);
    let keys = workshop.store_all(&accounts(5));
    let settings = &["--concurrency", "2"];
    let start = Start {
        settings,
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    called(&calls, 2).await;
    worker.stop().await;
    assert_eq!(workshop.count("outcome = 'VALID'"), 2);
    nothing_is_left(&mut workshop);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    // The broker keeps the message, because not every validation was begun.
    assert!(workshop.publisher.depth().await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_a_broker_finishes_its_calls_too() {
    let mut workshop = Workshop::new();
    let calls = workshop.slow_gateway(CALL);
    workshop.store_all(&accounts(5));
    workshop.all_due();
    let proxy = Proxy::start(workshop.queues.address()).unwrap();
    proxy.cut();
    let start = Start {
        amqp_url: Some(workshop.queues.broker_through(proxy.port()).amqp_url),
        settings: &["--concurrency", "2"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    called(&calls, 2).await;
    worker.stop().await;
    assert_eq!(workshop.count("outcome = 'VALID'"), 2);
    nothing_is_left(&mut workshop);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_acknowledged_when_their_validations_are_claimed() {
    let mut workshop = Workshop::new();
    let calls = workshop.slow_gateway(CALL);
    let keys = workshop.store_all(&accounts(20));
    let worker = workshop.worker().await;
    // More messages than the broker delivers without an acknowledgement.
    for wakeup in wakeups(&keys) {
        workshop.publisher.publish(&[wakeup]).await.unwrap();
    }
    called(&calls, keys.len()).await;
    assert_eq!(workshop.count("state = 'LEASED'"), 20, "all at once");
    worker.stop().await;
    assert_eq!(workshop.count("outcome = 'VALID'"), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_response_is_settled_although_no_time_is_left_for_its_poll() {
    let mut workshop = Workshop::new();
    let pending = serde_json::json!({"reference_id": 1, "account_status": "RECEIVED", "account_status_code": "VALIDATION_IN_PROGRESS"});
    let settings = serde_json::json!({"calls_per_minute": 0, "call_timeout_ms": 7_500, "poll_ms": [0, 3_600_000]});
    // Two time-outs fit into the rest of the lease before the call, and not after it.
    let calls = workshop.slow_gateway_replying(Duration::from_secs(4), pending, &settings);
    let key = workshop.store(&accounts(1)[0]);
    let start = Start {
        settings: &["--lease-seconds", "20", "--drain-seconds", "10"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    called(&calls, 1).await;
    worker.stop().await;
    let pending = "select count(*) from validation_attempts where state = 'PENDING'";
    assert_eq!(number(&mut workshop.connection, pending), 1);
    assert_eq!(workshop.count("state = 'WAITING'"), 1);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}
