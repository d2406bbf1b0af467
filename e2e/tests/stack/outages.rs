//! Postgres, RabbitMQ or the gateway away, broken or slow: what a merchant is told then, and that nothing is lost.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};
use khata_e2e::client::text;
use khata_e2e::{Answer, Behaviour, PATIENCE, Setup, World, eventually};

use crate::bad_input::assert_error;
use crate::calls::{bank, banks};

/// Contract: with Postgres away, an answer comes within this.
const ANSWERED: Duration = Duration::from_secs(3);
/// Issue: accounts are validated so long after the broker's return at most.
const CAUGHT_UP: Duration = Duration::from_secs(30);

fn outage() -> Setup {
    Setup {
        proxies: true,
        traces: true,
        call_timeout_ms: 1_000,
        ..Setup::default()
    }
}

async fn create_ten(world: &World, customer: &str) -> Result<()> {
    let body = banks((0..10).map(|n| format!("{customer}{n:04}")));
    let created = world.api.create_json(customer, &body).await?.accounts()?;
    assert_eq!(created.len(), 10);
    Ok(())
}

async fn assert_each_dropped_once(world: &World, accounts: u64) -> Result<()> {
    let drops = world.sandbox.drops().await?;
    assert!(drops.doubles().is_empty(), "{:?}", drops.doubles());
    assert_eq!(
        (drops.total, drops.distinct_references),
        (accounts, accounts)
    );
    Ok(())
}

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
    assert_eq!(worker.look("/health/ready").await?.status, 503);
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
    assert_each_dropped_once(&world, 50).await
}

/// A 503 as the contract has it, within 3 s.
async fn assert_unavailable(what: &str, call: impl Future<Output = Result<Answer>>) -> Result<()> {
    let began = Instant::now();
    let answer = call.await?;
    let took = began.elapsed();
    let words = ["error", "service_unavailable", "SERVER_ERROR", "API_ERROR"];
    assert_error(what, &answer, 503, words);
    let wait: u64 = answer.header("retry-after").unwrap_or_default().parse()?;
    assert!((1..=60).contains(&wait), "{what}: {wait}");
    assert!(took < ANSWERED, "{what}: answered after {took:?}");
    Ok(())
}

async fn assert_all_unavailable(world: &World) -> Result<()> {
    let api = &world.api;
    let stranger = api.with_key("kh_test_unknown");
    let form = bank("50000001", "AABF0008032");
    // First alone, so that no other caller's failure is waited for; then many at once.
    assert_unavailable("a create", api.create("away", &form)).await?;
    assert_unavailable("a list", api.list("before", "")).await?;
    assert_unavailable("a key never seen", stranger.list("before", "")).await?;
    let numbers: Vec<String> = (0..20).map(|n| format!("600000{n:02}")).collect();
    let forms: Vec<_> = numbers
        .iter()
        .map(|number| bank(number, "AABF0008032"))
        .collect();
    let creates = forms
        .iter()
        .map(|form| assert_unavailable("one of many", api.create("away", form)));
    for done in join_all(creates).await {
        done?;
    }
    let ready = api.look("/health/ready").await?;
    assert_eq!(
        (ready.status, &ready.json()["checks"]["postgres"]),
        (503, &"down".into())
    );
    api.look("/health/live").await?.expect_status(200)?;
    Ok(())
}

async fn assert_serving_again(world: &World, stored: [i64; 3], number: &str) -> Result<()> {
    let back = Instant::now();
    let account = eventually(
        Duration::from_secs(15),
        "a create after the return",
        async || {
            world
                .api
                .create("after", &bank(number, "AABF0008032"))
                .await?
                .account()
                .map(Some)
        },
    )
    .await?;
    eprintln!("a create was taken {:?} after the return", back.elapsed());
    let id = text(&account, "/id");
    world
        .api
        .wait_for("after", id, &["ACTIVE"], PATIENCE)
        .await?;
    // What was answered by "nothing was stored" was not, and does not come to light later either.
    let customers = world
        .database
        .number("select count(*) from customers where object_reference_id = 'away'")?;
    assert_eq!(customers, 0, "the customer of the refused calls is there");
    let now = world.database.stored()?;
    assert_eq!([now[1], now[2]], [stored[1] + 1, stored[2] + 1]);
    world.wait_until_ready(&world.apis[0].url).await?;
    world.wait_until_ready(&world.workers[0].url).await
}

#[tokio::test]
async fn without_postgres_a_call_is_refused_and_service_resumes_by_itself() -> Result<()> {
    let world = World::start(outage()).await?;
    create_ten(&world, "before").await?;
    let stored = world.database.stored()?;
    let postgres = &world.proxies()?.postgres;
    postgres.cut();
    assert_all_unavailable(&world).await?;
    assert_eq!(world.database.stored()?, stored);
    postgres.restore();
    assert_serving_again(&world, stored, "70000001").await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    assert_each_dropped_once(&world, 11).await
}

