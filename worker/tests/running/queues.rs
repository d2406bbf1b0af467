//! Validations that wait for a gateway account with few calls at once, or few calls per minute.

use std::sync::atomic::Ordering;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use khata_testing::database::number;
use khata_testing::until;
use serde_json::json;

use crate::money::EXPIRED;
use crate::workshop::{Start, Worker, Workshop};
use crate::{account, accounts, called, wakeups};

const CALL: Duration = Duration::from_millis(200);

/// Updates of the rows of validations so far.
fn updates(workshop: &mut Workshop) -> i64 {
    number(
        &mut workshop.connection,
        "select n_tup_upd from pg_stat_user_tables where relname = 'validations'",
    )
}

/// Wake-ups that the scheduler repeated, because the machine was too busy to claim them within five seconds: each is an update.
async fn repeated(worker: &Worker) -> i64 {
    let lost = worker
        .metric("khata_scheduler_wakeups_total{why=\"lost\"}")
        .await;
    #[allow(clippy::cast_possible_truncation, reason = "a count")]
    let lost = lost.unwrap() as i64;
    lost
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_slot_costs_one_write_and_no_time() {
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
    let repeated = repeated(&worker).await;
    worker.stop().await;
    // Its statistics arrive when the worker's connections are closed.
    until("the updates are counted", async || {
        updates(&mut workshop) >= 2 * 120
    })
    .await;
    // Claim and settlement, and one to wait.
    let updates = updates(&mut workshop);
    assert!(
        updates <= 3 * i64::try_from(ACCOUNTS).unwrap() + repeated,
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
async fn the_claim_of_a_queue_is_rescued_after_its_lease() {
    const LEASE: &[&str] = &["--lease-seconds", "20"];
    // Time to kill the worker during a call. The lease is long enough for two calls of 7.5 s.
    const CALL: Duration = Duration::from_secs(4);
    for is_awaited in [false, true] {
        let mut workshop = Workshop::new();
        let settings = json!({"calls_per_minute": 0, "concurrency": 1, "call_timeout_ms": 7_500});
        let calls = workshop.slow_gateway_with(CALL, &settings);
        workshop.gateway_alone();
        let keys = workshop.store_all(&accounts(2));
        let second = if is_awaited {
            workshop.store_awaited(&account("00011029999900"))
        } else {
            keys[1]
        };
        let start = || Start {
            settings: LEASE,
            ..Start::default()
        };
        let process = workshop.worker_process(start()).await;
        workshop
            .publisher
            .publish(&wakeups(&keys[..1]))
            .await
            .unwrap();
        called(&calls, 1).await;
        // It enters the queue, and the end of the first call claims it.
        let wakeup = wakeups(&[second]);
        if is_awaited {
            workshop.publisher.publish_awaited(&wakeup).await.unwrap();
        } else {
            workshop.publisher.publish(&wakeup).await.unwrap();
        }
        called(&calls, 2).await;
        process.kill();
        let held = format!(
            "id = '{}' and state = 'LEASED' and queue_rank is null",
            second.id.0
        );
        assert_eq!(workshop.count(&held), 1);
        workshop.connection.batch_execute(EXPIRED).unwrap();
        let worker = workshop.worker_with(start()).await;
        // After a round of the scheduler.
        called(&calls, 3).await;
        assert_eq!(workshop.outcome(second).await.0, "VALID");
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_permits_of_awaited_validations_claim_no_others_from_a_queue() {
    let mut workshop = Workshop::new();
    let settings = json!({"calls_per_minute": 0, "concurrency": 2});
    let calls = workshop.slow_gateway_with(CALL, &settings);
    workshop.gateway_alone();
    let keys = workshop.store_all(&accounts(60));
    let awaited = workshop.store_awaited(&account("00011029999900"));
    workshop.queue_all();
    // One permit, and one for awaited validations.
    let start = Start {
        settings: &["--concurrency", "1"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    assert_eq!(workshop.outcome(awaited).await.0, "VALID");
    called(&calls, 3).await;
    workshop.most_calls.store(0, Ordering::SeqCst);
    let before = calls.load(Ordering::SeqCst);
    called(&calls, before + 8).await;
    assert_eq!(workshop.most_calls.load(Ordering::SeqCst), 1);
    assert!(workshop.count("outcome is null") > 20, "of {}", keys.len());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_awaited_validation_takes_the_next_slot() {
    let mut workshop = Workshop::new();
    let settings = json!({"calls_per_minute": 0, "concurrency": 1});
    let calls = workshop.slow_gateway_with(Duration::from_millis(600), &settings);
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
    let repeated = repeated(&worker).await;
    worker.stop().await;
    until("the updates are counted", async || {
        updates(&mut workshop) >= 2 * 20
    })
    .await;
    let updates = updates(&mut workshop);
    assert!(updates <= 3 * 20 + repeated, "{updates} updates");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_gateway_account_takes_validations_from_a_queue() {
    let mut workshop = Workshop::new();
    let settings = json!({"calls_per_minute": 0, "concurrency": 1, "call_timeout_ms": 14_000});
    // Longer than the other calls may take on a busy machine; the stop does not wait for it.
    let calls = workshop.slow_gateway_with(Duration::from_secs(13), &settings);
    workshop.limit_dummy();
    let keys = workshop.store_all(&accounts(12));
    let start = Start {
        settings: &["--drain-seconds", "1"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    until("all but one are valid", async || {
        workshop.count("outcome = 'VALID'") == 11
    })
    .await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(workshop.count("state = 'LEASED'"), 1);
    worker.stop().await;
}
