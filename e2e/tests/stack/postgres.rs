//! Postgres unreachable or hanging: calls that cannot be stored are rejected in time, and nothing is stored in part.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::join_all;
use khata_e2e::client::text;
use khata_e2e::{Behaviour, HttpReply, Setup, TIMEOUT, TestStack, eventually};

use crate::errors::assert_error;
use crate::load::{
    MIXED, SHORT_LEASE, assert_all_mixed_right, assert_paid_once, create_ten, mixed, outage,
};
use crate::requests::{bank, banks};

/// Maximum time of a reply without Postgres: the contract's three seconds, and time for a busy machine. The API waits for 2.5 s: a
/// second wait would end later.
const ANSWERED: Duration = Duration::from_secs(5);

/// Returns the setup of a test that measures replies.
fn alone() -> Setup {
    Setup {
        alone: true,
        ..outage()
    }
}

/// Asserts a 503 in the contract's form, in time.
async fn assert_unavailable(
    what: &str,
    call: impl Future<Output = Result<HttpReply>>,
) -> Result<()> {
    let began = Instant::now();
    let reply = call.await?;
    let took = began.elapsed();
    let words = ["error", "service_unavailable", "SERVER_ERROR", "API_ERROR"];
    assert_error(what, &reply, 503, words);
    let wait: u64 = reply.header("retry-after").unwrap_or_default().parse()?;
    assert!((1..=60).contains(&wait), "{what}: {wait}");
    assert!(took < ANSWERED, "{what}: answered after {took:?}");
    Ok(())
}

async fn assert_all_unavailable(stack: &TestStack) -> Result<()> {
    let api = &stack.api;
    let stranger = api.with_key("kh_test_unknown");
    let form = bank("50000001", "AABF0008032");
    // First one call, which waits for no other call's failure; then many at once.
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
    let ready = api.get_path("/health/ready").await?;
    assert_eq!(
        (ready.status, &ready.json()["checks"]["postgres"]),
        (503, &"down".into())
    );
    api.get_path("/health/live").await?.expect_status(200)?;
    Ok(())
}

async fn assert_serving_again(stack: &TestStack, stored: [i64; 3], number: &str) -> Result<()> {
    let back = Instant::now();
    let account = eventually(TIMEOUT, "a create after the return", async || {
        stack
            .api
            .create("after", &bank(number, "AABF0008032"))
            .await?
            .account()
            .map(Some)
    })
    .await?;
    eprintln!("a create was taken {:?} after the return", back.elapsed());
    let id = text(&account, "/id");
    stack
        .api
        .wait_for("after", id, &["ACTIVE"], TIMEOUT)
        .await?;
    // Calls with the reply "nothing was stored" stored nothing, and do not appear later.
    let customers = stack
        .database
        .number("select count(*) from customers where object_reference_id = 'away'")?;
    assert_eq!(customers, 0, "the customer of the refused calls is there");
    let now = stack.database.row_counts()?;
    assert_eq!([now[1], now[2]], [stored[1] + 1, stored[2] + 1]);
    stack.wait_until_ready(&stack.apis[0].url).await?;
    stack.wait_until_ready(&stack.workers[0].url).await
}

#[tokio::test]
async fn without_postgres_calls_get_503_and_service_resumes_automatically() -> Result<()> {
    let stack = TestStack::start(alone()).await?;
    create_ten(&stack, "before").await?;
    let stored = stack.database.row_counts()?;
    let postgres = &stack.proxies()?.postgres;
    postgres.cut();
    assert_all_unavailable(&stack).await?;
    assert_eq!(stack.database.row_counts()?, stored);
    postgres.restore();
    assert_serving_again(&stack, stored, "70000001").await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    assert_paid_once(&stack, 11).await
}

#[tokio::test]
async fn a_hanging_postgres_is_handled_like_an_unreachable_one() -> Result<()> {
    let stack = TestStack::start(alone()).await?;
    create_ten(&stack, "before").await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    let stored = stack.database.row_counts()?;
    let postgres = &stack.proxies()?.postgres;
    postgres.hang();
    assert_all_unavailable(&stack).await?;
    assert_eq!(stack.database.row_counts()?, stored);
    postgres.restore();
    assert_serving_again(&stack, stored, "70000001").await?;
    assert_paid_once(&stack, 11).await
}

#[tokio::test]
async fn a_statement_that_postgres_receives_late_stores_nothing() -> Result<()> {
    let stack = TestStack::start(alone()).await?;
    create_ten(&stack, "before").await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    let stored = stack.database.row_counts()?;
    let postgres = &stack.proxies()?.postgres;
    postgres.hang();
    let form = bank("50000001", "AABF0008032");
    assert_unavailable("a create", stack.api.create("away", &form)).await?;
    assert_unavailable("another create", stack.api.create("away", &form)).await?;
    postgres.thaw();
    assert_serving_again(&stack, stored, "70000001").await
}

#[tokio::test]
async fn a_response_that_could_not_be_stored_is_looked_up_and_not_paid_again() -> Result<()> {
    let stack = TestStack::start(Setup {
        proxies: true,
        call_timeout_ms: 1_000,
        worker_settings: SHORT_LEASE,
        ..Setup::default()
    })
    .await?;
    stack
        .sandbox
        .set_behaviour(Behaviour {
            latency_ms: 400,
            ..Behaviour::default()
        })
        .await?;
    stack
        .api
        .create_json("unstored", &mixed(0))
        .await?
        .accounts()?;
    eventually(TIMEOUT, "every rupee dropped", async || {
        anyhow::Ok((stack.sandbox.drops().await?.total == MIXED as u64).then_some(()))
    })
    .await?;
    // The gateway's responses arrive, but cannot be stored until after the leases' end.
    stack.proxies()?.postgres.cut();
    tokio::time::sleep(Duration::from_secs(6)).await;
    stack.proxies()?.postgres.restore();
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    assert_all_mixed_right(&stack.api, "unstored").await?;
    assert_paid_once(&stack, MIXED as u64).await
}

#[tokio::test]
async fn processes_stop_while_postgres_hangs() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        proxies: true,
        worker_settings: &[("KHATA_WORKER_DRAIN_SECONDS", "5")],
        ..Setup::default()
    })
    .await?;
    stack
        .api
        .create_json("before", &banks(["50000001".into()]))
        .await?
        .accounts()?;
    stack.proxies()?.postgres.hang();
    let refused = stack
        .api
        .create_json("during", &banks(["50000002".into()]))
        .await?;
    assert_eq!(refused.status, 503, "{}", refused.text);
    let mut processes = vec![
        stack.apis.remove(0).process,
        stack.workers.remove(0).process,
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
