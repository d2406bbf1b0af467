//! The worker with a real Postgres and a real RabbitMQ: wake-ups, the scheduler, and dead letters.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod deliveries;
mod faults;
mod money;
mod operator_alerts;
mod queues;
mod receiver;
mod sandbox;
mod stop;
mod turns;
mod workshop;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use khata_domain::{AccountNumber, BankAccount, BeneficiaryName, Ifsc};
use khata_domain::{Details, ValidationKey};
use khata_queue::Wakeup;

use workshop::Workshop;

fn wakeups(keys: &[ValidationKey]) -> Vec<Wakeup> {
    let wakeup = |key: &ValidationKey| Wakeup {
        key: *key,
        trace_parent: None,
    };
    keys.iter().map(wakeup).collect()
}

fn accounts(count: usize) -> Vec<Details> {
    let number = |n| account(&format!("0001102{n:05}00"));
    (0..count).map(number).collect()
}

fn account(number: &str) -> Details {
    Details::Bank(BankAccount {
        ifsc: Ifsc::parse("HDFC0000001").unwrap(),
        account_number: AccountNumber::parse(number).unwrap(),
        beneficiary_name: Some(BeneficiaryName::parse("Asha Rao").unwrap()),
    })
}

/// Waits until the gateway has this number of calls.
async fn called(calls: &AtomicUsize, number: usize) {
    for _ in 0..6_000 {
        if calls.load(Ordering::SeqCst) >= number {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the gateway has not {number} calls within a minute")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wakeup_validates_an_account_and_a_repeated_wakeup_changes_nothing() {
    let mut workshop = Workshop::new();
    let (valid, invalid) = (
        workshop.store(&account("00011020001700")),
        workshop.store(&account("00011020001791")),
    );
    let worker = workshop.worker().await;
    let wakeups = wakeups(&[valid, invalid, valid]);
    workshop.publisher.publish(&wakeups).await.unwrap();
    assert_eq!(
        workshop.outcome(valid).await,
        ("VALID".into(), "ACTIVE".into(), 1)
    );
    assert_eq!(
        workshop.outcome(invalid).await,
        ("INVALID".into(), "FAILURE".into(), 1)
    );
    workshop.publisher.publish(&wakeups).await.unwrap();
    workshop.drained().await;
    assert_eq!(
        workshop.outcome(valid).await,
        ("VALID".into(), "ACTIVE".into(), 1)
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheduler_finds_a_validation_without_a_wakeup() {
    let mut workshop = Workshop::new();
    let key = workshop.store(&account("00011020001700"));
    workshop.all_due();
    let worker = workshop.worker().await;
    assert_eq!(
        workshop.outcome(key).await,
        ("VALID".into(), "ACTIVE".into(), 1)
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_validation_of_a_killed_worker_is_taken_over_with_its_attempt() {
    let mut workshop = Workshop::new();
    let key = workshop.store(&account("00011020001700"));
    workshop.leave_as_a_killed_worker(key);
    let worker = workshop.worker().await;
    // DUMMY accepts the same reference again, so there is no second attempt.
    assert_eq!(
        workshop.outcome(key).await,
        ("VALID".into(), "ACTIVE".into(), 1)
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_message_becomes_a_dead_letter_and_the_next_one_is_processed() {
    let mut workshop = Workshop::new();
    let key = workshop.store(&account("00011020001700"));
    let worker = workshop.worker().await;
    let broker = workshop.queues.broker();
    let tap = workshop.queues.tap().await;
    let unreadable = [
        "not JSON",
        r#"{"v":9,"type":"validations.due","validations":[]}"#,
    ];
    for body in unreadable {
        tap.put(&broker.queue(), body.as_bytes()).await;
    }
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    assert_eq!(workshop.outcome(key).await.0, "VALID");
    for body in unreadable {
        let dead = tap.next(&broker.dead_letters()).await;
        assert_eq!(dead.delivery.data, body.as_bytes());
        assert_eq!(
            khata_testing::queues::dead_letter_reason(&dead),
            "rejected",
            "at once"
        );
    }
    worker.stop().await;
}