#[tokio::test]
async fn a_postgres_that_hangs_is_as_one_that_is_away() -> Result<()> {
    let world = World::start(outage()).await?;
    create_ten(&world, "before").await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    let stored = world.database.stored()?;
    let postgres = &world.proxies()?.postgres;
    postgres.hang();
    assert_all_unavailable(&world).await?;
    assert_eq!(world.database.stored()?, stored);
    postgres.restore();
    assert_serving_again(&world, stored, "70000001").await?;
    assert_each_dropped_once(&world, 11).await
}

#[tokio::test]
async fn what_a_hanging_postgres_hears_late_is_not_stored() -> Result<()> {
    let world = World::start(outage()).await?;
    create_ten(&world, "before").await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    let stored = world.database.stored()?;
    let postgres = &world.proxies()?.postgres;
    postgres.hang();
    let form = bank("50000001", "AABF0008032");
    assert_unavailable("a create", world.api.create("away", &form)).await?;
    assert_unavailable("another create", world.api.create("away", &form)).await?;
    postgres.thaw();
    assert_serving_again(&world, stored, "70000001").await
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
    assert_each_dropped_once(&world, 50).await
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
    assert_each_dropped_once(&world, 10).await
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
    assert_each_dropped_once(&world, 20).await
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
    assert_each_dropped_once(&world, 20).await
}

/// Accounts that meet a gateway in trouble: none may fail, and all are ACTIVE once it is well.
async fn assert_trouble_is_not_the_payees(
    world: &World,
    customer: &str,
    attempts: &str,
    well: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    create_ten(world, customer).await?;
    let tried = format!("select count(*) from validation_attempts where {attempts}");
    eventually(PATIENCE, "ten attempts in trouble", async || {
        anyhow::Ok((world.database.number(&tried)? == 10).then_some(()))
    })
    .await?;
    assert_eq!(world.count("FAILURE")?, 0);
    well().await?;
    let back = Instant::now();
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    eprintln!(
        "{customer}: all decided {:?} after the gateway's return",
        back.elapsed()
    );
    assert_eq!(world.count("FAILURE")?, 0);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_refuses_or_swallows_calls_is_not_the_payees_fault() -> Result<()> {
    let world = World::start(outage()).await?;
    let gateway = &world.proxies()?.gateway;
    gateway.cut();
    let refused = "state = 'SETTLED' and class = 'RETRYABLE'";
    assert_trouble_is_not_the_payees(&world, "refused", refused, async || {
        gateway.restore();
        Ok(())
    })
    .await?;
    assert_each_dropped_once(&world, 10).await?;
    gateway.hang();
    assert_trouble_is_not_the_payees(&world, "silence", "state = 'UNKNOWN'", async || {
        gateway.restore();
        Ok(())
    })
    .await?;
    assert_eq!(world.count("ACTIVE")?, 20);
    assert_each_dropped_once(&world, 20).await
}

#[tokio::test]
async fn a_gateway_that_fails_after_doing_its_work_is_looked_up_and_not_paid_twice() -> Result<()> {
    let world = World::start(outage()).await?;
    let failing = Behaviour {
        error_rate: 1.0,
        ..Behaviour::default()
    };
    let silent = Behaviour {
        hang_rate: 1.0,
        ..Behaviour::default()
    };
    for (customer, behaviour) in [("failing", failing), ("silent", silent)] {
        world.sandbox.behave(behaviour).await?;
        let unknown = "state = 'UNKNOWN'";
        assert_trouble_is_not_the_payees(&world, customer, unknown, async || {
            world.sandbox.behave(Behaviour::default()).await
        })
        .await?;
    }
    assert_eq!(world.count("ACTIVE")?, 20);
    assert_each_dropped_once(&world, 20).await
}

#[tokio::test]
async fn a_gateway_that_fails_at_random_brings_every_account_to_its_end() -> Result<()> {
    let world = World::start(outage()).await?;
    let shaky = Behaviour {
        latency_ms: 20,
        error_rate: 0.3,
        hang_rate: 0.1,
        pending_ms: 300,
    };
    world.sandbox.behave(shaky).await?;
    let customers: Vec<String> = (0..4).map(|n| format!("shaky{n}")).collect();
    try_join_all(
        customers
            .iter()
            .map(|customer| create_ten(&world, customer)),
    )
    .await?;
    let half = "select count(*) from customer_accounts where status = 'ACTIVE'";
    eventually(
        PATIENCE,
        "half of the accounts being ACTIVE in spite of it",
        async || anyhow::Ok((world.database.number(half)? >= 20).then_some(())),
    )
    .await?;
    world.sandbox.behave(Behaviour::default()).await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    assert_eq!(world.count("ACTIVE")?, 40);
    assert_each_dropped_once(&world, 40).await
}
