//! Sampling of traces, and that a failing collector delays no account.

use std::time::{Duration, Instant};

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Behaviour, Proxy, Setup, Span, TIMEOUT, TestStack, Trace, eventually};
use reqwest::Method;

use crate::requests::bank;

const CUSTOMER: &str = "recorded";
const IFSC: &str = "AABF0008032";

/// `KHATA_TRACES_SLOW_MS`: far longer than a good account takes on a busy machine.
const SLOW: Duration = Duration::from_secs(6);

/// Starts a stack that records only failed and slow traces, and validates an account: the first one takes longer.
async fn recording_failed_and_slow_traces() -> Result<TestStack> {
    let stack = TestStack::start(Setup {
        traces: true,
        proxies: true,
        service_settings: &[
            ("KHATA_TRACES_PER_SECOND", "0"),
            ("KHATA_TRACES_SLOW_MS", "6000"),
        ],
        call_timeout_ms: 10_000,
        ..Setup::default()
    })
    .await?;
    let first = stack.api.create("first", &bank("80000000", IFSC)).await?;
    let id = text(&first.account()?, "/id").to_owned();
    let api = &stack.api;
    api.wait_for("first", &id, &["ACTIVE"], TIMEOUT).await?;
    Ok(stack)
}

async fn step_of(stack: &TestStack, trace_id: &str) -> Result<Span> {
    let traces = stack.traces()?;
    let trace = traces
        .wait_for(trace_id, TIMEOUT, |trace| {
            !trace.named("process").is_empty()
        })
        .await?;
    Ok(trace.named("process")[0].clone())
}

