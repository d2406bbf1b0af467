//! Broken replies: reset connections, half a body, slow bodies, and the refusals that are a
//! setting.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use actix_web::rt::net::TcpStream;
use actix_web::rt::time::{sleep, timeout};
use data_encoding::BASE64;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Sandbox, penny_drop, reply};

fn bank(user_id: &str) -> Value {
    json!({"bank_account": "123456", "ifsc": "HDFC0000001", "user_id": user_id})
}

fn raw_request(user_id: &str) -> String {
    let body = bank(user_id).to_string();
    format!(
        "POST /cashfree/verification/bank-account/async HTTP/1.1\r\nhost: sandbox\r\n\
         x-client-id: sandbox_client\r\nx-client-secret: sandbox_secret\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[actix_web::test]
async fn a_reset_comes_after_the_work() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "reset_rate": 1}))
        .await;
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    stream.write_all(raw_request("a").as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut received)).await;
    let error = read
        .expect("still open")
        .expect_err("a farewell, not a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(received, b"", "not a byte");
    assert_eq!(sandbox.counted().await, (1, 1), "dropped, once");

    sandbox.set_behaviour(&json!({"gateway": "CASHFREE"})).await;
    assert_eq!(sandbox.of_user("a").await["account_status"], "VALID");
}

#[actix_web::test]
async fn a_connection_without_a_fault_ends_in_order() {
    let sandbox = Sandbox::start(&[]);
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    let request = raw_request("a").replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut received)).await;
    assert!(read.expect("still open").is_ok());
    assert!(received.starts_with(b"HTTP/1.1 200 OK"));
}

#[actix_web::test]
async fn a_malformed_reply_comes_after_the_work() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "malformed_rate": 1}))
        .await;
    let request = sandbox.cashfree(Method::POST, "/bank-account/async");
    let reply = request.json(&bank("a")).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "application/json");
    let body = reply.bytes().await.unwrap();
    assert!(body.starts_with(b"{"));
    assert!(serde_json::from_slice::<Value>(&body).is_err());
    assert_eq!(sandbox.counted().await, (1, 1));
}

#[actix_web::test]
async fn bytes_can_come_slowly() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "slow_bytes_ms": 40}))
        .await;
    let began = Instant::now();
    let request = sandbox.cashfree(Method::POST, "/bank-account/async");
    let mut reply = request.json(&bank("a")).send().await.unwrap();
    let length: usize = reply.headers()["content-length"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let mut body = Vec::new();
    while let Some(chunk) = reply.chunk().await.unwrap() {
        body.extend_from_slice(&chunk);
    }
    assert_eq!(body.len(), length);
    let whole: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(whole["account_status"], "RECEIVED");
    let handfuls = u32::try_from(length.div_ceil(16)).unwrap();
    assert!(handfuls > 5);
    assert!(began.elapsed() >= Duration::from_millis(40) * handfuls);
}

#[actix_web::test]
async fn errors_can_come_on_one_side_of_the_work_only() {
    let sandbox = Sandbox::start(&[]);
    for (errors, dropped) in [("before_work", 0), ("after_work", 20)] {
        let failing = json!({"gateway": "CASHFREE", "error_rate": 1, "errors": errors});
        sandbox.set_behaviour(&failing).await;
        for call in 0..20 {
            let body = bank(&format!("{errors}{call}"));
            let (status, _) = sandbox.post("/bank-account/async", &body).await;
            assert_eq!(status, 500);
        }
        assert_eq!(sandbox.counted().await.0, dropped);
    }
}

#[actix_web::test]
async fn a_small_balance_is_refused_or_ends_rejected() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "insufficient_balance": true}))
        .await;
    for (path, body) in [
        ("/bank-account/sync", bank("a")),
        ("/upi/penny-drop", penny_drop("v", "asha@upi")),
    ] {
        let (status, refused) = sandbox.post(path, &body).await;
        assert_eq!(
            (status, &refused["code"]),
            (422, &json!("insufficient_balance"))
        );
    }
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    let shown = sandbox.of_user("a").await;
    assert_eq!(shown["account_status"], "REJECTED");
    assert_eq!(shown["account_status_code"], "INSUFFICIENT_BALANCE");
    assert_eq!(sandbox.counted().await, (0, 0), "nothing was dropped");
    let look_up = json!({"verification_id": "v", "vpa": "asha@upi"});
    assert_eq!(sandbox.post("/upi", &look_up).await.0, 200, "costs nothing");
}

#[actix_web::test]
async fn an_unlisted_address_is_refused_first() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "refuse_ip": true}))
        .await;
    let (status, refused) = sandbox.post("/bank-account/async", &bank("a")).await;
    assert_eq!(
        (status, &refused["code"]),
        (403, &json!("ip_validation_failed"))
    );
    assert_eq!(sandbox.get("/bank-account?user_id=a").await.0, 403);
    assert_eq!(sandbox.counted().await, (0, 0));

    // Cashfree admits a signature from any address; the credentials are still checked.
    for (length, status) in [(255, 403), (256, 200)] {
        let signature = BASE64.encode(&vec![7; length]);
        let request = sandbox.cashfree(Method::POST, "/bank-account/async");
        let request = request.header("x-cf-signature", signature).json(&bank("a"));
        assert_eq!(reply(request).await.0, status);
    }
    let request = sandbox.bare(Method::GET, "/bank-account?user_id=a");
    let request = request.header("x-cf-signature", BASE64.encode(&[7; 256]));
    assert_eq!(reply(request).await.0, 401);
}

#[actix_web::test]
async fn outcomes_can_have_an_unknown_code() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "unknown_code": true, "pending_ms": 1_000}))
        .await;
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    let pending = sandbox.of_user("a").await;
    assert_eq!(pending["account_status_code"], "VALIDATION_IN_PROGRESS");
    sleep(Duration::from_secs(1)).await;
    let shown = sandbox.of_user("a").await;
    assert_eq!(shown["account_status_code"], "A_CODE_OF_NEXT_YEAR");
}
