//! Traces, logs and rows: their contents, and the personal data that they must not contain.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Behaviour, HttpReply, Setup, Span, TIMEOUT, TestStack, Trace, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::requests::{CONSENT, bank, named};

fn telling() -> Setup {
    Setup {
        traces: true,
        log: "debug",
        ..Setup::default()
    }
}

const REQUEST: &str = "POST /customers/{customer_id}/accounts";

/// The attributes of each kind of span that OpenTelemetry's semantic conventions require, or recommend and Khata knows.
const CONVENTIONS: &[(&str, &[&str])] = &[
    (
        REQUEST,
        &[
            "http.request.method",
            "http.response.status_code",
            "http.route",
            "network.protocol.version",
            "url.path",
            "url.scheme",
        ],
    ),
    ("commit", &["db.system.name", "db.query.summary"]),
    (
        "publish",
        &[
            "messaging.system",
            "messaging.operation.name",
            "messaging.operation.type",
            "messaging.destination.name",
            "messaging.rabbitmq.destination.routing_key",
            "messaging.message.id",
        ],
    ),
    (
        "process",
        &[
            "messaging.system",
            "messaging.operation.name",
            "messaging.operation.type",
            "messaging.destination.name",
        ],
    ),
    ("claim", &["db.system.name", "db.query.summary"]),
    (
        "POST /bank-account/async",
        &[
            "http.request.method",
            "http.response.status_code",
            "server.address",
            "server.port",
            "url.full",
            "url.template",
        ],
    ),
    ("settle", &["db.system.name", "db.query.summary"]),
];

/// Returns the only span whose name starts with `start`.
fn only<'a>(trace: &'a Trace, name: &str) -> &'a Span {
    let found = trace.named(name);
    assert_eq!(found.len(), 1, "{name}: {found:#?}");
    found[0]
}

/// Returns the parents up to the root; a name that ends in a queue's name is shortened to its first word.
fn ancestors(trace: &Trace, span: &Span) -> Vec<String> {
    let short = |name: &str| match name.split_once(' ') {
        Some((verb @ ("publish" | "process"), _)) => verb.to_owned(),
        _ => name.to_owned(),
    };
    trace.path_up(span).into_iter().skip(1).map(short).collect()
}

/// Returns whether each validation of a trace was processed and settled, and no parent is missing.
fn is_whole(trace: &Trace, steps: usize) -> bool {
    let known: HashSet<&str> = trace.spans.iter().map(|span| span.id.as_str()).collect();
    let orphan = |span: &Span| span.parent().is_some_and(|parent| !known.contains(parent));
    trace.named("process").len() >= steps
        && trace.named("settle").len() >= steps
        && trace.named(REQUEST).len() == 1
        && !trace.spans.iter().any(orphan)
}

