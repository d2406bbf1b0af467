//! Webhooks at a receiver: their URL, their span, and the signals that let them begin.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use khata_e2e::client::text;
use khata_e2e::{Api, HttpReply, Setup, Span, TIMEOUT, TestStack, Trace, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::errors::assert_faults;
use crate::requests::{bank, named};

const CUSTOMER: &str = "customer_1122";
const NUMBER: &str = "026291800001191";
const IFSC: &str = "YESB0000262";
const ALLOWED: (&str, &str) = ("allow_url_per_account", "true");

/// A webhook: the path with the query, and the body.
type Received = (String, Value);

/// A program of the merchant that gets webhooks, until the test ends. It replies 410 to paths that begin with `/gone`, and 200 to others.
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let kept = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    // Khata closes the connection.
                    let _ = serve(stream, &kept).await;
                });
            }
        });
        Ok(Self { url, received })
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Returns the paths of the webhooks so far, each with the name of its event.
    fn paths(&self) -> Vec<(String, String)> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |(path, event): &Received| (path.clone(), text(event, "/event_name").into());
        received.iter().map(shown).collect()
    }

    /// Waits for a webhook.
    async fn wait_for(&self, path: &str, name: &str) -> Result<()> {
        let wanted = (path.to_owned(), name.to_owned());
        eventually(TIMEOUT, &format!("{name} at {path}"), async || {
            anyhow::Ok(self.paths().contains(&wanted).then_some(()))
        })
        .await
    }
}

async fn serve(stream: TcpStream, kept: &Mutex<Vec<Received>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let path = line.split(' ').nth(1).context("the end")?.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            match header.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let status = if path.starts_with("/gone") { 410 } else { 200 };
        let event = (path, serde_json::from_slice(&body)?);
        kept.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event);
        let reply = format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).await?;
    }
}

async fn post(api: &Api, path: &str, form: &[(&str, &str)]) -> Result<HttpReply> {
    api.send(api.call(Method::POST, path).form(form)).await
}

async fn add_endpoint(api: &Api, form: &[(&str, &str)]) -> Result<String> {
    let reply = post(api, "/webhook-endpoints", form).await?;
    Ok(text(&reply.expect_status(200)?.json(), "/id").to_owned())
}

fn with_url<'a>(number: &'a str, url: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut form = bank(number, IFSC);
    form.push(("webhook_url", url));
    form
}

