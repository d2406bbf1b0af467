//! Latency, errors, silence and late outcomes, and what they do to the ledger.

use std::time::{Duration, Instant};

use actix_web::rt::net::TcpStream;
use actix_web::rt::time::timeout;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Sandbox, ok, penny_drop, reply, wait_for};

fn bank(user_id: &str) -> Value {
    json!({"bank_account": "123456", "ifsc": "HDFC0000001", "user_id": user_id})
}

#[actix_web::test]
async fn behaviour_is_set_listed_and_checked() {
    let sandbox = Sandbox::start(&[]);
    let list = ok(reply(sandbox.control(Method::GET, "/behaviour")).await);
    let list = list.as_array().unwrap();
    let gateways: Vec<&Value> = list.iter().map(|one| &one["gateway"]).collect();
    assert_eq!(
        gateways,
        ["CASHFREE", "RAZORPAY", "SETU", "DECENTRO", "PAYU"]
    );
    let healthy = json!({
        "latency_ms": 0, "slow_bytes_ms": 0, "pending_ms": 0,
        "error_rate": 0.0, "errors": "either", "hang_rate": 0.0, "reset_rate": 0.0,
        "malformed_rate": 0.0, "reject_rate": 0.0, "calls_per_minute": 0, "retry_after_s": 0,
        "insufficient_balance": false, "refuse_ip": false, "unknown_code": false, "odd_fields": false,
    });
    for one in list {
        let mut named = healthy.clone();
        named["gateway"] = one["gateway"].clone();
        assert_eq!(*one, named);
    }

    let set = ok(sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "latency_ms": 3, "error_rate": 0.25}))
        .await);
    assert_eq!(set["latency_ms"], 3);
    let list = ok(reply(sandbox.control(Method::GET, "/behaviour")).await);
    assert_eq!(list[0], set);
    assert_eq!(list[1]["latency_ms"], 0, "only the gateway that was named");
    assert_eq!(
        ok(sandbox.set_behaviour(&json!({"gateway": "CASHFREE"})).await)["latency_ms"],
        0,
        "what is left out is 0 again"
    );

    for bad in [
        json!({"gateway": "PAYPAL"}),
        json!({"latency_ms": 1}),
        json!({"gateway": "CASHFREE", "error_rate": 2}),
        json!({"gateway": "CASHFREE", "hang_rate": -1}),
        json!({"gateway": "CASHFREE", "latency_ms": -1}),
        json!({"gateway": "CASHFREE", "latency_ms": "5"}),
        json!({"gateway": "CASHFREE", "latency": 5}),
    ] {
        let (status, body) = sandbox.set_behaviour(&bad).await;
        assert_eq!(status, 400, "{bad}");
        assert!(!body["error"].as_str().unwrap().is_empty());
    }
}

#[actix_web::test]
async fn latency_delays_every_reply() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "latency_ms": 150}))
        .await;
    let began = Instant::now();
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    assert!(began.elapsed() >= Duration::from_millis(150));
    sandbox.of_user("a").await;
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[actix_web::test]
async fn errors_come_before_or_after_the_drop_in_equal_parts() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "error_rate": 1}))
        .await;
    let calls = 400;
    for call in 0..calls {
        let (path, body) = if call % 2 == 0 {
            ("/bank-account/async", bank(&format!("a{call}")))
        } else {
            ("/upi/penny-drop", penny_drop(&format!("v{call}"), "a@upi"))
        };
        let (status, refused) = sandbox.post(path, &body).await;
        assert_eq!(status, 500);
        assert_eq!(refused["code"], "internal_error");
        assert!(refused["message"].is_string() && refused["type"].is_string());
    }
    let (total, distinct) = sandbox.counted().await;
    assert_eq!(total, distinct);
    // Six standard deviations either side of a half.
    assert!((140..=260).contains(&total), "{total} of {calls}");

    // The status calls fail too; once healthy, what was dropped is found and the rest is unknown.
    assert_eq!(sandbox.get("/bank-account?user_id=a0").await.0, 500);
    sandbox.set_behaviour(&json!({"gateway": "CASHFREE"})).await;
    let mut found = 0;
    for call in 0..calls {
        let path = if call % 2 == 0 {
            format!("/bank-account?user_id=a{call}")
        } else {
            format!("/upi?verification_id=v{call}")
        };
        found += u64::from(sandbox.get(&path).await.0 == 200);
    }
    assert_eq!(found, total);
}

#[actix_web::test]
async fn a_fraction_of_calls_fails_when_a_fraction_is_set() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "error_rate": 0.25}))
        .await;
    let mut failed = 0;
    for call in 0..400 {
        let (status, _) = sandbox
            .post("/bank-account/async", &bank(&format!("a{call}")))
            .await;
        failed += u32::from(status == 500);
    }
    assert!((40..=160).contains(&failed), "{failed} of 400");
}

#[actix_web::test]
async fn the_same_seed_draws_the_same_faults() {
    let mut drawn = Vec::new();
    for seed in ["1", "1", "2"] {
        let sandbox = Sandbox::start(&["--sandbox-seed", seed]);
        sandbox
            .set_behaviour(&json!({"gateway": "CASHFREE", "error_rate": 0.5}))
            .await;
        let mut statuses = Vec::new();
        for _ in 0..64 {
            statuses.push(sandbox.get("/bank-account?user_id=a").await.0);
        }
        drawn.push(statuses);
    }
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[1], drawn[2]);
}

#[actix_web::test]
async fn a_hanging_call_drops_without_a_reply() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "hang_rate": 1}))
        .await;
    let patience = Duration::from_secs(1);
    let body = bank("a");
    let posted = sandbox.post("/bank-account/async", &body);
    assert!(timeout(patience, posted).await.is_err(), "it answered");
    let asked = sandbox.get("/bank-account?user_id=a");
    assert!(timeout(patience, asked).await.is_err(), "it answered");
    assert_eq!(sandbox.counted().await, (1, 1), "dropped, once");

    sandbox.set_behaviour(&json!({"gateway": "CASHFREE"})).await;
    assert_eq!(sandbox.of_user("a").await["account_status"], "VALID");
}

#[actix_web::test]
async fn a_hanging_call_ends_without_a_reply() {
    let sandbox = Sandbox::start(&["--sandbox-hang-ms", "200"]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "hang_rate": 1}))
        .await;
    let mut stream = TcpStream::connect(sandbox.address()).await.unwrap();
    let request =
        "GET /cashfree/verification/upi?verification_id=a HTTP/1.1\r\nhost: sandbox\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let closed = timeout(Duration::from_secs(5), stream.read_to_end(&mut received)).await;
    assert!(closed.is_ok(), "still open");
    assert_eq!(received, b"", "not a byte");
}

#[actix_web::test]
async fn async_outcomes_can_be_made_late() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "pending_ms": 3_000}))
        .await;
    let began = Instant::now();
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    assert_eq!(sandbox.of_user("a").await["account_status"], "RECEIVED");
    let synced = sandbox.sync("123456", "HDFC0000001", "Asha").await;
    assert_eq!(synced["account_status"], "VALID", "only async calls wait");
    wait_for("an outcome", async || {
        sandbox.of_user("a").await["account_status"] != "RECEIVED"
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(3));
    assert_eq!(sandbox.of_user("a").await["account_status"], "VALID");
}
