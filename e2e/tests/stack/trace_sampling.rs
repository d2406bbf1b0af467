//! Which traces are recorded, and that nobody waits for whoever collects them.

use std::time::{Duration, Instant};

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Behaviour, PATIENCE, Proxy, Setup, Span, World, eventually};
use reqwest::Method;

use crate::calls::bank;

const CUSTOMER: &str = "recorded";
const IFSC: &str = "AABF0008032";

/// Nothing is recorded for the rate's sake, and half a second is slow.
fn nothing_but_failed_and_slow() -> Setup {
    Setup {
        traces: true,
        proxies: true,
        call_timeout_ms: 1_500,
        service_settings: &[
            ("KHATA_TRACES_PER_SECOND", "0"),
            ("KHATA_TRACES_SLOW_MS", "500"),
        ],
        ..Setup::default()
    }
}

async fn step_of(world: &World, trace_id: &str) -> Result<Span> {
    let traces = world.traces()?;
    let trace = traces
        .wait_for(trace_id, PATIENCE, |trace| {
            !trace.named("process").is_empty()
        })
        .await?;
    Ok(trace.named("process")[0].clone())
}

#[tokio::test]
async fn what_fails_or_is_slow_is_recorded_whatever_the_rate() -> Result<()> {
    let world = World::start(nothing_but_failed_and_slow()).await?;
    let api = &world.api;
    let good = api.create(CUSTOMER, &bank("80000001", IFSC)).await?;
    let unrecorded = good.trace_id().unwrap();
    let id = text(&good.account()?, "/id").to_owned();
    api.wait_for(CUSTOMER, &id, &["ACTIVE"], PATIENCE).await?;

    let slowly = Behaviour {
        latency_ms: 700,
        ..Behaviour::default()
    };
    world.sandbox.behave(slowly).await?;
    let slow = api.create(CUSTOMER, &bank("80000002", IFSC)).await?;
    let step = step_of(&world, &slow.trace_id().unwrap()).await?;
    let account = slow.account()?;
    assert_eq!(step.service, "khata-worker");
    assert_eq!(step.tag("khata.account_id"), account["id"].as_str());
    assert_eq!(step.tag("khata.gateway"), Some("CASHFREE"));
    assert_eq!(step.tag("error.type"), None, "{step:?}");
    assert!(step.took() >= Duration::from_millis(500), "{step:?}");

    world.sandbox.behave(Behaviour::default()).await?;
    world.proxies()?.gateway.cut();
    let failed = api.create(CUSTOMER, &bank("80000003", IFSC)).await?;
    let step = step_of(&world, &failed.trace_id().unwrap()).await?;
    assert_eq!(step.tag("error.type"), Some("RETRYABLE"), "{step:?}");
    assert_eq!(step.tag("khata.code"), Some("not_sent"), "{step:?}");
    world.proxies()?.gateway.restore();

    world.proxies()?.postgres.cut();
    let refused = api.create(CUSTOMER, &bank("80000004", IFSC)).await?;
    let refused = refused.expect_status(503)?;
    let trace_id = refused.trace_id().unwrap();
    let traces = world.traces()?;
    let trace = traces.wait_for(&trace_id, PATIENCE, |_| true).await?;
    let request = &trace.spans[0];
    assert_eq!(request.service, "khata-api");
    assert_eq!(request.tag("error.type"), Some("503"), "{request:?}");
    assert_eq!(
        request.tag("khata.request_id"),
        refused.header("x-request-id")
    );
    world.proxies()?.postgres.restore();

    // Long after everything else has arrived.
    assert!(traces.get(&unrecorded).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_call_that_waits_as_it_asked_to_is_not_slow() -> Result<()> {
    let world = World::start(nothing_but_failed_and_slow()).await?;
    let pending = Behaviour {
        pending_ms: 1_200,
        ..Behaviour::default()
    };
    world.sandbox.behave(pending).await?;
    let mut form = bank("80000001", IFSC);
    form.push(("command", "validate"));
    let began = Instant::now();
    let waited = world.api.create(CUSTOMER, &form).await?;
    assert!(began.elapsed() >= Duration::from_millis(500));
    // Its spans would be there before those of what is asked, and fails, later.
    world.proxies()?.postgres.cut();
    let failed = world.api.create(CUSTOMER, &bank("80000002", IFSC)).await?;
    let traces = world.traces()?;
    traces
        .wait_for(&failed.trace_id().unwrap(), PATIENCE, |_| true)
        .await?;
    let trace = traces.get(&waited.trace_id().unwrap()).await?;
    let requests = trace.map_or(0, |trace| trace.named("POST").len());
    assert_eq!(requests, 0);
    Ok(())
}

#[tokio::test]
async fn whatever_becomes_of_the_collector_accounts_are_validated() -> Result<()> {
    let mut world = World::start(Setup {
        traces: true,
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let recorded = async |world: &World, number: &str| -> Result<String> {
        let answer = world.api.create(CUSTOMER, &bank(number, IFSC)).await?;
        let trace_id = answer.trace_id().unwrap();
        let id = text(&answer.account()?, "/id").to_owned();
        let api = &world.api;
        api.wait_for(CUSTOMER, &id, &["ACTIVE"], PATIENCE).await?;
        Ok(trace_id)
    };
    for (turn, breaks) in [Proxy::cut, Proxy::hang].into_iter().enumerate() {
        let collector = world.proxies()?.collector.as_ref().unwrap();
        breaks(collector);
        // More spans than the exporter's queue holds.
        for n in 0..100 {
            let accounts: Vec<_> = (0..10).map(|m| format!("8{turn}{n:03}{m:03}")).collect();
            let body = crate::calls::banks(accounts.into_iter());
            let created = world.api.create_json(CUSTOMER, &body).await?.accounts()?;
            assert_eq!(created.len(), 10);
        }
        eventually(PATIENCE, "all validated", async || {
            let open = "select count(*) from validations where state <> 'COMPLETED'";
            anyhow::Ok((world.database.number(open)? == 0).then_some(()))
        })
        .await?;
        let ready = world.api.bare(Method::GET, "/health/ready").send().await?;
        assert!(ready.status().is_success());
        let collector = world.proxies()?.collector.as_ref().unwrap();
        collector.restore();
        // And once it is back it is told again.
        let mut tries = 0;
        eventually(PATIENCE, "a trace", async || {
            tries += 1;
            let trace_id = recorded(&world, &format!("9{turn}{tries:06}")).await?;
            let traces = world.traces()?;
            let found = traces
                .wait_for(&trace_id, Duration::from_secs(5), |trace| {
                    !trace.named("process").is_empty()
                })
                .await;
            anyhow::Ok(found.ok())
        })
        .await?;
    }
    // Nor does a stopping service wait for it longer than it must.
    world.proxies()?.collector.as_ref().unwrap().hang();
    recorded(&world, "80000009").await?;
    for service in world.apis.iter_mut().chain(&mut world.workers) {
        let began = Instant::now();
        service.process.terminate()?;
        let status = service.process.wait(PATIENCE).await?;
        assert!(status.success(), "{status}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    Ok(())
}
