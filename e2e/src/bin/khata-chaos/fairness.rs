//! Scenarios in which one merchant has more work than fits, and another one must not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use khata_e2e::client::text;
use khata_e2e::{Api, Behaviour, GatewayAccount, SandboxGateway, Setup, TestStack, eventually};
use reqwest::Method;
use serde_json::json;

use crate::steps::{TIMEOUT, UNFINISHED, add_due, at_gateways, banks, create, open};

/// Time that another merchant's validation may take beside that of its gateway.
const DELAY: Duration = Duration::from_secs(1);

/// One merchant has a hundred thousand due validations at a gateway that takes three seconds; another one creates single
/// accounts.
pub(crate) async fn slow_gateway() -> Result<String> {
    const BACKLOG: usize = 100_000;
    const TIMES: f64 = 3.0;
    let mut stack = TestStack::start(Setup {
        workers: 0,
        call_timeout_ms: 10_000,
        ..Setup::default()
    })
    .await?;
    let other = stack.api.with_key(&stack.issue_key("other")?);
    let gateway = SandboxGateway::named("DECENTRO");
    let base_url = gateway.base_url(&stack.sandbox);
    stack.set_gateway_account(&GatewayAccount {
        merchant: "other",
        ..gateway.account(&base_url, 1)
    })?;
    let idle = median_create(&other, 2).await?;
    stack.start_worker().await?;
    stack.wait_until_ready(&stack.workers[0].url).await?;
    let idle_waits = waits(&other, 0).await?;
    stack.workers.clear();
    let slow = Behaviour {
        latency_ms: 3_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(slow).await?;
    add_due(&stack, BACKLOG).await?;
    stack.start_worker().await?;
    stack.wait_until_ready(&stack.workers[0].url).await?;
    // One merchant's share of the worker is at the gateway.
    let leased = "select count(*) from validations where state = 'LEASED'";
    eventually(TIMEOUT, "the worker being full", async || {
        Ok::<_, anyhow::Error>((stack.database.number(leased)? >= 300).then_some(()))
    })
    .await?;
    let loaded = median_create(&other, 3).await?;
    let waits = waits(&other, 20).await?;
    let (median, longest) = (waits[10], waits[19]);
    let left = open(&stack)?;
    ensure!(
        left > 10_000,
        "the backlog was too small: this run proves nothing"
    );
    ensure!(
        longest < DELAY,
        "another merchant waited {longest:?}, {median:?} (median), and without the backlog {:?}, {:?}",
        idle_waits[19],
        idle_waits[10]
    );
    let ratio = loaded.as_secs_f64() / idle.as_secs_f64();
    ensure!(
        ratio <= TIMES,
        "another merchant's creates take {ratio:.1} times as long"
    );
    Ok(format!(
        "behind {left} due validations of 3 s another merchant waits {} ms (median, {} ms without them), {} ms at most; its \
         creates take {:.1} ms instead of {:.1} ms",
        median.as_millis(),
        idle_waits[10].as_millis(),
        longest.as_millis(),
        1_000.0 * loaded.as_secs_f64(),
        1_000.0 * idle.as_secs_f64()
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
    let stack = at_gateways(&[], json!({})).await?;
    // One call for each account. The flow of an existing gateway account cannot be changed.
    let gateway = SandboxGateway::named("CASHFREE");
    let base_url = gateway.base_url(&stack.sandbox);
    let settings = json!({"bank_flow": "sync", "concurrency": AT_ONCE}).to_string();
    stack.set_gateway_account(&GatewayAccount {
        reference_id: "cashfree_sync",
        settings: &settings,
        ..gateway.account(&base_url, 1)
    })?;
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
    // A claim, a settlement, and one to wait.
    ensure!(updates <= 3.0, "{updates:.2} updates for each validation");
    Ok(format!(
        "{share:.2} of the possible rate, {updates:.2} updates for each validation"
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

/// A caller waits for one validation while two hundred thousand of the same merchant are due.
pub(crate) async fn awaited() -> Result<String> {
    const BACKLOG: usize = 200_000;
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    add_due(&stack, BACKLOG).await?;
    let slow = Behaviour {
        latency_ms: 300,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(slow).await?;
    stack.start_worker().await?;
    stack.wait_until_ready(&stack.workers[0].url).await?;
    let before = open(&stack)?;
    let began = Instant::now();
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
    let took = began.elapsed().as_secs_f64();
    let left = open(&stack)?;
    ensure!(
        left > 10_000,
        "the backlog was too small: this run proves nothing"
    );
    let moved = f64::from(u32::try_from(before - left)?) / took;
    ensure!(moved > 10.0, "the others move at {moved:.0} a second");
    // The gateway of a busy machine takes longer than it should: a call and a poll.
    let calls = stack.database.texts(
        "select round(extract(epoch from t.settled_at - t.started_at) * 1000)::bigint::text
         from validations v join validation_attempts t on t.merchant_id = v.merchant_id and t.validation_id = v.id
         where v.awaited_until is not null order by v.created_at",
    )?;
    ensure!(
        calls.len() == waits.len(),
        "{} calls for {} callers",
        calls.len(),
        waits.len()
    );
    let beside = |(wait, call): (&Duration, &String)| {
        let call = Duration::from_millis(call.parse()?);
        Ok(wait.saturating_sub(call))
    };
    let beside: Result<Vec<Duration>> = waits.iter().zip(&calls).map(beside).collect();
    let mut beside = beside?;
    waits.sort_unstable();
    beside.sort_unstable();
    ensure!(
        beside[9] < DELAY,
        "a caller waited {:?} beside its gateway",
        beside[9]
    );
    Ok(format!(
        "behind {left} due a caller waits {} ms (median), beside its gateway {} ms (median), {} ms at most; {moved:.0} others a second",
        waits[5].as_millis(),
        beside[5].as_millis(),
        beside[9].as_millis()
    ))
}

/// Creates twenty accounts, one after the other, and returns the times until each is final, in order.
async fn waits(api: &Api, first: usize) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    for number in first..first + 20 {
        waits.push(until_final(api, number).await?);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    waits.sort_unstable();
    Ok(waits)
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