#[tokio::test]
async fn the_events_of_an_account_go_to_its_own_url() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let (api, receiver) = (&stack.api, Receiver::start().await?);
    let (hooks, own) = (
        receiver.at("/hooks"),
        receiver.at("/orders/42?token=hush-hush"),
    );
    let others = receiver.at("/others");
    let endpoint = add_endpoint(api, &[("url", &hooks), ALLOWED]).await?;
    // It has the same host, but the older one allows the URL.
    add_endpoint(api, &[("url", &others), ALLOWED]).await?;
    let account = api
        .create(CUSTOMER, &with_url(NUMBER, &own))
        .await?
        .account()?;
    let id = text(&account, "/id");
    api.wait_for(CUSTOMER, id, &["ACTIVE"], TIMEOUT).await?;
    let path = format!("/customers/{CUSTOMER}/customer-accounts/{id}");
    post(api, &path, &[("command", "delete")])
        .await?
        .account()?;
    for (path, name) in [
        ("/orders/42?token=hush-hush", "CUSTOMER_ACCOUNT_DELETED"),
        ("/others", "CUSTOMER_ACCOUNT_DELETED"),
    ] {
        receiver.wait_for(path, name).await?;
    }
    let paths = receiver.paths();
    let at = |path: &str| paths.iter().filter(|(at, _)| at == path).count();
    assert_eq!(at("/hooks"), 0, "{paths:?}");
    assert_eq!(at("/orders/42?token=hush-hush"), at("/others"), "{paths:?}");

    let list = format!("/webhook-endpoints/{endpoint}/deliveries");
    eventually(TIMEOUT, "the results of the deliveries", async || {
        let page = api.send(api.call(Method::GET, &list)).await?;
        let page = page.expect_status(200)?.json();
        let urls = page["list"].as_array().cloned().unwrap_or_default();
        let shown = receiver.at("/orders/42?***");
        let are_shown = urls.iter().all(|one| one["url"] == json!(shown));
        anyhow::Ok((!urls.is_empty() && are_shown).then_some(()))
    })
    .await?;
    // No column has the URL but the encrypted one.
    let rows = stack.database.dump()?.join("\n");
    assert!(!rows.contains("hush-hush") && !rows.contains("orders/42"));

    // Without the permission, the endpoint gets the events of the account.
    let settings = format!("/webhook-endpoints/{endpoint}");
    let taken_back = [("allow_url_per_account", "false")];
    post(api, &settings, &taken_back)
        .await?
        .expect_status(200)?;
    let event = text(&receiver.received.lock().unwrap()[0].1, "/id").to_owned();
    // Workers apply a change within five seconds.
    eventually(TIMEOUT, "the event at the endpoint", async || {
        let (path, form) = (
            format!("/events/{event}/replay"),
            [("endpoint_id", &*endpoint)],
        );
        post(api, &path, &form).await?.expect_status(200)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let paths = receiver.paths();
        anyhow::Ok(paths.iter().any(|(path, _)| path == "/hooks").then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_url_that_is_gone_costs_its_own_deliveries_only() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let (api, receiver) = (&stack.api, Receiver::start().await?);
    let endpoint = add_endpoint(api, &[("url", &receiver.at("/hooks")), ALLOWED]).await?;
    let gone = receiver.at("/gone/1");
    api.create(CUSTOMER, &with_url(NUMBER, &gone))
        .await?
        .account()?;
    receiver
        .wait_for("/gone/1", "CUSTOMER_ACCOUNT_ACTIVE")
        .await?;
    let given_up = "select count(*) from webhook_deliveries where state = 'GIVEN_UP' and attempts = 1 and to_account_url";
    eventually(TIMEOUT, "the end of the deliveries", async || {
        anyhow::Ok((stack.database.number(given_up)? >= 2).then_some(()))
    })
    .await?;
    let call = api.call(Method::GET, &format!("/webhook-endpoints/{endpoint}"));
    let shown = api.send(call).await?.expect_status(200)?.json();
    assert_eq!(
        (&shown["status"], &shown["failing_since"]),
        (&json!("ENABLED"), &json!(null))
    );
    api.create(CUSTOMER, &bank("50000001", IFSC))
        .await?
        .account()?;
    receiver.wait_for("/hooks", "CUSTOMER_ACCOUNT_ACTIVE").await
}

#[tokio::test]
async fn a_url_that_no_endpoint_allows_is_refused() -> Result<()> {
    let setup = Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    };
    let stack = TestStack::start(setup).await?;
    let api = &stack.api;
    let url = "http://hooks.example:8080/khata";
    let endpoint = add_endpoint(api, &[("url", url)]).await?;
    let path = format!("/webhook-endpoints/{endpoint}");
    let own = "http://hooks.example:8080/orders/42";
    let refused = async |url: &str| -> Result<()> {
        let reply = api.create(CUSTOMER, &with_url(NUMBER, url)).await?;
        assert_faults(url, &reply, &["webhook_url"]);
        let reason = reply.json().to_string();
        assert!(!reason.contains("orders/42"), "{reason}");
        Ok(())
    };
    refused(own).await?;
    post(api, &path, &[ALLOWED]).await?.expect_status(200)?;
    for other in [
        "http://hooks.example:8081/orders/42",
        "https://hooks.example:8080/orders/42",
        "http://other.example:8080/orders/42",
        "http://hooks.example:8080/orders/42#part",
        "http://asha@hooks.example:8080/orders/42",
        "hooks.example/orders/42",
    ] {
        refused(other).await?;
    }
    assert_eq!(stack.count("CREATED")?, 0);
    let list = json!({
        "upi_details": [{"vpa": "asha@upi"}, {"vpa": "ravi@upi"}], "webhook_url": own,
    });
    api.create_json(CUSTOMER, &list).await?.accounts()?;
    // A disabled endpoint causes no failed creates.
    post(api, &format!("{path}/disable"), &[])
        .await?
        .expect_status(200)?;
    let form = with_url(NUMBER, own);
    let legacy = format!("/customers/{CUSTOMER}/bank-accounts");
    post(api, &legacy, &form).await?.expect_status(200)?;
    let sealed = "select count(*) from customer_accounts where sealed_webhook_url is not null";
    assert_eq!(stack.database.number(sealed)?, 3);
    // An existing account keeps what it has.
    let before = "select encode(sealed_webhook_url, 'hex') from customer_accounts order by id";
    let kept = stack.database.texts(before)?;
    let other = with_url(NUMBER, "http://hooks.example:8080/orders/43");
    api.create(CUSTOMER, &other).await?.account()?;
    api.create(CUSTOMER, &bank(NUMBER, IFSC)).await?.account()?;
    assert_eq!(stack.database.texts(before)?, kept);

    let delete = format!("{path}/delete");
    let stranger = api.with_key(&stack.issue_key("stranger")?);
    let theirs = stranger.create(CUSTOMER, &with_url(NUMBER, own)).await?;
    assert_faults("another merchant's", &theirs, &["webhook_url"]);
    post(api, &delete, &[]).await?.expect_status(200)?;
    eventually(TIMEOUT, "the deletion", async || {
        let reply = api.create(CUSTOMER, &with_url("50000002", own)).await?;
        anyhow::Ok((reply.status == 400).then_some(()))
    })
    .await
}

/// Returns the span of the HTTP call of a delivery.
fn call_of<'a>(trace: &'a Trace, delivery: &Span) -> Option<&'a Span> {
    let mut calls = trace.named("POST").into_iter();
    calls.find(|call| call.parent() == Some(delivery.id.as_str()))
}

