//! RabbitMQ unreachable, with lost messages, or with duplicates: it only wakes workers.

use std::time::{Duration, Instant};

use anyhow::Result;
use khata_e2e::{Setup, TIMEOUT, TestStack, eventually};

use crate::load::{assert_paid_once, create_ten, outage};

#[tokio::test]
async fn without_the_broker_accounts_are_accepted_and_validated_later() -> Result<()> {
    let stack = TestStack::start(outage()).await?;
    let broker = &stack.proxies()?.broker;
    create_ten(&stack, "before").await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    broker.cut();
    let created = Instant::now();
    create_ten(&stack, "refused").await?;
    let ready = stack
        .api
        .get_path("/health/ready")
        .await?
        .expect_status(200)?;
    assert_eq!(ready.json()["checks"]["postgres"], "up");
    eventually(TIMEOUT, "health telling of the broker", async || {
        let ready = stack
            .api
            .get_path("/health/ready")
            .await?
            .expect_status(200)?;
        anyhow::Ok((ready.json()["checks"]["rabbitmq"] == "down").then_some(()))
    })
    .await?;
    create_ten(&stack, "noticed").await?;
    let worker = stack.api.at(&stack.workers[0].url);
    eventually(
        TIMEOUT,
        "the worker telling that it hears nothing",
        async || anyhow::Ok((worker.get_path("/health/ready").await?.status == 503).then_some(())),
    )
    .await?;
    worker.get_path("/health/live").await?.expect_status(200)?;
    let unvalidated = stack.count("CREATED")?;
    // Without wake-ups for 15 s, the worker's scheduler takes the validations.
    if created.elapsed() < Duration::from_secs(14) {
        assert_eq!(unvalidated, 20, "no worker can have been woken");
    }
    broker.restore();
    let back = Instant::now();
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    eprintln!("caught up {:?} after the broker's return", back.elapsed());

    broker.hang();
    create_ten(&stack, "silence").await?;
    stack
        .api
        .get_path("/health/ready")
        .await?
        .expect_status(200)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    create_ten(&stack, "still").await?;
    broker.restore();
    let back = Instant::now();
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    eprintln!(
        "caught up {:?} after the broker spoke again",
        back.elapsed()
    );
    assert_eq!(stack.count("ACTIVE")?, 50);
    assert_paid_once(&stack, 50).await
}

#[tokio::test]
async fn lost_messages_delay_work_and_lose_no_account() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    for n in 0..5 {
        create_ten(&stack, &format!("lost{n}")).await?;
    }
    let queue = stack.queues.validations();
    let lost = eventually(TIMEOUT, "messages", async || {
        let waiting = stack.queues.depth(&queue).await?;
        // The last create's wake-up may still arrive.
        tokio::time::sleep(Duration::from_millis(200)).await;
        anyhow::Ok((waiting > 0 && stack.queues.depth(&queue).await? == waiting).then_some(waiting))
    })
    .await?;
    assert_eq!(stack.queues.purge(&queue).await?, lost);
    stack.start_worker().await?;
    let began = Instant::now();
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    eprintln!(
        "{lost} messages lost; caught up after {:?}",
        began.elapsed()
    );
    assert_eq!(stack.count("ACTIVE")?, 50);
    assert_paid_once(&stack, 50).await
}

#[tokio::test]
async fn unreadable_messages_are_dead_lettered_and_work_continues() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let (queue, dead) = (stack.queues.validations(), stack.queues.dead_letters());
    let unreadable: [&[u8]; 5] = [
        b"",
        b"\xff\xfe",
        b"{}",
        br#"{"v":2,"type":"validations.due","validations":[]}"#,
        br#"{"v":1,"type":"validations.due","validations":[{"m":"x","v":"y"}]}"#,
    ];
    for body in unreadable {
        stack.queues.publish(&queue, body).await;
    }
    // A readable message about an unknown validation is no dead letter, and does no harm.
    let nothing = r#"{"v":1,"type":"validations.due","validations":[{"m":"0193a3a0-0000-7000-8000-000000000000","v":"0193a3a0-0000-7000-8000-000000000001"}]}"#;
    stack.queues.publish(&queue, nothing.as_bytes()).await;
    create_ten(&stack, "after").await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    eventually(TIMEOUT, "five dead letters", async || {
        anyhow::Ok((stack.queues.depth(&dead).await? == 5).then_some(()))
    })
    .await?;
    assert_eq!(stack.queues.depth(&queue).await?, 0);
    assert_paid_once(&stack, 10).await
}

#[tokio::test]
async fn duplicate_wakeups_do_no_harm() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 2,
        ..Setup::default()
    })
    .await?;
    let queue = stack.queues.validations();
    create_ten(&stack, "woken").await?;
    let rows = stack
        .database
        .texts("select json_build_object('m', merchant_id, 'v', id)::text from validations")?;
    let all = format!(
        r#"{{"v":1,"type":"validations.due","validations":[{0},{0}]}}"#,
        rows.join(",")
    );
    for _ in 0..10 {
        stack.queues.publish(&queue, all.as_bytes()).await;
    }
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    let decided = stack
        .database
        .texts("select v::text from validations v order by id")?;
    // A late wake-up does not change a final account.
    for _ in 0..10 {
        stack.queues.publish(&queue, all.as_bytes()).await;
    }
    eventually(TIMEOUT, "an empty queue", async || {
        anyhow::Ok((stack.queues.depth(&queue).await? == 0).then_some(()))
    })
    .await?;
    create_ten(&stack, "later").await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    let now = stack
        .database
        .texts("select v::text from validations v order by id")?;
    assert_eq!(now[..10], decided);
    assert_paid_once(&stack, 20).await
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    create_ten(&stack, "before").await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    stack.queues.delete().await?;
    create_ten(&stack, "after").await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    assert_paid_once(&stack, 20).await
}
