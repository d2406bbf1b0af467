//! Merchants take turns, and awaited validations come first. The calls of one merchant's gateway outlast the tests, which
//! look at the other merchants meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use khata_domain::ValidationKey;

use crate::workshop::{Start, Worker, Workshop};
use crate::{account, accounts, called, wakeups};

/// Longer than each part of a test may take on a busy machine. A stop does not wait for the calls.
const CALL: Duration = Duration::from_secs(13);
/// Permits of the worker; one merchant may use three quarters of them.
const PERMITS: &[&str] = &["--concurrency", "8", "--drain-seconds", "1"];
const SHARE: usize = 6;

fn slow_gateway(workshop: &mut Workshop) -> Arc<AtomicUsize> {
    let settings = serde_json::json!({"calls_per_minute": 0, "call_timeout_ms": 14_000});
    workshop.slow_gateway_with(CALL, &settings)
}

async fn worker(workshop: &mut Workshop) -> Worker {
    let start = Start {
        settings: PERMITS,
        ..Start::default()
    };
    workshop.worker_with(start).await
}

/// Whether nothing of the slow merchant is final.
fn slow_one_waits(workshop: &mut Workshop, keys: &[ValidationKey]) -> bool {
    let merchant = keys[0].merchant.0;
    let done = format!("outcome is not null and merchant_id = '{merchant}'");
    workshop.count(&done) == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_with_a_slow_gateway_delays_no_other_merchant() {
    let mut workshop = Workshop::new();
    let calls = slow_gateway(&mut workshop);
    let keys = workshop.store_all(&accounts(600));
    let worker = worker(&mut workshop).await;
    for part in wakeups(&keys).chunks(100) {
        workshop.publisher.publish(part).await.unwrap();
    }
    called(&calls, SHARE).await;
    let other = workshop.store_of_other_merchant(&account("00011020001700"));
    workshop
        .publisher
        .publish(&wakeups(&[other]))
        .await
        .unwrap();
    assert_eq!(workshop.outcome(other).await.0, "VALID");
    assert!(slow_one_waits(&mut workshop, &keys));
    assert_eq!(
        calls.load(Ordering::SeqCst),
        SHARE,
        "its share of the worker"
    );
    worker
        .metric_meets("khata_validations_queued", |queued| queued > 590.0)
        .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_wakeups_are_repeated_in_turns() {
    let mut workshop = Workshop::new();
    let calls = slow_gateway(&mut workshop);
    let keys = workshop.store_all(&accounts(1_500));
    workshop.all_due();
    let worker = worker(&mut workshop).await;
    called(&calls, SHARE).await;
    let other = workshop.store_of_other_merchant(&account("00011020001700"));
    workshop.all_due();
    assert_eq!(workshop.outcome(other).await.0, "VALID");
    assert!(slow_one_waits(&mut workshop, &keys));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_is_read_once_and_then_left_alone() {
    let mut workshop = Workshop::new();
    let calls = slow_gateway(&mut workshop);
    let keys = workshop.store_all(&accounts(3_000));
    workshop.all_due();
    let worker = worker(&mut workshop).await;
    called(&calls, SHARE).await;
    // The worker has wake-ups for all its permits, and reads no more of the merchant's rows.
    let mut rounds = 0;
    let name = "khata_scheduler_wakeups_total{why=\"lost\"}";
    let mut taken = worker.metric(name).await;
    while rounds < 20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = worker.metric(name).await;
        rounds = if now == taken { rounds + 1 } else { 0 };
        taken = now;
    }
    assert!(taken.unwrap() < 1_500.0, "{taken:?}");
    assert!(slow_one_waits(&mut workshop, &keys));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_awaited_validation_overtakes_the_backlog_of_its_merchant() {
    let mut workshop = Workshop::new();
    let calls = workshop.slow_gateway(Duration::from_secs(8));
    let keys = workshop.store_all(&accounts(600));
    // The stop waits for the calls.
    let start = Start {
        settings: &["--concurrency", "8", "--drain-seconds", "12"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    called(&calls, SHARE).await;
    let awaited = workshop.store_awaited(&account("00011029999900"));
    let wakeup = wakeups(&[awaited]);
    workshop.publisher.publish_awaited(&wakeup).await.unwrap();
    called(&calls, SHARE + 1).await;
    let claimed = format!("id = '{}' and state = 'LEASED'", awaited.id.0);
    assert_eq!(workshop.count(&claimed), 1);
    assert!(slow_one_waits(&mut workshop, &keys));
    worker.stop().await;
    assert_eq!(workshop.outcome(awaited).await.0, "VALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lost_wakeup_of_an_awaited_validation_is_repeated_first() {
    let mut workshop = Workshop::new();
    let calls = slow_gateway(&mut workshop);
    let keys = workshop.store_all(&accounts(3_000));
    workshop.all_due();
    let awaited = workshop.store_awaited(&account("00011029999900"));
    // Due after all others.
    workshop.all_due();
    let worker = worker(&mut workshop).await;
    called(&calls, SHARE + 1).await;
    let claimed = format!("id = '{}' and state = 'LEASED'", awaited.id.0);
    assert_eq!(workshop.count(&claimed), 1);
    assert!(slow_one_waits(&mut workshop, &keys));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_a_gateway_account_gives_its_permits_to_another_merchant() {
    const ACCOUNTS: usize = 100;
    let mut workshop = Workshop::new();
    let settings = serde_json::json!({"calls_per_minute": 0, "concurrency": 2});
    let calls = workshop.slow_gateway_with(Duration::from_millis(200), &settings);
    workshop.gateway_alone();
    let keys = workshop.store_all(&accounts(ACCOUNTS));
    workshop.queue_all();
    let other = workshop.store_of_other_merchant(&account("00011020001700"));
    // The calls of the queue use both permits, and each is followed by the next one.
    let start = Start {
        settings: &["--concurrency", "2"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    called(&calls, 4).await;
    let wakeup = wakeups(&[other]);
    workshop.publisher.publish(&wakeup).await.unwrap();
    assert_eq!(workshop.outcome(other).await.0, "VALID");
    let made = calls.load(Ordering::SeqCst);
    assert!(
        made < ACCOUNTS / 2,
        "{made} of {} calls before it",
        keys.len()
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_complete_a_validation_comes_before_the_flood_of_its_merchant() {
    const ACCOUNTS: usize = 1_200;
    let mut workshop = Workshop::new();
    let calls = workshop.slow_gateway(Duration::from_secs(1));
    let keys = workshop.store_all(&accounts(ACCOUNTS));
    let worker = worker(&mut workshop).await;
    for part in wakeups(&keys).chunks(100) {
        workshop.publisher.publish(part).await.unwrap();
    }
    called(&calls, SHARE).await;
    worker
        .metric_meets("khata_validations_queued", |queued| queued > 1_100.0)
        .await;
    // The wait of the last one is over.
    let last = keys[ACCOUNTS - 1];
    workshop.wait_is_over(last);
    assert_eq!(workshop.outcome(last).await.0, "VALID");
    let made = calls.load(Ordering::SeqCst);
    assert!(made < 100, "{made} calls before it");
    worker.stop().await;
}
