//! Scenarios in which one merchant has more work than fits, and another one must not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use khata_e2e::client::text;
use khata_e2e::{Api, Behaviour, Setup, TestStack, eventually};
use reqwest::Method;
use serde_json::json;

use crate::steps::{TIMEOUT, UNFINISHED, at_gateways, banks, create};

/// Time that another merchant's validation may take beside that of its gateway.
const DELAY: Duration = Duration::from_secs(1);

/// One merchant has thousands of validations at a gateway that takes three seconds; another one creates single accounts.
pub(crate) async fn slow_gateway() -> Result<String> {
    const BACKLOG: usize = 5_000;
    let stack = TestStack::start(Setup::default()).await?;
    let slow = Behaviour {
        latency_ms: 3_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(slow).await?;
    let other = stack.api.with_key(&stack.issue_key("other")?);
    create(&stack, "backlog", BACKLOG).await?;
    let mut waits = Vec::new();
    for number in 0..20 {
        waits.push(until_final(&other, number).await?);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    waits.sort_unstable();
    let (median, longest) = (waits[10], waits[19]);
    let left = stack.count("CREATED")? + stack.count("PENDING")?;
    ensure!(
        left > 0,
        "the backlog was too small: this run proves nothing"
    );
    ensure!(longest < DELAY, "another merchant waited {longest:?}");
    Ok(format!(
        "behind {BACKLOG} validations of 3 s another merchant waits {} ms (median), {} ms at most",
        median.as_millis(),
        longest.as_millis()
    ))
}

/// One merchant sends the heaviest calls that the API takes over eight connections to two processes: few accounts with much
/// metadata, and many accounts with less. Another merchant creates single accounts.
pub(crate) async fn heavy_calls() -> Result<String> {
    const TIMES: f64 = 3.0;
    let stack = TestStack::start(Setup {
        apis: 2,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    // The budget is not what holds the attacker back.
    let limit = [
        "merchant",
        "set",
        "--merchant",
        "e2e",
        "--penny-drops-per-day=1000000000",
    ];
    stack.command(&limit)?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let other = stack.api.with_key(&stack.issue_key("other")?);
    let idle = median_create(&other, 0).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let attackers: Vec<_> = (0..8)
        .map(|connection| {
            let (api, is_over) = (stack.api_at(connection % 2), Arc::clone(&is_over));
            tokio::spawn(async move {
                let (mut stored, mut calls) = (0, 0);
                while !is_over.load(Ordering::Relaxed) {
                    // Together 256 KiB of metadata at most.
                    let (accounts, members) = if calls % 2 == 0 { (20, 20) } else { (100, 5) };
                    let mut body = banks(accounts, 1_000 * (connection + 1) + calls);
                    body["metadata"] = (0..members)
                        .map(|n| (format!("m{n}"), json!("x".repeat(500))))
                        .collect();
                    let path = format!("/customers/heavy_{connection}/accounts");
                    let call = api.call(Method::POST, &path);
                    let call = call.header("idempotency-key", format!("{connection}-{calls}"));
                    match api.send(call.json(&body)).await?.status {
                        200 => stored += 1,
                        // The next try is another call.
                        429 => {}
                        status => bail!("a heavy call got {status}"),
                    }
                    calls += 1;
                }
                anyhow::Ok((stored, calls))
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let loaded = median_create(&other, 1).await?;
    is_over.store(true, Ordering::Relaxed);
    let (mut stored, mut calls) = (0, 0);
    for attacker in attackers {
        let (own_stored, own_calls) = attacker.await.context("an attacker failed")??;
        stored += own_stored;
        calls += own_calls;
    }
    let ratio = loaded.as_secs_f64() / idle.as_secs_f64();
    let figures = format!(
        "beside {calls} heavy calls, {stored} of them stored, another merchant's create takes {:.1} ms instead of {:.1} ms",
        1_000.0 * loaded.as_secs_f64(),
        1_000.0 * idle.as_secs_f64()
    );
    ensure!(
        stored > 0,
        "no heavy call was stored: this run proves nothing"
    );
    ensure!(ratio <= TIMES, "{ratio:.1} times as long: {figures}");
    Ok(figures)
}

/// Thousands of validations wait for the forty calls that a gateway account takes at once.
pub(crate) async fn full_gateway() -> Result<String> {
    const ACCOUNTS: u16 = 2_400;
    const AT_ONCE: u16 = 40;
    const CALL: Duration = Duration::from_secs(1);
    let settings = json!({"bank_flow": "sync", "concurrency": AT_ONCE});
    let stack = at_gateways(&["CASHFREE"], settings).await?;
    let slow = Behaviour {
        latency_ms: 1_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(slow).await?;
    create(&stack, "full", ACCOUNTS.into()).await?;
    let began = Instant::now();
    let before = stack.count("ACTIVE")?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    let done = f64::from(u32::try_from(stack.count("ACTIVE")? - before)?);
    let possible = began.elapsed().div_duration_f64(CALL) * f64::from(AT_ONCE);
    // Postgres counts updates within a second or so.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let updates = stack
        .database
        .number("select n_tup_upd from pg_stat_user_tables where relname = 'validations'")?;
    let updates = f64::from(u32::try_from(updates)?) / f64::from(ACCOUNTS);
    let share = done / possible;
    ensure!(share >= 0.9, "{share:.2} of the possible rate");
    // A claim and a settlement, and two for waiting.
    ensure!(updates <= 4.5, "{updates:.1} updates for each validation");
    Ok(format!(
        "{share:.2} of the possible rate, {updates:.1} updates for each validation"
    ))
}

/// Hundreds of accounts at a gateway account with a hundred calls a minute, whose outcomes must be polled.
pub(crate) async fn short_quota() -> Result<String> {
    let settings = json!({"calls_per_minute": 100});
    let stack = at_gateways(&["CASHFREE"], settings).await?;
    create(&stack, "quota", 400).await?;
    let began = Instant::now();
    eventually(Duration::from_mins(1), "a first outcome", async || {
        Ok::<_, anyhow::Error>((stack.count("ACTIVE")? > 0).then_some(()))
    })
    .await?;
    let first = began.elapsed();
    tokio::time::sleep(Duration::from_mins(2).saturating_sub(began.elapsed())).await;
    let done = stack.count("ACTIVE")?;
    ensure!(done >= 60, "{done} outcomes after two minutes");
    Ok(format!(
        "first outcome after {:.0} s, {done} after two minutes",
        first.as_secs_f64()
    ))
}

/// A caller waits for one validation while thousands of the same merchant are due.
pub(crate) async fn awaited() -> Result<String> {
    const BACKLOG: usize = 10_000;
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    create(&stack, "bulk", BACKLOG).await?;
    let slow = Behaviour {
        latency_ms: 300,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(slow).await?;
    stack.start_worker().await?;
    stack.wait_until_ready(&stack.workers[0].url).await?;
    let mut waits = Vec::new();
    for number in 0..10 {
        let mut body = json!({"account_number": format!("88{number:08}"), "ifsc": "AABF0008032"});
        body["command"] = "validate".into();
        let began = Instant::now();
        let account = stack.api.create_json("waits", &body).await?.account()?;
        waits.push(began.elapsed());
        ensure!(
            account["status"] == "ACTIVE",
            "the reply is {}",
            account["status"]
        );
    }
    waits.sort_unstable();
    let left = stack.count("CREATED")? + stack.count("PENDING")?;
    ensure!(
        left > 0,
        "the backlog was too small: this run proves nothing"
    );
    // The call and a poll.
    let gateway = Duration::from_millis(600);
    ensure!(waits[9] < DELAY + gateway, "a caller waited {:?}", waits[9]);
    Ok(format!(
        "behind {left} of {BACKLOG} a caller waits {} ms (median), {} ms at most; the gateway takes 600 ms",
        waits[5].as_millis(),
        waits[9].as_millis()
    ))
}

/// Creates an account, and returns the time until it is final.
async fn until_final(api: &Api, number: usize) -> Result<Duration> {
    let customer = format!("single_{number}");
    let began = Instant::now();
    let created = api
        .create_json(&customer, &banks(1, number))
        .await?
        .account()?;
    let id = text(&created, "/id");
    loop {
        let account = api.get(&customer, id).await?.account()?;
        if !UNFINISHED.contains(&text(&account, "/status")) {
            return Ok(began.elapsed());
        }
        ensure!(began.elapsed() < TIMEOUT, "{id} is not final");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the median time of single creates.
async fn median_create(api: &Api, series: usize) -> Result<Duration> {
    let mut times = Vec::new();
    for number in 0..101 {
        let body = banks(1, 10_000 + series * 1_000 + number);
        let began = Instant::now();
        api.create_json(&format!("single_{series}_{number}"), &body)
            .await?
            .account()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[50])
}
