//! Validations that wait for a gateway account with few calls at once, or few calls per minute.

use std::sync::atomic::Ordering;
use std::time::Duration;

use khata_testing::database::number;
use khata_testing::until;
use serde_json::json;

use crate::workshop::Workshop;
use crate::{account, accounts, called, wakeups};

const CALL: Duration = Duration::from_millis(200);

/// Updates of the rows of validations so far.
fn updates(workshop: &mut Workshop) -> i64 {
    number(
        &mut workshop.connection,
        "select n_tup_upd from pg_stat_user_tables where relname = 'validations'",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_slot_costs_two_writes_and_no_time() {
    const ACCOUNTS: usize = 120;
    const AT_ONCE: usize = 8;
    let mut workshop = Workshop::new();
    let settings = json!({"calls_per_minute": 0, "concurrency": AT_ONCE});
    let calls = workshop.slow_gateway_with(CALL, &settings);
    let keys = workshop.store_all(&accounts(ACCOUNTS));
    workshop.gateway_alone();
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    called(&calls, 1).await;
    let began = std::time::Instant::now();
    until("all are valid", async || {
        workshop.count("outcome = 'VALID'") == i64::try_from(ACCOUNTS).unwrap()
    })
    .await;
    let possible = CALL * u32::try_from(ACCOUNTS / AT_ONCE).unwrap();
    eprintln!(
        "{ACCOUNTS} accounts, {AT_ONCE} at once: {:.2} of the possible rate",
        possible.as_secs_f64() / began.elapsed().as_secs_f64()
    );
    assert_eq!(calls.load(Ordering::SeqCst), ACCOUNTS);
    assert_eq!(workshop.most_calls.load(Ordering::SeqCst), AT_ONCE);
    worker.stop().await;
    // Its statistics arrive when the worker's connections are closed.
    until("the updates are counted", async || {
        updates(&mut workshop) >= 2 * 200
    })
    .await;
    // Claim and settlement, and at most two more to wait.
    let updates = updates(&mut workshop);
    assert!(
        updates <= 4 * i64::try_from(ACCOUNTS).unwrap(),
        "{updates} updates"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_goes_on_after_its_worker_was_killed() {
    let mut workshop = Workshop::new();
    let settings = json!({"calls_per_minute": 0, "concurrency": 3});
    let calls = workshop.slow_gateway_with(CALL, &settings);
    let keys = workshop.store_all(&accounts(12));
    workshop.gateway_alone();
    // All wait, and no call is in progress.
    workshop.queue_all();
    let worker = workshop.worker().await;
    for key in keys {
        assert_eq!(workshop.outcome(key).await.0, "VALID");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 12);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_awaited_validation_takes_the_next_slot() {
    let mut workshop = Workshop::new();
    let settings = json!({"calls_per_minute": 0, "concurrency": 1});
    let calls = workshop.slow_gateway_with(CALL, &settings);
    let keys = workshop.store_all(&accounts(100));
    workshop.gateway_alone();
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    called(&calls, 2).await;
    let awaited = workshop.store_awaited(&account("00011029999900"));
    let before = calls.load(Ordering::SeqCst);
    let wakeup = wakeups(&[awaited]);
    workshop.publisher.publish_awaited(&wakeup).await.unwrap();
    assert_eq!(workshop.outcome(awaited).await.0, "VALID");
    let later = calls.load(Ordering::SeqCst) - before;
    assert!(later <= 8, "{later} calls before it");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_attempts_wait_for_calls_per_minute_without_polling() {
    let mut workshop = Workshop::new();
    // Ten calls at once, then one in 330 ms.
    let settings = json!({"calls_per_minute": 200});
    let calls = workshop.slow_gateway_with(Duration::from_millis(1), &settings);
    let keys = workshop.store_all(&accounts(20));
    workshop.gateway_alone();
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    for key in &keys {
        assert_eq!(workshop.outcome(*key).await.0, "VALID");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 20);
    worker.stop().await;
    until("the updates are counted", async || {
        updates(&mut workshop) >= 2 * 20
    })
    .await;
    let updates = updates(&mut workshop);
    assert!(updates <= 4 * 20, "{updates} updates");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_account_takes_validations_from_a_queue() {
    let mut workshop = Workshop::new();
    let settings = json!({"calls_per_minute": 0, "concurrency": 1});
    let calls = workshop.slow_gateway_with(Duration::from_secs(8), &settings);
    workshop.limit_dummy();
    let keys = workshop.store_all(&accounts(12));
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    until("all but one are valid", async || {
        workshop.count("outcome = 'VALID'") == 11
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(workshop.count("state = 'LEASED'"), 1);
    worker.stop().await;
}
