//! The worker against the real Postgres and the real RabbitMQ: what the queue wakes, what the scheduler finds, and
//! what is put aside.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod workshop;

use diesel::RunQueryDsl;
use khata_domain::Details;
use khata_domain::{AccountNumber, BankAccount, BeneficiaryName, Ifsc};
use khata_queue::Wakeup;

use workshop::{DUE_NOW, Workshop};

fn account(number: &str) -> Details {
    Details::Bank(BankAccount {
        ifsc: Ifsc::parse("HDFC0000001").unwrap(),
        account_number: AccountNumber::parse(number).unwrap(),
        beneficiary_name: Some(BeneficiaryName::parse("Asha Rao").unwrap()),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rung_for_is_validated_and_a_ring_for_what_is_done_does_nothing() {
    let mut workshop = Workshop::new();
    let (valid, invalid) = (
        workshop.store(&account("00011020001700")),
        workshop.store(&account("00011020001791")),
    );
    let worker = workshop.worker().await;
    let wakeups: Vec<Wakeup> = [valid, invalid, valid]
        .map(|key| Wakeup {
            key,
            trace_parent: None,
        })
        .into();
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
async fn what_was_never_rung_for_is_found_by_the_scheduler() {
    let mut workshop = Workshop::new();
    let key = workshop.store(&account("00011020001700"));
    diesel::sql_query(DUE_NOW)
        .execute(&mut workshop.connection)
        .unwrap();
    let worker = workshop.worker().await;
    assert_eq!(
        workshop.outcome(key).await,
        ("VALID".into(), "ACTIVE".into(), 1)
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_worker_held_is_taken_over_with_its_attempt() {
    let mut workshop = Workshop::new();
    let key = workshop.store(&account("00011020001700"));
    workshop.left_behind_by_a_dead_worker(key);
    let worker = workshop.worker().await;
    // DUMMY takes the same reference again, so there is no second attempt.
    assert_eq!(
        workshop.outcome(key).await,
        ("VALID".into(), "ACTIVE".into(), 1)
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_is_put_aside_and_the_next_one_worked_on() {
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
    let wakeup = Wakeup {
        key,
        trace_parent: None,
    };
    workshop.publisher.publish(&[wakeup]).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_stop_leaves_nothing_leased() {
    let mut workshop = Workshop::new();
    let accounts: Vec<_> = (0..1_000)
        .map(|n| account(&format!("0001102{n:05}00")))
        .collect();
    let keys = workshop.store_all(&accounts);
    let wakeups: Vec<Wakeup> = keys
        .iter()
        .map(|key| Wakeup {
            key: *key,
            trace_parent: None,
        })
        .collect();
    let worker = workshop.worker().await;
    for part in wakeups.chunks(20) {
        workshop.publisher.publish(part).await.unwrap();
    }
    workshop.outcome(keys[0]).await;
    worker.stop().await;
    let leased = "select count(*) from validations where state = 'LEASED'";
    assert_eq!(
        khata_testing::database::number(&mut workshop.connection, leased),
        0
    );
    let open = "select count(*) from validation_attempts where state = 'STARTED'";
    assert_eq!(
        khata_testing::database::number(&mut workshop.connection, open),
        0
    );
}