#[tokio::test]
async fn failed_and_slow_traces_are_always_recorded() -> Result<()> {
    let stack = recording_failed_and_slow_traces().await?;
    let api = &stack.api;
    let good = api.create(CUSTOMER, &bank("80000001", IFSC)).await?;
    let unrecorded = good.trace_id().unwrap();
    let id = text(&good.account()?, "/id").to_owned();
    api.wait_for(CUSTOMER, &id, &["ACTIVE"], TIMEOUT).await?;

    let slowly = Behaviour {
        latency_ms: 7_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(slowly).await?;
    let slow = api.create(CUSTOMER, &bank("80000002", IFSC)).await?;
    let step = step_of(&stack, &slow.trace_id().unwrap()).await?;
    let account = slow.account()?;
    assert_eq!(step.service, "khata-worker");
    assert_eq!(step.tag("khata.account_id"), account["id"].as_str());
    assert_eq!(step.tag("khata.gateway"), Some("CASHFREE"));
    assert_eq!(step.tag("error.type"), None, "{step:?}");
    assert!(step.took() >= SLOW, "{step:?}");

    stack.sandbox.set_behaviour(Behaviour::default()).await?;
    stack.proxies()?.gateway.cut();
    let failed = api.create(CUSTOMER, &bank("80000003", IFSC)).await?;
    let step = step_of(&stack, &failed.trace_id().unwrap()).await?;
    assert_eq!(step.tag("error.type"), Some("RETRYABLE"), "{step:?}");
    assert_eq!(step.tag("khata.code"), Some("not_sent"), "{step:?}");
    stack.proxies()?.gateway.restore();

    stack.proxies()?.postgres.cut();
    let refused = api.create(CUSTOMER, &bank("80000004", IFSC)).await?;
    let refused = refused.expect_status(503)?;
    let trace_id = refused.trace_id().unwrap();
    let traces = stack.traces()?;
    let has_request = |trace: &Trace| !trace.named("POST").is_empty();
    let trace = traces.wait_for(&trace_id, TIMEOUT, has_request).await?;
    let request = trace.named("POST")[0];
    assert_eq!(request.service, "khata-api");
    assert_eq!(request.tag("error.type"), Some("503"), "{request:?}");
    assert_eq!(
        request.tag("khata.request_id"),
        refused.header("x-request-id")
    );
    stack.proxies()?.postgres.restore();

    // All other spans have arrived by now.
    assert!(traces.get(&unrecorded).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn the_trace_of_a_waiting_account_says_why_it_waits() -> Result<()> {
    let stack = TestStack::start(Setup {
        traces: true,
        proxies: true,
        ..Setup::default()
    })
    .await?;
    stack.proxies()?.gateway.cut();
    // Enough to open the circuit of the gateway account.
    for number in 0..8 {
        let number = format!("8000000{number}");
        let account = bank(&number, IFSC);
        stack.api.create(CUSTOMER, &account).await?.account()?;
    }
    let traces = stack.traces()?;
    let mut number = 80_000_010;
    let step = eventually(TIMEOUT, "the circuit being open", async || {
        number += 1;
        let account = number.to_string();
        let created = stack.api.create(CUSTOMER, &bank(&account, IFSC)).await?;
        let reason = |span: &Span| span.tag("khata.pending_reason").map(str::to_owned);
        let waits = |trace: &Trace| {
            trace
                .named("process")
                .into_iter()
                .any(|span| reason(span).is_some())
        };
        let trace = traces
            .wait_for(&created.trace_id().unwrap(), TIMEOUT, waits)
            .await?;
        let mut steps = trace.named("process").into_iter();
        let step = steps.find(|span| reason(span).as_deref() == Some("GATEWAY_UNAVAILABLE"));
        anyhow::Ok(step.cloned())
    })
    .await?;
    assert_eq!(step.tag("khata.gateway"), Some("CASHFREE"), "{step:?}");
    assert!(step.tag("khata.gateway_reference_id").is_some(), "{step:?}");
    assert_eq!(step.tag("khata.attempt"), None, "no call: {step:?}");
    Ok(())
}

#[tokio::test]
async fn a_call_that_waits_for_its_outcome_is_not_slow() -> Result<()> {
    let stack = recording_failed_and_slow_traces().await?;
    let pending = Behaviour {
        pending_ms: 7_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(pending).await?;
    let mut form = bank("80000001", IFSC);
    form.extend([("command", "validate"), ("wait_seconds", "18")]);
    let began = Instant::now();
    let waited = stack.api.create(CUSTOMER, &form).await?;
    assert!(began.elapsed() >= SLOW);
    // Its spans would arrive before those of the later call that fails.
    stack.proxies()?.postgres.cut();
    let failed = stack.api.create(CUSTOMER, &bank("80000002", IFSC)).await?;
    let traces = stack.traces()?;
    traces
        .wait_for(&failed.trace_id().unwrap(), TIMEOUT, |_| true)
        .await?;
    let trace = traces.get(&waited.trace_id().unwrap()).await?;
    let requests = trace.map_or(0, |trace| trace.named("POST").len());
    assert_eq!(requests, 0);
    Ok(())
}

#[tokio::test]
async fn a_callers_trace_is_continued_if_the_operator_sets_so() -> Result<()> {
    let stack = TestStack::start(Setup {
        traces: true,
        service_settings: &[
            ("KHATA_TRACE_CALLERS", "continue"),
            ("KHATA_TRACES_PER_SECOND", "0"),
        ],
        ..Setup::default()
    })
    .await?;
    let create = async |number, trace_parent: &str| {
        let request = stack.api.creation(CUSTOMER).form(&bank(number, IFSC));
        let reply = stack.api.send(request.header("traceparent", trace_parent));
        reply.await?.expect_status(200)
    };
    let (caller, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    // The caller's trace is recorded, so Khata records its part of it, beyond Khata's own rate.
    let reply = create("80000001", &format!("00-{caller}-{parent}-01")).await?;
    assert_eq!(reply.trace_id().as_deref(), Some(caller));
    let traces = stack.traces()?;
    let trace = traces
        .wait_for(caller, TIMEOUT, |trace| {
            !trace.named("process").is_empty() && !trace.named("POST /customers").is_empty()
        })
        .await?;
    let request = trace.named("POST /customers")[0];
    assert_eq!(request.parent(), Some(parent));
    assert!(request.references.iter().all(|one| one.kind == "CHILD_OF"));
    let step = trace.named("process")[0];
    assert_eq!(step.service, "khata-worker");
    assert_eq!(trace.path_up(step).last(), Some(&request.name.as_str()));

    let unrecorded = "5bf92f3577b34da6a3ce929d0e0e4736";
    let reply = create("80000002", &format!("00-{unrecorded}-{parent}-00")).await?;
    assert_eq!(reply.trace_id().as_deref(), Some(unrecorded));
    assert!(reply.header("traceresponse").unwrap().ends_with("-00"));
    let reply = create("80000003", &format!("00-{unrecorded}-{parent}")).await?;
    let own = reply.trace_id().unwrap();
    assert!(own.len() == 32 && own != unrecorded, "{own}");
    Ok(())
}

#[tokio::test]
async fn accounts_are_validated_while_the_collector_fails() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        traces: true,
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let recorded = async |stack: &TestStack, number: &str| -> Result<String> {
        let reply = stack.api.create(CUSTOMER, &bank(number, IFSC)).await?;
        let trace_id = reply.trace_id().unwrap();
        let id = text(&reply.account()?, "/id").to_owned();
        let api = &stack.api;
        api.wait_for(CUSTOMER, &id, &["ACTIVE"], TIMEOUT).await?;
        Ok(trace_id)
    };
    for (turn, breaks) in [Proxy::cut, Proxy::hang].into_iter().enumerate() {
        let collector = stack.proxies()?.collector.as_ref().unwrap();
        breaks(collector);
        // More spans than the exporter's queue holds.
        for n in 0..100 {
            let accounts: Vec<_> = (0..10).map(|m| format!("8{turn}{n:03}{m:03}")).collect();
            let body = crate::requests::banks(accounts.into_iter());
            let created = stack.api.create_json(CUSTOMER, &body).await?.accounts()?;
            assert_eq!(created.len(), 10);
        }
        eventually(TIMEOUT, "all validated", async || {
            let open = "select count(*) from validations where state <> 'COMPLETED'";
            anyhow::Ok((stack.database.number(open)? == 0).then_some(()))
        })
        .await?;
        let ready = stack.api.bare(Method::GET, "/health/ready").send().await?;
        assert!(ready.status().is_success());
        let collector = stack.proxies()?.collector.as_ref().unwrap();
        collector.restore();
        // When the collector is back, it receives spans again.
        let mut tries = 0;
        eventually(TIMEOUT, "a trace", async || {
            tries += 1;
            let trace_id = recorded(&stack, &format!("9{turn}{tries:06}")).await?;
            let traces = stack.traces()?;
            let found = traces
                .wait_for(&trace_id, Duration::from_secs(5), |trace| {
                    !trace.named("process").is_empty()
                })
                .await;
            anyhow::Ok(found.ok())
        })
        .await?;
    }
    // A stopping service does not wait long for the collector.
    stack.proxies()?.collector.as_ref().unwrap().hang();
    recorded(&stack, "80000009").await?;
    for service in stack.apis.iter_mut().chain(&mut stack.workers) {
        let began = Instant::now();
        service.process.terminate()?;
        let status = service.process.wait(TIMEOUT).await?;
        assert!(status.success(), "{status}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
    Ok(())
}