#[tokio::test]
async fn one_account_is_one_trace_across_both_services() -> Result<()> {
    let stack = TestStack::start(telling()).await?;
    let form = named("026291800001191", "AABF0008032", "test");
    // A caller's trace is linked and not continued: Khata decides about sampling.
    let stranger = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = stack.api.creation("traced").form(&form);
    let request = request.header("traceparent", format!("00-{stranger}-00f067aa0ba902b7-01"));
    let reply = stack.api.send(request).await?;
    let trace_id = reply.trace_id().unwrap();
    assert_ne!(trace_id, stranger);
    let account = reply.account()?;
    stack
        .api
        .wait_for("traced", text(&account, "/id"), &["ACTIVE"], TIMEOUT)
        .await?;
    let trace = stack
        .traces()?
        .wait_for(&trace_id, TIMEOUT, |trace| is_whole(trace, 1))
        .await?;

    let root = only(&trace, REQUEST);
    assert_eq!((root.service.as_str(), root.parent()), ("khata-api", None));
    assert!(
        root.references
            .iter()
            .any(|link| link.kind == "FOLLOWS_FROM" && link.trace == stranger)
    );
    for (name, service, parents) in [
        ("commit", "khata-api", &[REQUEST][..]),
        ("publish", "khata-api", &[REQUEST]),
        ("process", "khata-worker", &["publish", REQUEST]),
        ("claim", "khata-worker", &["process", "publish", REQUEST]),
        ("settle", "khata-worker", &["process", "publish", REQUEST]),
    ] {
        let span = only(&trace, name);
        assert_eq!(span.service, service, "{name}");
        assert_eq!(ancestors(&trace, span), parents, "{name}");
    }
    for call in ["POST /bank-account/async", "GET /bank-account"] {
        let span = only(&trace, call);
        assert_eq!(span.service, "khata-worker", "{call}");
        assert!(
            ancestors(&trace, span).ends_with(&[
                "process".into(),
                "publish".into(),
                REQUEST.into()
            ]),
            "{call}"
        );
    }
    for (name, attributes) in CONVENTIONS {
        for attribute in *attributes {
            let span = only(&trace, name);
            let value = span.value(attribute);
            assert!(value.is_some(), "{name} has no {attribute}: {span:?}");
        }
    }
    assert_eq!(
        root.tag("khata.customer_id"),
        account["customer_id"].as_str()
    );
    let process = only(&trace, "process");
    for span in [root, process] {
        assert_eq!(span.tag("khata.account_id"), account["id"].as_str());
    }
    let values = ["khata.gateway", "khata.class", "khata.outcome"].map(|name| process.tag(name));
    assert_eq!(values, [Some("CASHFREE"), Some("VALID"), Some("VALID")]);
    Ok(())
}

