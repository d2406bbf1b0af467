//! One call: its limits, and the meaning of a reply.

use std::time::{Duration, Instant};

use khata_webhooks::{
    AfterAttempt, CALL_TIMEOUT, CallError, MAX_REPLY, WebhookClient, after_attempt,
};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::Command;

use crate::receiver::{Behaviour, Certificate, Receiver};
use crate::{BODY, send, url};

fn client() -> WebhookClient {
    WebhookClient::new(true).unwrap()
}

#[tokio::test]
async fn the_receiver_gets_the_bytes_of_the_body_by_post() {
    let mut receiver = Receiver::http(Behaviour::reply("204 No Content", "", "")).await;
    let reply = send(&client(), &url(&receiver.url("/hooks?token=42")))
        .await
        .unwrap();
    assert_eq!((reply.status, reply.failure()), (204, None));
    let arrived = receiver.received().await;
    assert!(
        arrived
            .head
            .starts_with("POST /hooks?token=42 HTTP/1.1\r\n")
    );
    assert_eq!(arrived.body, BODY.as_bytes());
    assert_eq!(arrived.header("content-type"), Some("application/json"));
    assert_eq!(arrived.header("khata-attempt"), Some("1"));
    assert_eq!(
        arrived.header("host"),
        Some(receiver.address.to_string().as_str())
    );
    // A compressed reply could be much longer than the bytes that are counted.
    assert_eq!(arrived.header("accept-encoding"), None);
}

#[tokio::test]
async fn a_failing_reply_is_kept_with_its_retry_after() {
    let body = "x".repeat(5_000);
    let behaviour = Behaviour::reply("503 Service Unavailable", "retry-after: 120\r\n", &body);
    let receiver = Receiver::http(behaviour).await;
    let reply = send(&client(), &url(&receiver.url("/"))).await.unwrap();
    assert_eq!(reply.failure(), Some(CallError::Status(503)));
    assert_eq!(reply.excerpt, body[..1_024]);
    assert_eq!(
        after_attempt(1, Duration::ZERO, Some(&reply), 0.5),
        AfterAttempt::RetryIn(Duration::from_secs(126))
    );
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let mut target = Receiver::http(Behaviour::reply("200 OK", "", "")).await;
    for status in [
        "301 Moved Permanently",
        "302 Found",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let location = format!("location: {}\r\n", target.url("/"));
        let receiver = Receiver::http(Behaviour::reply(status, &location, "")).await;
        let reply = send(&client(), &url(&receiver.url("/"))).await.unwrap();
        assert_eq!(
            reply.failure(),
            Some(CallError::Status(status[..3].parse().unwrap()))
        );
        assert!(target.is_unused());
    }
}

#[tokio::test]
async fn a_call_ends_after_ten_seconds() {
    let mut receiver = Receiver::http(Behaviour::Stall(Vec::new())).await;
    let started = Instant::now();
    let failed = send(&client(), &url(&receiver.url("/"))).await.unwrap_err();
    assert_eq!(failed, CallError::Timeout);
    assert!(started.elapsed() >= CALL_TIMEOUT && CALL_TIMEOUT == Duration::from_secs(10));
    assert_eq!(receiver.received().await.body, BODY.as_bytes());
}

#[tokio::test]
async fn at_most_64_kib_of_a_body_are_read() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let mut receiver = Receiver::http(Behaviour::Endless(head, b"x")).await;
    let reply = send(&client(), &url(&receiver.url("/"))).await.unwrap();
    assert_eq!((reply.failure(), reply.excerpt), (None, "x".repeat(1_024)));
    // The kernel accepts some megabytes that the client never reads.
    let sent = receiver.received().await.sent;
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes");
}

/// A reply that only says that another one follows (RFC 9110, section 15.2).
const ANOTHER_FOLLOWS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";

#[tokio::test]
async fn replies_that_only_announce_another_one_are_left_out() {
    let end: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    let replies = [ANOTHER_FOLLOWS, ANOTHER_FOLLOWS, end].concat();
    let receiver = Receiver::http(Behaviour::Reply(replies)).await;
    let reply = send(&client(), &url(&receiver.url("/"))).await.unwrap();
    assert_eq!((reply.status, reply.failure()), (204, None));
}

#[tokio::test]
async fn at_most_256_kib_of_such_replies_are_read() {
    let mut receiver = Receiver::http(Behaviour::Endless("", ANOTHER_FOLLOWS)).await;
    let failed = send(&client(), &url(&receiver.url("/"))).await.unwrap_err();
    assert_eq!((failed, MAX_REPLY), (CallError::Protocol, 256 * 1024));
    // The kernel accepts some megabytes that the client never reads.
    let sent = receiver.received().await.sent;
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes");
    // Also one whose head does not end.
    let head = "HTTP/1.1 200 OK\r\n";
    let mut receiver = Receiver::http(Behaviour::Endless(head, b"a: b\r\n")).await;
    let failed = send(&client(), &url(&receiver.url("/"))).await.unwrap_err();
    assert_eq!(failed, CallError::Protocol);
    receiver.received().await;
}

#[tokio::test]
async fn slow_replies_that_announce_another_one_end_after_ten_seconds() {
    let mut receiver = Receiver::http(Behaviour::Drip("", ANOTHER_FOLLOWS)).await;
    let started = Instant::now();
    let failed = send(&client(), &url(&receiver.url("/"))).await.unwrap_err();
    assert_eq!(failed, CallError::Timeout);
    assert!(started.elapsed() >= CALL_TIMEOUT);
    receiver.received().await;
}