#[tokio::test]
async fn the_delivery_of_an_event_is_in_the_accounts_trace() -> Result<()> {
    let setup = Setup {
        traces: true,
        log: "debug",
        ..Setup::default()
    };
    let stack = TestStack::start(setup).await?;
    let (api, receiver) = (&stack.api, Receiver::start().await?);
    let hooks = receiver.at("/hooks?token=hush-hush");
    let endpoint = add_endpoint(api, &[("url", &hooks), ALLOWED]).await?;
    let own = receiver.at("/orders/42?token=hush-too");
    let mut form = named(NUMBER, "AABF0008032", "test");
    form.push(("webhook_url", &own));
    let reply = api.create(CUSTOMER, &form).await?;
    let trace_id = reply.trace_id().context("no trace")?;
    reply.account()?;
    let traces = stack.traces()?;
    let is_whole = |trace: &Trace| {
        let delivered = trace.named("deliver event");
        let names = delivered.iter().map(|span| span.tag("khata.event_name"));
        let names: Vec<_> = names.flatten().collect();
        let is_complete = |span: &&Span| {
            let root = trace.path_up(span).pop();
            root == Some("POST /customers/{customer_id}/accounts") && call_of(trace, span).is_some()
        };
        names.contains(&"CUSTOMER_ACCOUNT_CREATED")
            && names.contains(&"CUSTOMER_ACCOUNT_ACTIVE")
            && delivered.iter().all(is_complete)
    };
    let trace = traces.wait_for(&trace_id, TIMEOUT, is_whole).await?;
    for span in trace.named("deliver event") {
        assert_eq!(span.service, "khata-worker");
        assert_eq!(span.tag("khata.webhook_endpoint_id"), Some(&*endpoint));
        assert_eq!(span.value("http.response.status_code"), Some(&json!(200)));
        let call = call_of(&trace, span).context("no call")?;
        assert_eq!(call.tag("server.address"), Some("127.0.0.1"));
    }
    let logs = stack.logs()?;
    assert!(logs.contains("khata-worker"), "{logs}");
    for secret in ["hush", "orders/42"] {
        assert!(!trace.json.contains(secret) && !logs.contains(secret));
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_writes_deliveries_signals_them_to_workers() -> Result<()> {
    let setup = Setup {
        workers: 0,
        ..Setup::default()
    };
    let stack = TestStack::start(setup).await?;
    let api = &stack.api;
    let mut signals = stack.queues.delivery_signals().await?;
    let merchant = stack
        .database
        .texts("select id::text from merchants where name = 'e2e'")?;
    let mut signalled = async |what: &str| {
        let next = tokio::time::timeout(TIMEOUT, signals.next()).await;
        let due = next.context(what.to_owned())?.context("the end")?;
        let named: Vec<String> = due.merchants.iter().map(|one| one.0.to_string()).collect();
        assert_eq!(named, merchant, "{what}");
        anyhow::Ok(())
    };
    // Without endpoints there is nothing to signal: the first signal comes after the endpoint.
    let stranger = api.with_key(&stack.issue_key("stranger")?);
    for api in [api, &stranger] {
        api.create(CUSTOMER, &bank("50000001", IFSC))
            .await?
            .account()?;
    }
    let url = "http://hooks.example:8080/khata";
    let endpoint = add_endpoint(api, &[("url", url)]).await?;
    let account = api.create(CUSTOMER, &bank(NUMBER, IFSC)).await?.account()?;
    signalled("create").await?;
    // The account exists.
    api.create(CUSTOMER, &bank(NUMBER, IFSC)).await?.account()?;
    stranger
        .create(CUSTOMER, &bank(NUMBER, IFSC))
        .await?
        .account()?;
    let path = format!("/webhook-endpoints/{endpoint}");
    post(api, &format!("{path}/test"), &[])
        .await?
        .expect_status(200)?;
    signalled("test").await?;
    let account = format!(
        "/customers/{CUSTOMER}/customer-accounts/{}",
        text(&account, "/id")
    );
    post(api, &account, &[("command", "delete")])
        .await?
        .account()?;
    signalled("delete").await?;
    post(api, &format!("{path}/disable"), &[])
        .await?
        .expect_status(200)?;
    signalled("disable").await
}
