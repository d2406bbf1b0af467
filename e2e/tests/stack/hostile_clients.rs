//! Clients that waste the memory and the time of `khata-api`. None of them needs a key but those that send large forms.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::{join_all, try_join_all};
use khata_e2e::{Setup, TestStack, eventually};
use reqwest::{Method, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// The number of connections that the API derives from the memory limit of its pod, 512 MiB.
const CONNECTIONS: usize = 1_024;
/// Three quarters of that limit; the sockets' buffers use the rest.
const MAX_RESIDENT: u64 = 384 << 20;
const BUNDLE: &str = "/docs/swagger-ui-bundle.js";
/// Longer than the API waits for a client, shorter than an idle connection lives.
const PATIENCE: Duration = Duration::from_secs(30);

async fn start() -> Result<TestStack> {
    rlimit::increase_nofile_limit(8_192)?;
    TestStack::start(Setup {
        workers: 0,
        service_settings: &[("KHATA_API_CONNECTIONS", "1024")],
        alone: true,
        ..Setup::default()
    })
    .await
}

/// Opens connections that take few bytes of a reply, and sends these bytes on each, as far as the API takes them.
async fn attack(stack: &TestStack, connections: usize, bytes: &[u8]) -> Result<Vec<TcpStream>> {
    let url: Url = stack.api.url.parse()?;
    let address = *url.socket_addrs(|| None)?.first().context("no address")?;
    let connect = async || {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(2_048)?;
        let mut client = socket.connect(address).await?;
        let sending = client.write_all(bytes);
        // The API stops reading, or has closed the connection.
        let _ = tokio::time::timeout(Duration::from_secs(5), sending).await;
        anyhow::Ok(client)
    };
    try_join_all((0..connections).map(|_| connect())).await
}

/// Returns the largest resident memory that the API has had, in bytes.
fn peak_memory(stack: &TestStack) -> Result<u64> {
    let pid = stack.apis[0].process.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no VmHWM")?;
    Ok(kilobytes.trim().parse::<u64>()? << 10)
}

fn assert_memory_is_bounded(stack: &TestStack, what: &str) -> Result<()> {
    let peak = peak_memory(stack)?;
    println!("{what}: {} MiB", peak >> 20);
    assert!(peak < MAX_RESIDENT, "{what}: {} MiB", peak >> 20);
    Ok(())
}

/// Waits until the API serves a new client at once: no other client holds a connection for long.
async fn assert_it_serves(stack: &TestStack) -> Result<()> {
    eventually(PATIENCE, "the API serving a new client", async || {
        let live = stack.api.get_path("/health/live");
        let reply = tokio::time::timeout(Duration::from_secs(2), live).await;
        anyhow::Ok(
            reply
                .ok()
                .and_then(Result::ok)
                .filter(|reply| reply.status == 200)
                .map(|_| ()),
        )
    })
    .await
}

#[tokio::test]
async fn clients_that_never_read_are_disconnected_and_cost_little_memory() -> Result<()> {
    let stack = start().await?;
    let request = format!("GET {BUNDLE} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(6);
    let clients = attack(&stack, CONNECTIONS, request.as_bytes()).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_memory_is_bounded(&stack, "readers that never read")?;
    let begun = Instant::now();
    assert_it_serves(&stack).await?;
    println!("served after {:?}", begun.elapsed());
    // The time limit of those that the API accepted last.
    tokio::time::sleep(Duration::from_secs(20)).await;
    // The API has closed the connections: what is left in the sockets is far less than one reply.
    let left = join_all(clients.into_iter().map(async |mut client| {
        let (mut left, mut buffer) = (0, vec![0; 65_536]);
        let read = async {
            while let Ok(1..) = client.read(&mut buffer).await.inspect(|read| left += read) {}
        };
        let closed = tokio::time::timeout(PATIENCE, read).await;
        closed.map_or(usize::MAX, |()| left)
    }))
    .await;
    let most = left.into_iter().max().unwrap_or_default();
    assert!(
        most < 500_000,
        "{most} bytes left, or a connection is still open"
    );
    Ok(())
}

#[tokio::test]
async fn heads_cost_little_memory_slow_or_pipelined() -> Result<()> {
    let stack = start().await?;
    let head = |end: &str| {
        format!(
            "GET /version HTTP/1.1\r\nHost: x\r\nx: {}{end}",
            "y".repeat(120_000)
        )
    };
    let clients = attack(&stack, CONNECTIONS, head("").as_bytes()).await?;
    assert_memory_is_bounded(&stack, "slow heads")?;
    assert_it_serves(&stack).await?;
    drop(clients);
    // The first reply fills the socket; sixteen heads wait behind it.
    let first = format!("GET {BUNDLE} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(2);
    let pipeline = first + &head("\r\n\r\n").repeat(16);
    let clients = attack(&stack, CONNECTIONS, pipeline.as_bytes()).await?;
    assert_memory_is_bounded(&stack, "pipelined heads")?;
    assert_it_serves(&stack).await?;
    drop(clients);
    // Many small requests, whose replies have a body or none.
    for request in [
        "GET /nothing",
        "GET /docs",
        "HEAD /openapi.json",
        "OPTIONS /customers",
        "HEAD /docs/",
    ] {
        let requests = format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(20_000);
        let clients = attack(&stack, 200, requests.as_bytes()).await?;
        assert_memory_is_bounded(&stack, request)?;
        drop(clients);
    }
    assert_it_serves(&stack).await
}

#[tokio::test]
async fn large_bodies_of_bad_fields_get_small_replies() -> Result<()> {
    let stack = start().await?;
    let form = async |body: String| {
        let call = stack.api.call(Method::POST, "/customers/hostile/accounts");
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        stack.api.send(call.body(body)).await?.expect_status(400)
    };
    let different: Vec<String> = (0..20_000).map(|place| format!("a{place}=1")).collect();
    for (body, faults) in [
        ("%=&".repeat(87_000), 100),
        ("upi_details[x]&".repeat(17_000), 100),
        ("aaaaaaa=1&".repeat(26_000), 100),
        (different.join("&"), 1),
        (format!("upi_details=[{}]", vec!["{}"; 100].join(",")), 100),
        (
            format!("bank_account_details=[{}]", vec!["{}"; 100].join(",")),
            100,
        ),
    ] {
        let replies = try_join_all((0..20).map(|_| form(body.clone()))).await?;
        for reply in replies {
            let error = &reply.json()["error_info"];
            assert_eq!(
                error["fields"].as_array().map(Vec::len),
                Some(faults),
                "{}",
                &body[..20]
            );
            assert!(reply.text.len() < 20_000, "{} bytes", reply.text.len());
        }
    }
    let reply = form("%=&".repeat(101)).await?;
    let message = "More than 100 fields are missing or have a bad value; error_info.fields lists the first 100.";
    assert_eq!(reply.json()["error_info"]["developer_message"], message);
    assert_memory_is_bounded(&stack, "large forms")
}

#[tokio::test]
async fn cross_site_requests_and_repeated_names_are_refused() -> Result<()> {
    let stack = start().await?;
    let api = &stack.api;
    let form = [("vpa", "asha@okhdfcbank")];
    let post = async |site: &str| {
        let call = api.creation("of_a_browser").header("sec-fetch-site", site);
        api.send(call.form(&form)).await
    };
    let refused = post("cross-site").await?.expect_status(403)?;
    assert_eq!(refused.json()["error_info"]["code"], "CROSS_SITE");
    assert_eq!(
        stack
            .database
            .number("select count(*) from customer_accounts")?,
        0
    );
    post("same-origin").await?.expect_status(200)?;
    let body = r#"{"ifsc":"AABF0008032","account_number":"111111","account_number":"222222"}"#;
    let call = api
        .creation("twice")
        .header("content-type", "application/json");
    let reply = api.send(call.body(body)).await?.expect_status(400)?;
    assert_eq!(
        reply.json()["error_info"]["fields"][0]["field_name"],
        "account_number"
    );
    Ok(())
}

#[tokio::test]
async fn rejected_keys_are_counted_and_malformed_requests_fill_no_log() -> Result<()> {
    let stack = start().await?;
    let path = "/customers/x";
    let call = |user: Option<&str>| {
        let call = stack.api.bare(Method::GET, path);
        user.map_or_else(
            || call.try_clone().unwrap(),
            |user| call.try_clone().unwrap().basic_auth(user, Some("")),
        )
    };
    for user in [None, Some("kh_test_unknown"), Some("kh_test_unknown")] {
        stack.api.send(call(user)).await?.expect_status(401)?;
    }
    for _ in 0..20 {
        stack
            .api
            .raw(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
            .await?;
    }
    let metrics = reqwest::get(format!("http://{}/metrics", stack.apis[0].metrics))
        .await?
        .text()
        .await?;
    for (reason, count) in [("no_key", 1), ("unknown_key", 2)] {
        let line = format!("khata_authentication_failures_total{{reason=\"{reason}\"}} {count}");
        assert!(
            metrics.lines().any(|found| found == line),
            "{line}\n{metrics}"
        );
    }
    let log = stack.logs()?;
    assert!(!log.contains("\"ERROR\""), "{log}");
    Ok(())
}

#[tokio::test]
async fn the_page_can_be_turned_off() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        service_settings: &[("KHATA_API_DOCS", "false")],
        ..Setup::default()
    })
    .await?;
    for path in ["/docs", "/docs/", BUNDLE, "/openapi.json"] {
        stack.api.get_path(path).await?.expect_status(404)?;
    }
    Ok(())
}