#[tokio::test]
async fn a_body_that_does_not_end_holds_a_call_for_a_second() {
    let silent = Receiver::http(Behaviour::Stall(Vec::new())).await;
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let stalled =
        Receiver::http(Behaviour::Stall(format!("{head}3\r\nabc\r\n").into_bytes())).await;
    // The length of a chunk may begin with any number of zeros.
    let zeros = Receiver::http(Behaviour::Drip(head, b"0")).await;
    let client = client();
    let replies = async {
        for (receiver, excerpt) in [(stalled, "abc"), (zeros, "")] {
            let reply = send(&client, &url(&receiver.url("/"))).await.unwrap();
            assert_eq!((reply.failure(), reply.excerpt.as_str()), (None, excerpt));
        }
    };
    // A call of 10 s begins first and ends last.
    let silent = url(&silent.url("/"));
    tokio::select! {
        biased;
        _ = send(&client, &silent) => panic!("a body held its call as long as a missing reply"),
        () = replies => {}
    }
}

#[tokio::test]
async fn the_status_counts_if_the_body_breaks_off() {
    for (status, failure) in [("200 OK", None), ("500 Oops", Some(CallError::Status(500)))] {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 10\r\n\r\nabc");
        let receiver = Receiver::http(Behaviour::Reply(head.into_bytes())).await;
        let reply = send(&client(), &url(&receiver.url("/"))).await.unwrap();
        assert_eq!((reply.failure(), reply.excerpt.as_str()), (failure, "abc"));
    }
}

#[tokio::test]
async fn failures_have_different_words() {
    // A port that belongs to this test, and on which nothing listens.
    let unused = TcpSocket::new_v4().unwrap();
    unused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = format!("http://{}/", unused.local_addr().unwrap());
    let no_http = Receiver::http(Behaviour::Reply(b"SSH-2.0-OpenSSH\r\n".to_vec())).await;
    let no_reply = Receiver::http(Behaviour::Reply(Vec::new())).await;
    for (address, error) in [
        (closed.as_str(), CallError::Refused),
        (no_http.url("/").as_str(), CallError::Protocol),
        (no_reply.url("/").as_str(), CallError::Protocol),
    ] {
        assert_eq!(
            send(&client(), &url(address)).await.unwrap_err(),
            error,
            "{address}"
        );
    }
    // The words of lists and metrics never change.
    assert_eq!(CallError::Refused.word(), CallError::Connect.word());
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused() {
    let certificate = Certificate::generate();
    let mut receiver = Receiver::https(Behaviour::reply("200 OK", "", ""), &certificate).await;
    let address = format!("https://localhost:{}/", receiver.address.port());
    let failed = send(&client(), &url(&address)).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "the TLS handshake failed: no known authority has issued the endpoint's certificate, or the endpoint leaves out \
         certificates of the chain"
    );
    assert!(receiver.is_unused());
}

/// The process that the test below starts has these variables.
const URL_HTTP: &str = "KHATA_TEST_WEBHOOK_HTTP";
const URL_HTTPS: &str = "KHATA_TEST_WEBHOOK_HTTPS";

/// Calls from a process of its own, because a process has one environment: this test, which then makes the calls only.
#[tokio::test]
async fn the_environment_names_trusted_certificates_and_no_proxy() {
    if let (Ok(http), Ok(https)) = (std::env::var(URL_HTTP), std::env::var(URL_HTTPS)) {
        call_from_this_environment(&http, &https).await;
        return;
    }
    let reply = Behaviour::reply("200 OK", "", "");
    let certificate = Certificate::generate();
    let mut http = Receiver::http(reply.clone()).await;
    let mut https = Receiver::https(reply.clone(), &certificate).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    let trusted = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("webhooks-{}.pem", https.address.port()));
    std::fs::write(&trusted, certificate.pem()).unwrap();

    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args([
            "--exact",
            "calls::the_environment_names_trusted_certificates_and_no_proxy",
        ])
        .env(URL_HTTP, http.url("/"))
        .env(
            URL_HTTPS,
            format!("https://localhost:{}/", https.address.port()),
        )
        .env("SSL_CERT_FILE", &trusted)
        .env_remove("SSL_CERT_DIR")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env_remove("REQUEST_METHOD");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child
            .env(name, &proxy_url)
            .env(name.to_lowercase(), &proxy_url);
    }
    let output = tokio::select! {
        output = child.kill_on_drop(true).output() => output.unwrap(),
        _ = proxy.accept() => panic!("the client called the proxy of the environment"),
    };
    std::fs::remove_file(&trusted).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(http.received().await.body, BODY.as_bytes());
    assert_eq!(https.received().await.body, BODY.as_bytes());
}

async fn call_from_this_environment(http: &str, https: &str) {
    let client = client();
    assert_eq!(send(&client, &url(http)).await.unwrap().status, 200);
    assert_eq!(send(&client, &url(https)).await.unwrap().status, 200);
    // The certificate is trusted, but it is not for this name.
    let other_name = https.replace("localhost", "127.0.0.1");
    let failed = send(&client, &url(&other_name)).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "the TLS handshake failed: the endpoint's certificate is for another name: use one for the URL's host"
    );
}
