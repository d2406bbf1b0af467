//! Clients that waste the memory, the connections and the time of `khata-api`, which runs under the memory limit of its pod. Only
//! those that send bodies or take large replies need a key.

mod control_group;
mod limited;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::{join_all, try_join_all};
use khata_e2e::{Api, GatewayAccount, Setup, TestStack, eventually};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use limited::{AT_ONCE, CONNECTIONS, PATIENCE, start};

const BUNDLE: &str = "/docs/swagger-ui-bundle.js";

/// Returns the processor time that a process has used, in clock ticks of 10 ms.
fn processor_time(pid: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// Reads one reply without a body, or a short one.
async fn read_reply(client: &mut TcpStream) -> Result<usize> {
    let mut buffer = [0; 4_096];
    Ok(tokio::time::timeout(PATIENCE, client.read(&mut buffer)).await??)
}

/// Returns how many of these clients have a reply of 429.
async fn refused(clients: &mut [TcpStream]) -> usize {
    let mut refused = 0;
    for client in clients {
        let mut reply = [0; 12];
        let read = client.read_exact(&mut reply);
        let read = tokio::time::timeout(Duration::from_millis(1), read).await;
        refused += usize::from(read.is_ok() && &reply == b"HTTP/1.1 429");
    }
    refused
}

/// Reads a reply up to the end of its JSON.
async fn read_json(client: &mut TcpStream) -> Result<String> {
    let (mut reply, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let read = tokio::time::timeout(PATIENCE, client.read(&mut buffer));
        let read = read.await.context("the reply does not come")??;
        anyhow::ensure!(read > 0, "{}", String::from_utf8_lossy(&reply));
        reply.extend_from_slice(&buffer[..read]);
        if let Some(end) = reply.iter().rposition(|byte| *byte == b'}') {
            return Ok(String::from_utf8_lossy(&reply[..=end]).into_owned());
        }
    }
}

/// Waits for the end of a connection, and reads what comes before it. Returns the number of bytes.
async fn read_to_end(client: &mut TcpStream, patience: Duration) -> Option<usize> {
    let (mut bytes, mut buffer) = (0, vec![0; 65_536]);
    let read = async {
        while let Ok(1..) = client.read(&mut buffer).await.inspect(|read| bytes += read) {}
    };
    let ended = tokio::time::timeout(patience, read).await;
    ended.ok().map(|()| bytes)
}

#[tokio::test]
async fn clients_that_never_read_are_disconnected_and_cost_little_memory() -> Result<()> {
    let mut api = start().await?;
    let request = format!("GET {BUNDLE} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(6);
    let clients = api.attack(CONNECTIONS, request.as_bytes()).await?;
    // Clients without a key make room.
    assert!(api.serves().await?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    api.assert_memory_is_bounded("readers that never read")?;
    // The time limit of those that the API accepted last.
    tokio::time::sleep(Duration::from_secs(20)).await;
    // The API has closed the connections: what is left in the sockets is far less than one reply.
    let left = join_all(clients.into_iter().map(async |mut client| {
        let left = read_to_end(&mut client, PATIENCE).await;
        left.unwrap_or(usize::MAX)
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
async fn a_client_that_takes_a_reply_byte_by_byte_is_disconnected_in_time() -> Result<()> {
    let api = start().await?;
    let request = format!("GET {BUNDLE} HTTP/1.1\r\nHost: x\r\n\r\n");
    let clients = api.attack_with(32_768, 8, request.as_bytes()).await?;
    let began = Instant::now();
    // Fast enough that each write of the API goes on within its time limit: the whole reply would take three minutes.
    let read = clients.into_iter().map(async |mut client| {
        let mut buffer = [0; 4_096];
        while let Ok(1..) = client.read(&mut buffer).await {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        began.elapsed().as_secs()
    });
    let times = tokio::time::timeout(Duration::from_mins(2), join_all(read)).await?;
    println!("disconnected after {times:?} s");
    // The client then reads the bytes that its socket still holds, for some seconds.
    assert!(
        times.iter().all(|time| (50..90).contains(time)),
        "{times:?}"
    );
    Ok(())
}

#[tokio::test]
async fn idle_clients_and_slow_heads_keep_no_merchant_out() -> Result<()> {
    let mut api = start().await?;
    let request = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
    // Idle connections, and connections that begin another head.
    for begun in ["", "G", "\n"] {
        let mut clients = api.attack(CONNECTIONS + 200, request).await?;
        for client in &mut clients {
            // The API has closed some of them already.
            let _ = client.write_all(begun.as_bytes()).await;
        }
        for _ in 0..20 {
            assert!(api.serves().await?, "beside clients that sent {begun:?}");
        }
    }
    // The first head of many.
    let clients = api
        .attack(CONNECTIONS + 200, b"GET /version HTTP/1.1\r\n")
        .await?;
    for _ in 0..20 {
        assert!(api.serves().await?, "beside slow first heads");
    }
    drop(clients);
    api.assert_memory_is_bounded("idle clients and slow heads")
}

#[tokio::test]
async fn every_head_of_a_connection_has_a_time_limit() -> Result<()> {
    let api = start().await?;
    let request = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
    let ends = async |begun: &[u8], then: &[u8]| {
        let mut client = api.attack(1, request).await?.remove(0);
        assert!(read_reply(&mut client).await? > 0);
        client.write_all(begun).await?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let mut byte = [0];
            let read = client.read(&mut byte);
            match tokio::time::timeout(Duration::from_secs(1), read).await {
                Ok(Ok(0) | Err(_)) => return Ok(()),
                // A reply.
                Ok(Ok(_)) => {}
                Err(_) => client.write_all(then).await?,
            }
        }
        anyhow::bail!("still open after {begun:?} and {then:?}")
    };
    tokio::try_join!(
        ends(b"G", b""),
        ends(b"GET / HTTP/1.1\r\nx: ", b"y"),
        ends(b"\n", b"\n"),
        ends(b"\r\n", b"")
    )?;
    Ok(())
}

#[tokio::test]
async fn empty_lines_before_a_head_cost_little_time() -> Result<()> {
    let api = start().await?;
    let pid = api.stack.apis[0].process.pid();
    let before = processor_time(pid)?;
    let request = "\n".repeat(120_000) + "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut clients = api.attack(20, request.as_bytes()).await?;
    for client in &mut clients {
        assert!(read_reply(client).await? > 0);
    }
    let ticks = processor_time(pid)? - before;
    println!("20 × 120,000 empty lines: {ticks} ticks");
    assert!(ticks < 300, "{ticks} ticks of 10 ms");
    Ok(())
}

#[tokio::test]
async fn heads_cost_little_memory_slow_or_pipelined() -> Result<()> {
    let mut api = start().await?;
    let head = |end: &str| {
        format!(
            "GET /version HTTP/1.1\r\nHost: x\r\nx: {}{end}",
            "y".repeat(120_000)
        )
    };
    let clients = api.attack(CONNECTIONS, head("").as_bytes()).await?;
    api.assert_memory_is_bounded("slow heads")?;
    api.assert_it_serves().await?;
    drop(clients);
    // The first reply fills the socket; sixteen heads wait behind it.
    let first = format!("GET {BUNDLE} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(2);
    let pipeline = first + &head("\r\n\r\n").repeat(16);
    let clients = api.attack(CONNECTIONS, pipeline.as_bytes()).await?;
    api.assert_memory_is_bounded("pipelined heads")?;
    api.assert_it_serves().await?;
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
        let clients = api.attack(200, requests.as_bytes()).await?;
        api.assert_memory_is_bounded(request)?;
        drop(clients);
    }
    api.assert_it_serves().await
}

#[tokio::test]
async fn requests_behind_a_body_wait_for_its_reply() -> Result<()> {
    let mut api = start().await?;
    let form = "vpa=asha@okhdfcbank&command=validate&wait_seconds=3";
    let (begin, end) = form.split_at(form.len() - 1);
    let create = |headers: &str| {
        let kind = "Content-Type: application/x-www-form-urlencoded\r\n";
        api.head("POST /customers/pipe/accounts", &format!("{kind}{headers}"))
    };
    let known = create(&format!("Content-Length: {}\r\n", form.len())) + begin;
    let length = begin.len();
    let chunked = create("Transfer-Encoding: chunked\r\n") + &format!("{length:x}\r\n{begin}\r\n");
    // A decoded head takes a hundred times its bytes; a HEAD would take the body of the reply before it.
    let heads = format!("HEAD /nothing HTTP/1.1\r\n{}\r\n", "a:\n".repeat(58)).repeat(600);
    for (what, request, end) in [
        ("a body", known, end.to_owned()),
        (
            "a chunked body",
            chunked,
            format!("1\r\n{end}\r\n0\r\n\r\n"),
        ),
    ] {
        let mut clients = api.attack(100, request.as_bytes()).await?;
        let last = end + &heads;
        for client in &mut clients {
            // The API stops reading.
            let send = client.write_all(last.as_bytes());
            let _ = tokio::time::timeout(Duration::from_millis(5), send).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        api.assert_memory_is_bounded(&format!("heads behind {what}"))?;
        // The replies to the requests behind the body may come with it.
        let reply = read_json(&mut clients[0]).await?;
        assert!(reply.starts_with("HTTP/1.1 200"), "{what}: {reply}");
        assert!(
            reply.contains("\"vpa\":\"asha@okhdfcbank\""),
            "{what}: {reply}"
        );
    }
    api.assert_it_serves().await
}

#[tokio::test]
async fn a_body_is_received_whole_however_it_comes_and_whatever_it_contains() -> Result<()> {
    let api = start().await?;
    let mut client = api.attack_with(32_768, 1, b"").await?.remove(0);
    let vpa = r#""vpa":"asha@okhdfcbank""#;
    // An empty line in a body looks like the end of a head. The bodies before and after it have other lengths.
    let bodies = [
        format!(
            "{{{vpa},\"metadata\":{{\"order\":\"{}\"}}}}",
            "7".repeat(200)
        ),
        format!("{{\n\n{vpa}\n\n}}\n"),
        format!("{{\r\n\r\n{vpa}\r\n\r\n}}\r\n\r\n"),
        format!("{{{vpa}}}"),
    ];
    for body in &bodies {
        let length = body.len();
        let headers = |kind: &str| {
            let headers = format!("Content-Type: application/json\r\n{kind}\r\n");
            api.head("POST /customers/whole/accounts", &headers)
        };
        let known = headers(&format!("Content-Length: {length}")) + body;
        let chunked =
            headers("Transfer-Encoding: chunked") + &format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
        for request in [known, chunked] {
            for first in [request.len(), request.len() - length - 2, 60] {
                client.write_all(&request.as_bytes()[..first]).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                client.write_all(&request.as_bytes()[first..]).await?;
                let reply = read_json(&mut client).await?;
                assert!(reply.starts_with("HTTP/1.1 200"), "{request}: {reply}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn slow_bodies_use_a_bounded_share_of_memory_and_keep_nobody_out() -> Result<()> {
    let mut api = start().await?;
    let account = api.stack.set_gateway_account(&GatewayAccount {
        base_url: &api.stack.sandbox.cashfree(),
        ..GatewayAccount::default()
    })?;
    let other = api.stack.api.with_key(&api.stack.issue_key("other")?);
    let more = |length| format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    // Anybody who knows the address may begin a webhook.
    let path = format!("/gateways/CASHFREE/webhooks/{account}");
    let webhook = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{}\r\n", more(65_536));
    let create = api.head("POST /customers/slow/accounts", &more(262_144));
    for (what, head, begun) in [("webhooks", webhook, 60_000), ("creates", create, 220_000)] {
        let request = head + &"x".repeat(begun);
        let mut clients = api.attack(CONNECTIONS, request.as_bytes()).await?;
        let other = Api::new(&api.stack.api.url, &other.key)?;
        let reply = tokio::time::timeout(AT_ONCE, other.list("unknown", "")).await??;
        assert_eq!(reply.status, 404, "another merchant beside slow {what}");
        api.assert_memory_is_bounded(what)?;
        let mut all = 0;
        eventually(PATIENCE, "refused bodies", async || {
            all += refused(&mut clients).await;
            anyhow::Ok((all > 100).then_some(()))
        })
        .await?;
        println!("{all} slow {what} refused");
    }
    // A merchant's body that comes at once is accepted as soon as the slow ones have ended.
    eventually(Duration::from_secs(30), "a create", async || {
        let form = [("vpa", "asha@okhdfcbank")];
        let created = api.stack.api.create("slow", &form).await?;
        anyhow::Ok(created.expect_status(200).map(|_| Some(()))?)
    })
    .await
}

#[tokio::test]
async fn calls_that_wait_use_a_bounded_share_of_memory() -> Result<()> {
    const WAIT: Duration = Duration::from_secs(30);
    let mut api = start().await?;
    let other = api.stack.api.with_key(&api.stack.issue_key("other")?);
    let metadata: serde_json::Map<_, _> = (0..20)
        .map(|n| (format!("udf{n}"), json!("x".repeat(500))))
        .collect();
    let vpa = |n| json!({"vpa": format!("waiter{n}@okhdfcbank")});
    let upi: Vec<_> = (0..20).map(vpa).collect();
    let body = json!({
        "upi_details": upi, "metadata": metadata, "command": "validate", "wait_seconds": WAIT.as_secs()
    });
    let (small, body) = (json!({"vpa": "asha@okhdfcbank"}), body.to_string());
    let headers = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    let request = api.head("POST /customers/waiter/accounts", &headers) + &body;
    let began = Instant::now();
    let mut clients = api.attack(800, request.as_bytes()).await?;
    let mut all = 0;
    while all == 0 {
        all += refused(&mut clients).await;
        anyhow::ensure!(
            began.elapsed() < WAIT,
            "no call beyond the memory is refused"
        );
    }
    println!("{all} calls that wait refused");
    api.assert_memory_is_bounded("calls that wait")?;
    let theirs = tokio::time::timeout(AT_ONCE, other.create_json("other", &small)).await??;
    assert_eq!(theirs.status, 200, "another merchant");
    drop(clients);
    api.assert_it_serves().await
}

#[tokio::test]
async fn replies_that_a_merchant_does_not_take_use_a_bounded_share_of_memory() -> Result<()> {
    let mut api = start().await?;
    let other = api.stack.api.with_key(&api.stack.issue_key("other")?);
    let metadata: serde_json::Map<_, _> = (0..20)
        .map(|n| (format!("udf{n}"), json!("x".repeat(500))))
        .collect();
    // A call's metadata is bounded, a list's is not.
    for call in 0..5 {
        let vpa = |n| json!({"vpa": format!("reader{call}x{n}@okhdfcbank")});
        let upi: Vec<_> = (0..20).map(vpa).collect();
        let body = json!({"upi_details": upi, "metadata": metadata});
        let created = api.stack.api.create_json("reader", &body).await?;
        assert_eq!(created.accounts()?.len(), 20);
    }
    let request = api.head("GET /customers/reader/customer-accounts/list?count=100", "");
    let clients = api.attack(200, request.as_bytes()).await?;
    let list = async |client: &Api| client.list("reader", "?count=100").await;
    let refused = eventually(PATIENCE, "a list beyond the memory", async || {
        let reply = list(&api.stack.api).await?;
        anyhow::Ok((reply.status == 429).then_some(reply))
    })
    .await?;
    assert_eq!(refused.json()["error_info"]["code"], "REPLIES_NOT_TAKEN");
    // Small replies of the merchant and those of other merchants are not concerned.
    assert!(api.serves().await?);
    let theirs = tokio::time::timeout(AT_ONCE, list(&other)).await??;
    assert_eq!(theirs.status, 404);
    api.assert_memory_is_bounded("replies that are not taken")?;
    // The API disconnects such clients.
    eventually(Duration::from_secs(30), "a list", async || {
        let reply = list(&api.stack.api).await?;
        anyhow::Ok(reply.expect_status(200).map(|_| Some(()))?)
    })
    .await?;
    drop(clients);
    Ok(())
}

#[tokio::test]
async fn large_bodies_of_bad_fields_get_small_replies() -> Result<()> {
    let mut api = start().await?;
    let send = async |kind: &str, body: String| {
        let call = api
            .stack
            .api
            .call(Method::POST, "/customers/hostile/accounts");
        let call = call.header("content-type", kind);
        api.stack
            .api
            .send(call.body(body))
            .await?
            .expect_status(400)
    };
    let (form, json) = ("application/x-www-form-urlencoded", "application/json");
    let different: Vec<String> = (0..20_000).map(|place| format!("a{place}=1")).collect();
    let values = |kind: &str| vec![kind; 240_000 / (kind.len() + 1)].join(",");
    let long = "n".repeat(16_000);
    for (kind, body, faults) in [
        (form, "%=&".repeat(87_000), 100),
        (form, "upi_details[x]&".repeat(17_000), 100),
        (form, "aaaaaaa=1&".repeat(26_000), 100),
        (form, different.join("&"), 1),
        (
            form,
            format!("upi_details=[{}]", vec!["{}"; 100].join(",")),
            100,
        ),
        (
            form,
            format!("bank_account_details=[{}]", vec!["{}"; 100].join(",")),
            100,
        ),
        (form, format!("upi_details=[{}]", values(r#"{"":0}"#)), 1),
        (json, format!(r#"{{"x":[{}]}}"#, values(r#"{"":0}"#)), 1),
        (json, format!(r#"{{"x":[{}]}}"#, values("[]")), 1),
        (json, format!(r#"{{"x":{{{}}}}}"#, values(r#""a":0"#)), 100),
        (
            json,
            format!(r#"{{"{long}":{{{}}}}}"#, values(r#""a":0"#)),
            100,
        ),
    ] {
        let replies = try_join_all((0..40).map(|_| send(kind, body.clone()))).await?;
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
    let reply = send(form, "%=&".repeat(101)).await?;
    let message = "More than 100 fields are missing or have a bad value; error_info.fields lists the first 100.";
    assert_eq!(reply.json()["error_info"]["developer_message"], message);
    api.assert_memory_is_bounded("large bodies")
}

#[tokio::test]
async fn cross_site_requests_and_repeated_names_are_refused() -> Result<()> {
    let limited = start().await?;
    let stack = &limited.stack;
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
    post("same-site").await?.expect_status(403)?;
    post("same-origin").await?.expect_status(200)?;
    // Old browsers send the origin of the page only.
    for (origin, status) in [
        ("https://elsewhere.example", 403),
        ("null", 403),
        (api.url.as_str(), 200),
    ] {
        let call = api.creation("of_an_old_browser").header("origin", origin);
        api.send(call.form(&form)).await?.expect_status(status)?;
    }
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
    let limited = start().await?;
    let stack = &limited.stack;
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
