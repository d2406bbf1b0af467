//! RabbitMQ away, forgetful or noisy: it is only the doorbell.

use std::time::{Duration, Instant};

use anyhow::Result;
use khata_e2e::{PATIENCE, Setup, World, eventually};

use crate::load::{assert_paid_once, create_ten, outage};

/// Issue: accounts are validated so long after the broker's return at most.
const CAUGHT_UP: Duration = Duration::from_secs(30);

#[tokio::test]
async fn without_the_broker_accounts_are_taken_and_validated_after_its_return() -> Result<()> {
    let world = World::start(outage()).await?;
    let broker = &world.proxies()?.broker;
    create_ten(&world, "before").await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    broker.cut();
    create_ten(&world, "refused").await?;
    let ready = world.api.look("/health/ready").await?.expect_status(200)?;
    assert_eq!(ready.json()["checks"]["postgres"], "up");
    eventually(PATIENCE, "health telling of the broker", async || {
        let ready = world.api.look("/health/ready").await?.expect_status(200)?;
        anyhow::Ok((ready.json()["checks"]["rabbitmq"] == "down").then_some(()))
    })
    .await?;
    create_ten(&world, "noticed").await?;
    let worker = world.api.at(&world.workers[0].url);
    eventually(
        PATIENCE,
        "the worker telling that it hears nothing",
        async || anyhow::Ok((worker.look("/health/ready").await?.status == 503).then_some(())),
    )
    .await?;
    worker.look("/health/live").await?.expect_status(200)?;
    assert_eq!(world.count("CREATED")?, 20, "nobody can have been woken");
    broker.restore();
    let back = Instant::now();
    world
        .wait_until_none_is(&["CREATED", "PENDING"], CAUGHT_UP)
        .await?;
    eprintln!("caught up {:?} after the broker's return", back.elapsed());

    broker.hang();
    create_ten(&world, "silence").await?;
    world.api.look("/health/ready").await?.expect_status(200)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    create_ten(&world, "still").await?;
    broker.restore();
    let back = Instant::now();
    world
        .wait_until_none_is(&["CREATED", "PENDING"], CAUGHT_UP)
        .await?;
    eprintln!(
        "caught up {:?} after the broker spoke again",
        back.elapsed()
    );
    assert_eq!(world.count("ACTIVE")?, 50);
    assert_paid_once(&world, 50).await
}

#[tokio::test]
async fn lost_messages_cost_seconds_and_no_account() -> Result<()> {
    let mut world = World::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    for n in 0..5 {
        create_ten(&world, &format!("lost{n}")).await?;
    }
    let queue = world.queues.validations();
    let lost = eventually(PATIENCE, "messages", async || {
        let waiting = world.queues.depth(&queue).await?;
        // The last create's ring may still be on its way.
        tokio::time::sleep(Duration::from_millis(200)).await;
        anyhow::Ok((waiting > 0 && world.queues.depth(&queue).await? == waiting).then_some(waiting))
    })
    .await?;
    assert_eq!(world.queues.purge(&queue).await?, lost);
    world.start_worker().await?;
    let began = Instant::now();
    world
        .wait_until_none_is(&["CREATED", "PENDING"], CAUGHT_UP)
        .await?;
    eprintln!(
        "{lost} messages lost; caught up after {:?}",
        began.elapsed()
    );
    assert_eq!(world.count("ACTIVE")?, 50);
    assert_paid_once(&world, 50).await
}

#[tokio::test]
async fn what_nobody_can_read_is_put_aside_and_work_goes_on() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let (queue, dead) = (world.queues.validations(), world.queues.dead_letters());
    let unreadable: [&[u8]; 5] = [
        b"",
        b"\xff\xfe",
        b"{}",
        br#"{"v":2,"type":"validations.due","validations":[]}"#,
        br#"{"v":1,"type":"validations.due","validations":[{"m":"x","v":"y"}]}"#,
    ];
    for body in unreadable {
        world.queues.publish(&queue, body).await?;
    }
    // Readable, but about nothing that there is: no dead letter, and no harm.
    let nothing = r#"{"v":1,"type":"validations.due","validations":[{"m":"0193a3a0-0000-7000-8000-000000000000","v":"0193a3a0-0000-7000-8000-000000000001"}]}"#;
    world.queues.publish(&queue, nothing.as_bytes()).await?;
    create_ten(&world, "after").await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    eventually(PATIENCE, "five dead letters", async || {
        anyhow::Ok((world.queues.depth(&dead).await? == 5).then_some(()))
    })
    .await?;
    assert_eq!(world.queues.depth(&queue).await?, 0);
    assert_paid_once(&world, 10).await
}

#[tokio::test]
async fn a_bell_that_rings_too_often_does_no_harm() -> Result<()> {
    let world = World::start(Setup {
        workers: 2,
        ..Setup::default()
    })
    .await?;
    let queue = world.queues.validations();
    create_ten(&world, "rung").await?;
    let rows = world
        .database
        .texts("select json_build_object('m', merchant_id, 'v', id)::text from validations")?;
    let all = format!(
        r#"{{"v":1,"type":"validations.due","validations":[{0},{0}]}}"#,
        rows.join(",")
    );
    for _ in 0..10 {
        world.queues.publish(&queue, all.as_bytes()).await?;
    }
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    let decided = world
        .database
        .texts("select v::text from validations v order by id")?;
    // What is decided is not touched again, however late it is rung for.
    for _ in 0..10 {
        world.queues.publish(&queue, all.as_bytes()).await?;
    }
    eventually(PATIENCE, "an empty queue", async || {
        anyhow::Ok((world.queues.depth(&queue).await? == 0).then_some(()))
    })
    .await?;
    create_ten(&world, "later").await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    let now = world
        .database
        .texts("select v::text from validations v order by id")?;
    assert_eq!(now[..10], decided);
    assert_paid_once(&world, 20).await
}

#[tokio::test]
async fn a_queue_that_vanishes_is_made_again() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    create_ten(&world, "before").await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    world.queues.delete().await?;
    create_ten(&world, "after").await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], CAUGHT_UP)
        .await?;
    assert_paid_once(&world, 20).await
}
