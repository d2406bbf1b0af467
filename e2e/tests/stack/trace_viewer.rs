//! The local trace viewer: its searches, and its pages in a browser.

use std::time::Duration;

use anyhow::{Context, Result};
use khata_e2e::client::text;
use khata_e2e::{Browser, Setup, TIMEOUT, TestStack, Trace, Traces};
use serde_json::json;

use crate::requests::bank;

const REQUEST: &str = "POST /customers/{customer_id}/accounts";
const GATEWAY_CALL: &str = "POST /bank-account/async";

/// Validates an account. Returns its id and its trace, which has the spans of both services.
async fn validated(stack: &TestStack, number: &str) -> Result<(String, Trace)> {
    let form = bank(number, "AABF0008032");
    let reply = stack.api.create("searched", &form).await?;
    let trace_id = reply.trace_id().context("no trace id")?;
    let id = text(&reply.account()?, "/id").to_owned();
    let api = &stack.api;
    api.wait_for("searched", &id, &["ACTIVE"], TIMEOUT).await?;
    // The worker's last span has the outcome; its calls end before.
    let is_whole = |trace: &Trace| {
        let mut spans = trace.spans.iter();
        spans.any(|span| span.tag("khata.outcome") == Some("VALID"))
            && !trace.named(REQUEST).is_empty()
            && !trace.named(GATEWAY_CALL).is_empty()
    };
    let traces = stack.traces()?;
    Ok((id, traces.wait_for(&trace_id, TIMEOUT, is_whole).await?))
}

/// Returns the durations of a trace's shortest and longest gateway call.
fn calls(trace: &Trace) -> (Duration, Duration) {
    let took: Vec<_> = trace
        .named(GATEWAY_CALL)
        .iter()
        .map(|span| span.took())
        .collect();
    let shortest = took.iter().copied().min().unwrap_or_default();
    let longest = took.iter().copied().max().unwrap_or_default();
    (shortest, longest)
}

async fn assert_found(traces: &Traces, search: &[(&str, &str)], expected: &[&Trace]) -> Result<()> {
    let found = traces.search(search).await?;
    let ids: Vec<&str> = found.iter().map(|trace| trace.id.as_str()).collect();
    let expected: Vec<&str> = expected.iter().map(|trace| trace.id.as_str()).collect();
    assert_eq!(ids, expected, "{search:?}");
    Ok(())
}

#[tokio::test]
async fn traces_are_searched_by_service_operation_tag_duration_and_time() -> Result<()> {
    let stack = TestStack::start(Setup {
        traces: true,
        ..Setup::default()
    })
    .await?;
    let (first_account, first) = validated(&stack, "80000001").await?;
    let (second_account, second) = validated(&stack, "80000002").await?;
    let traces = stack.traces()?;

    let services = traces.list("/api/services").await?;
    assert_eq!(services, ["khata-api", "khata-worker"]);
    let operations = traces.list("/api/services/khata-api/operations").await?;
    assert!(operations.iter().any(|name| name == REQUEST));
    let kinds = traces
        .list("/api/operations?service=khata-api&spanKind=server")
        .await?;
    assert!(kinds.iter().any(|operation| operation["name"] == REQUEST));
    assert!(
        kinds
            .iter()
            .all(|operation| operation["spanKind"] == "server")
    );

    let both = [&second, &first];
    let created = ("operation", REQUEST);
    assert_found(traces, &[("service", "khata-api"), created], &both).await?;
    assert_found(traces, &[created, ("limit", "1")], &[&second]).await?;
    assert_found(traces, &[("service", "khata-worker"), created], &[]).await?;
    for (account, trace) in [(&first_account, &first), (&second_account, &second)] {
        let tags = json!({"khata.account_id": account, "khata.outcome": "VALID"}).to_string();
        let worker = ("service", "khata-worker");
        assert_found(traces, &[worker, ("tags", &tags)], &[trace]).await?;
    }
    assert_found(traces, &[("tag", "khata.account_id:banh_")], &[]).await?;

    let called = ("operation", GATEWAY_CALL);
    let [of_first, of_second] = [&first, &second].map(calls);
    assert_ne!(of_first, of_second);
    let micros = |took: Duration| format!("{}us", took.as_micros());
    let longest = micros(of_first.1.max(of_second.1));
    let slower = both[usize::from(of_first.1 > of_second.1)];
    assert_found(traces, &[called, ("minDuration", &longest)], &[slower]).await?;
    let shortest = micros(of_first.0.min(of_second.0));
    let faster = both[usize::from(of_first.0 < of_second.0)];
    assert_found(traces, &[called, ("maxDuration", &shortest)], &[faster]).await?;
    let between = [("minDuration", &*shortest), ("maxDuration", &*longest)];
    assert_found(traces, &[&[called], &between[..]].concat(), &both).await?;

    let [first_start, second_start] =
        [&first, &second].map(|t| t.named(REQUEST)[0].start.to_string());
    assert_found(traces, &[created, ("start", &second_start)], &[&second]).await?;
    assert_found(traces, &[created, ("end", &first_start)], &[&first]).await?;
    let wrong = traces.search(&[("minDuration", "slow")]).await;
    let wrong = wrong.unwrap_err().to_string();
    assert!(
        wrong.contains("`minDuration` must be a duration"),
        "{wrong}"
    );

    the_pages_show(&stack, &second_account, &second).await
}

/// Searches for the account on the viewer's page, and opens the page of the trace.
async fn the_pages_show(stack: &TestStack, account: &str, trace: &Trace) -> Result<()> {
    let traces = stack.traces()?;
    let page = Browser::start(stack.folder()).await?;
    let tags = json!({"khata.account_id": account}).to_string();
    let mut search = reqwest::Url::parse(&format!("{}/search", traces.url))?;
    search
        .query_pairs_mut()
        .append_pair("service", "khata-worker")
        .append_pair("tags", &tags)
        .append_pair("limit", "20");
    page.open(search.as_str()).await?;
    page.find(&format!("a[href*='{}']", trace.id)).await?;
    page.screenshot("traces_found").await?;
    // Menus of what the viewer does not have.
    page.find_with_text("header", "Compare").await?;
    for menu in ["System Architecture", "Monitor"] {
        let script = "return document.querySelector('header').textContent.includes(arguments[0])";
        assert_eq!(page.run(script, &[menu]).await?, false, "{menu}");
    }
    page.open(&traces.page(&trace.id)).await?;
    page.find_with_text("body", GATEWAY_CALL).await?;
    page.screenshot("trace").await
}