#[tokio::test]
async fn a_later_retry_is_in_the_accounts_trace() -> Result<()> {
    let stack = TestStack::start(telling()).await?;
    let retried = [
        ("account_number", "00012345694"),
        ("ifsc", "AABF0008032"),
        ("gateway_id", "100"),
    ];
    let polled = bank("00224412311300", "YESB0000001");
    // On a busy machine, too, the first polls find it pending.
    let pending = Behaviour {
        pending_ms: 4_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(pending).await?;
    for (form, attempts, steps) in [(&retried[..], 3, 3), (&polled[..], 1, 2)] {
        let reply = stack.api.create("again", form).await?;
        let trace_id = reply.trace_id().unwrap();
        let id = text(&reply.account()?, "/id").to_owned();
        let account = stack
            .api
            .wait_for("again", &id, &["ACTIVE"], TIMEOUT)
            .await?;
        assert_eq!(account["validation"]["attempts"], attempts);
        let traces = stack.traces()?;
        let trace = traces
            .wait_for(&trace_id, TIMEOUT, |trace| is_whole(trace, steps))
            .await?;
        let later = trace
            .named("publish")
            .into_iter()
            .filter(|span| span.service == "khata-worker");
        assert!(later.count() >= steps - 1, "the scheduler rang");
        for span in trace.named("process") {
            assert_eq!(
                ancestors(&trace, span).last().map(String::as_str),
                Some(REQUEST)
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn traces_carry_the_routing_id_or_the_customers_id() -> Result<()> {
    let stack = TestStack::start(telling()).await?;
    let number = "026291800001191";
    for (customer, given) in [("routed", Some("order-4711")), ("unrouted", None)] {
        let mut request = stack
            .api
            .creation(customer)
            .form(&bank(number, "AABF0008032"));
        if let Some(given) = given {
            request = request.header("x-routing-id", given);
        }
        let reply = stack.api.send(request).await?;
        let trace_id = reply.trace_id().unwrap();
        let account = reply.account()?;
        let id = text(&account, "/id");
        stack
            .api
            .wait_for(customer, id, &["ACTIVE"], TIMEOUT)
            .await?;
        let traces = stack.traces()?;
        let trace = traces
            .wait_for(&trace_id, TIMEOUT, |trace| is_whole(trace, 1))
            .await?;
        let expected = given.unwrap_or(text(&account, "/customer_id"));
        for name in [REQUEST, "process"] {
            let values = only(&trace, name).tag("khata.routing_id");
            assert_eq!(values, Some(expected), "{customer}: {name}");
        }
    }
    Ok(())
}

/// Returns personal data of the accounts below, and secrets, in the forms in which they are sent.
const NUMBER: &str = "918273645546372819";
const NAME: &str = "Zebulon Quixote";
const VPA_USER: &str = "zebulon.quixote77";
const REFERENCE: &str = "cust-zq-4711";
const FAULTY: &str = "faultyzebra";
const METADATA: &str = "metazebra";

/// Sends all personal data in calls that succeed, are rejected, or meet faults. Returns the traces.
async fn say_everything(stack: &TestStack) -> Result<Vec<String>> {
    let api = &stack.api;
    let vpa = format!("{VPA_USER}@okpsp");
    let mut trace_ids = Vec::new();
    let mut keep = |reply: HttpReply| -> HttpReply {
        trace_ids.extend(reply.trace_id());
        reply
    };
    let mut form = named(NUMBER, "AABF0008032", NAME);
    form.push(("metadata.note", METADATA));
    let created = keep(api.create(REFERENCE, &form).await?).account()?;
    let upi: Vec<(&str, &str)> = CONSENT.into_iter().chain([("vpa", vpa.as_str())]).collect();
    keep(api.create(REFERENCE, &upi).await?).account()?;
    let looked_up = json!({"vpa": format!("x{vpa}"), "command": "create"});
    keep(api.create_json(REFERENCE, &looked_up).await?).account()?;
    let mut dummy = named("9182736455463728192", "AABF0008032", NAME);
    dummy.push(("gateway_id", "100"));
    keep(api.create(REFERENCE, &dummy).await?).account()?;
    keep(api.get(REFERENCE, text(&created, "/id")).await?).account()?;
    keep(api.list(REFERENCE, "?count=5").await?).accounts()?;
    let faulty = [
        ("account_number", FAULTY),
        ("ifsc", FAULTY),
        ("beneficiary_name", NAME),
        (FAULTY, FAULTY),
    ];
    keep(api.create(REFERENCE, &faulty).await?).expect_status(400)?;
    keep(api.create(&format!("{FAULTY}%20{NAME}"), &form).await?).expect_status(400)?;
    keep(api.with_key(FAULTY).create(REFERENCE, &form).await?).expect_status(401)?;
    keep(api.get(FAULTY, "banh_x").await?).expect_status(404)?;
    let query = format!("/{FAULTY}?{FAULTY}={FAULTY}");
    keep(api.send(api.call(Method::GET, &query)).await?).expect_status(404)?;

    // The gateway and Postgres fail: errors must not contain personal data either.
    let again = format!("{NUMBER}1");
    stack
        .sandbox
        .set_behaviour(Behaviour {
            error_rate: 1.0,
            ..Behaviour::default()
        })
        .await?;
    keep(
        api.create(REFERENCE, &named(&again, "AABF0008032", NAME))
            .await?,
    )
    .account()?;
    let unknown = "select count(*) from validation_attempts where state = 'UNKNOWN'";
    eventually(TIMEOUT, "an attempt in trouble", async || {
        anyhow::Ok((stack.database.number(unknown)? >= 1).then_some(()))
    })
    .await?;
    stack.sandbox.set_behaviour(Behaviour::default()).await?;
    stack.proxies()?.postgres.cut();
    keep(api.create(REFERENCE, &form).await?).expect_status(503)?;
    keep(api.get(REFERENCE, text(&created, "/id")).await?).expect_status(503)?;
    stack.proxies()?.postgres.restore();
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    Ok(trace_ids)
}

fn assert_kept_quiet(where_: &str, lines: impl IntoIterator<Item = String>, needles: &[&str]) {
    for line in lines {
        for needle in needles {
            let found = line.to_lowercase().contains(&needle.to_lowercase());
            assert!(!found, "{needle} is in {where_}: {line}");
        }
    }
}

#[tokio::test]
async fn no_personal_data_reaches_traces_logs_or_tables() -> Result<()> {
    let stack = TestStack::start(Setup {
        proxies: true,
        call_timeout_ms: 1_000,
        ..telling()
    })
    .await?;
    let trace_ids = say_everything(&stack).await?;
    let name_at_bank = NAME.to_uppercase();
    let (database_url, amqp_url) = (
        stack.database.url.clone(),
        std::env::var("KHATA_TEST_AMQP_URL")?,
    );
    let amqp_password = amqp_url.split(['@', ':']).nth(2).unwrap().to_owned();
    let personal = [NUMBER, NAME, "Zebulon", "Quixote", VPA_USER];
    let secrets = [
        stack.api.key.as_str(),
        "sandbox_secret",
        database_url.password().unwrap_or("-no password-"),
        amqp_password.as_str(),
    ];
    let values: Vec<&str> = [&personal[..], &secrets, &[REFERENCE, FAULTY, METADATA]].concat();

    let read = async || {
        let mut pages = Vec::new();
        for trace_id in &trace_ids {
            pages.extend(stack.traces()?.get(trace_id).await?);
        }
        anyhow::Ok(pages)
    };
    eventually(TIMEOUT, "the traces of five accounts", async || {
        let pages = read().await?;
        let processed: usize = pages.iter().map(|page| page.named("process").len()).sum();
        anyhow::Ok((pages.len() == trace_ids.len() && processed >= 5).then_some(()))
    })
    .await?;
    // The last spans may arrive a little later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let pages = read().await?;
    assert_kept_quiet("a trace", pages.into_iter().map(|page| page.json), &values);

    let logs = stack.logs()?;
    assert_kept_quiet("a log", logs.lines().map(str::to_owned), &values);
    for said in [
        "gateway call failed",
        "khata_worker::processor",
        "DEBUG",
        "no database connection",
    ] {
        assert!(logs.contains(said), "the logs do not contain {said:?}");
    }

    let rows = stack.database.dump()?;
    let masked = ["XXXXXXX2819", "ze***@okpsp"];
    for form in masked {
        assert!(rows.iter().any(|row| row.contains(form)), "{form}");
    }
    let plain: Vec<&str> = [&personal[..], &secrets[..2], &[name_at_bank.as_str()]].concat();
    let hex: Vec<String> = plain.iter().map(|text| hex(text)).collect();
    assert_kept_quiet("a table", rows.iter().cloned(), &plain);
    assert_kept_quiet(
        "a table's bytes",
        rows,
        &hex.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    Ok(())
}

fn hex(text: &str) -> String {
    text.bytes()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[tokio::test]
async fn a_log_line_is_json_and_names_its_trace() -> Result<()> {
    let stack = TestStack::start(telling()).await?;
    let reply = stack
        .api
        .create("logged", &bank("026291800001191", "AABF0008032"))
        .await?;
    let trace_id = reply.trace_id().unwrap();
    let id = text(&reply.account()?, "/id").to_owned();
    stack
        .api
        .wait_for("logged", &id, &["ACTIVE"], TIMEOUT)
        .await?;
    let logs = stack.logs()?;
    let mut of_the_account = 0;
    for line in logs.lines() {
        let read: Value = serde_json::from_str(line)?;
        for name in ["timestamp", "level", "service", "target"] {
            assert!(!text(&read, &format!("/{name}")).is_empty(), "{line}");
        }
        if read["account_id"] == id.as_str() {
            of_the_account += 1;
            assert_eq!(read["trace_id"], trace_id.as_str(), "{line}");
            assert_eq!(text(&read, "/span_id").len(), 16, "{line}");
        }
    }
    assert!(of_the_account > 0, "{logs}");
    let services: HashSet<&str> = ["khata-api", "khata-worker"]
        .into_iter()
        .filter(|service| logs.contains(&format!("\"service\":\"{service}\"")))
        .collect();
    assert_eq!(services.len(), 2);
    Ok(())
}
