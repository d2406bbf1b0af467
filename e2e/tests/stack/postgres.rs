//! Postgres away, or silent: what cannot be stored is refused in time, and nothing is half-stored.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;
use khata_e2e::client::text;
use khata_e2e::{Answer, Behaviour, PATIENCE, Setup, World, eventually};

use crate::calls::{bank, banks};
use crate::errors::assert_error;
use crate::load::{
    MIXED, SHORT_LEASE, assert_all_mixed_right, assert_paid_once, create_ten, mixed, outage,
};

/// Contract: with Postgres away, an answer comes within this.
const ANSWERED: Duration = Duration::from_secs(3);

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
    assert_paid_once(&world, 11).await
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
    assert_paid_once(&world, 11).await
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
async fn an_answer_that_could_not_be_stored_is_asked_for_again_and_not_paid_again() -> Result<()> {
    let world = World::start(Setup {
        proxies: true,
        call_timeout_ms: 1_000,
        worker_settings: SHORT_LEASE,
        ..Setup::default()
    })
    .await?;
    world
        .sandbox
        .behave(Behaviour {
            latency_ms: 400,
            ..Behaviour::default()
        })
        .await?;
    world
        .api
        .create_json("unstored", &mixed(0))
        .await?
        .accounts()?;
    eventually(PATIENCE, "every rupee dropped", async || {
        anyhow::Ok((world.sandbox.drops().await?.total == MIXED as u64).then_some(()))
    })
    .await?;
    // The gateway's answers are on their way, and there is no_gateway to put them until after the leases' end.
    world.proxies()?.postgres.cut();
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.proxies()?.postgres.restore();
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    assert_all_mixed_right(&world.api, "unstored").await?;
    assert_paid_once(&world, MIXED as u64).await
}

#[tokio::test]
async fn processes_stop_also_while_postgres_hangs() -> Result<()> {
    let mut world = World::start(Setup {
        proxies: true,
        worker_settings: &[("KHATA_WORKER_DRAIN_SECONDS", "5")],
        ..Setup::default()
    })
    .await?;
    world
        .api
        .create_json("before", &banks(["50000001".into()]))
        .await?
        .accounts()?;
    world.proxies()?.postgres.hang();
    let refused = world
        .api
        .create_json("during", &banks(["50000002".into()]))
        .await?;
    assert_eq!(refused.status, 503, "{}", refused.text);
    let mut processes = vec![
        world.apis.remove(0).process,
        world.workers.remove(0).process,
    ];
    for process in &processes {
        process.terminate()?;
    }
    for process in &mut processes {
        let status = process.wait(Duration::from_secs(30)).await?;
        assert_eq!(status.code(), Some(0), "{}", process.log());
    }
    Ok(())
}
