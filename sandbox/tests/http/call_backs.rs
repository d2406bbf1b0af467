//! Call-backs: when they come, how they are signed, and how they go wrong. Cashfree's stand for all.

use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::receiver::{Event, Receiver};
use crate::support::{Sandbox, answer, ok, wait_for};

fn signed_with(event: &Event, secret: &str) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(event.header("x-webhook-timestamp").as_bytes());
    mac.update(&event.body);
    let signature = BASE64
        .decode(event.header("x-webhook-signature").as_bytes())
        .unwrap();
    mac.verify_slice(&signature).is_ok()
}

fn hook(receiver: &Receiver, more: &Value) -> Value {
    let mut webhook = json!({"gateway": "CASHFREE", "url": receiver.url});
    for (name, value) in more.as_object().unwrap() {
        webhook[name] = value.clone();
    }
    webhook
}

#[actix_web::test]
async fn an_outcome_is_called_back_signed_and_in_its_time() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    sandbox.call_back(&hook(&receiver, &json!({}))).await;
    sandbox
        .behave(&json!({"gateway": "CASHFREE", "pending_ms": 300}))
        .await;
    let began = Instant::now();
    let receipt = sandbox.send_async("123456", "HDFC0000001", "att_1").await;
    let event = receiver.wait(1).await.remove(0);
    assert!(began.elapsed() >= Duration::from_millis(300));

    assert!(signed_with(&event, "sandbox_secret"));
    assert!(!signed_with(&event, "sandbox_secre"));
    let timestamp: i64 = event.header("x-webhook-timestamp").parse().unwrap();
    let now = chrono::Utc::now().timestamp_millis();
    assert!((now - 10_000..=now).contains(&timestamp), "milliseconds");
    assert_eq!(event.header("content-type"), "application/json");

    let told = event.json();
    assert_eq!(told["event_type"], "BANK_ACCOUNT_VERIFICATION_SUCCESS");
    assert_eq!(told["version"], "v2");
    assert_eq!(told["event_time"].as_str().unwrap().len(), 19);
    let data = &told["data"];
    assert_eq!(data["reference_id"], receipt["reference_id"]);
    assert_eq!(data["user_id"], "att_1");
    assert_eq!(data["amount_deposited"], "1.00");
    // Nobody polled before it came; what a poll says then is the same.
    let polled = sandbox.of_user("att_1").await;
    for (member, value) in polled.as_object().unwrap() {
        assert_eq!(&data[member], value, "{member}");
    }
}

#[actix_web::test]
async fn each_outcome_has_its_event() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "100"]);
    let receiver = Receiver::start(&[]);
    sandbox.call_back(&hook(&receiver, &json!({}))).await;
    for (account, event, status) in [
        ("00099009911", "SUCCESS", "VALID"),
        ("00099009912", "FAILED", "INVALID"),
        ("00099009934", "FAILED", "INVALID"),
        ("00099009942", "FAILED", "FAILED"),
        ("00099008814", "REJECTED", "REJECTED"),
    ] {
        let before = receiver.came().len();
        sandbox.send_async(account, "HDFC0000001", account).await;
        let told = receiver.wait(before + 1).await[before].json();
        assert_eq!(
            told["event_type"],
            format!("BANK_ACCOUNT_VERIFICATION_{event}")
        );
        assert_eq!(told["data"]["user_id"], account);
        assert_eq!(told["data"]["account_status"], status);
        assert_eq!(
            told["data"]["amount_deposited"].is_null(),
            event != "SUCCESS"
        );
    }
    // A sync call is answered at once; only one that could not be is called back about.
    let before = receiver.came().len();
    sandbox.sync("123456", "HDFC0000001", "Asha Rao").await;
    sandbox.sync("00099009913", "HDFC0000001", "Asha Rao").await;
    let pending = sandbox.sync("00099009911", "HDFC0000001", "Asha Rao").await;
    assert_eq!(pending["account_status"], "RECEIVED");
    let told = receiver.wait(before + 1).await[before].json();
    assert_eq!(told["data"]["reference_id"], pending["reference_id"]);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.came().len(), before + 1);
}

#[actix_web::test]
async fn an_event_that_is_not_taken_comes_again() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[500, 404]));
    sandbox.call_back(&hook(&receiver, &json!({}))).await;
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    let events = receiver.wait(3).await;
    assert!(events.iter().all(|event| event.body == events[0].body));
    assert!(
        events
            .iter()
            .all(|event| signed_with(event, "sandbox_secret"))
    );
    wait_for("counts", async || {
        let counts = sandbox.call_backs("CASHFREE").await;
        counts["answered"] == json!({"200": 1, "404": 1, "500": 1})
    })
    .await;
    let counts = sandbox.call_backs("CASHFREE").await;
    assert_eq!(
        (&counts["sent"], &counts["given_up"]),
        (&json!(3), &json!(0))
    );
    // Nothing more comes once it is taken.
    sleep(Duration::from_millis(400)).await;
    assert_eq!(receiver.came().len(), 3);
}

#[actix_web::test]
async fn an_event_nobody_takes_is_given_up() {
    let sandbox = Sandbox::start(&[]);
    // A port that was free a moment ago: nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    sandbox
        .call_back(&json!({"gateway": "CASHFREE", "url": url}))
        .await;
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    wait_for("given up", async || {
        sandbox.call_backs("CASHFREE").await["given_up"] == 1
    })
    .await;
    let counts = sandbox.call_backs("CASHFREE").await;
    assert_eq!(
        (&counts["sent"], &counts["unanswered"]),
        (&json!(4), &json!(4))
    );
}

#[actix_web::test]
async fn events_come_twice_and_out_of_order() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    let webhook = hook(&receiver, &json!({"duplicates": 2, "out_of_order": true}));
    sandbox.call_back(&webhook).await;
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    let events = receiver.wait(4).await;
    let statuses: Vec<Value> = events
        .iter()
        .map(|event| event.json()["data"]["account_status"].clone())
        .collect();
    assert_eq!(statuses, ["VALID", "VALID", "VALID", "RECEIVED"]);
    assert!(events[..3].iter().all(|event| event.body == events[0].body));
    let older = &events[3].json()["data"];
    assert_eq!(
        older["reference_id"],
        events[0].json()["data"]["reference_id"]
    );
    assert!(older["name_at_bank"].is_null() && older["utr"].is_null());
    assert!(
        events
            .iter()
            .all(|event| signed_with(event, "sandbox_secret"))
    );
}

#[actix_web::test]
async fn secrets_are_set_and_the_old_one_is_still_used_when_asked() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    let webhook = hook(&receiver, &json!({"secret": "new", "old_secret": "old"}));
    let listed = sandbox.call_back(&webhook).await;
    assert!(listed["secret"].is_null() && listed["old_secret"].is_null());
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    assert!(signed_with(&receiver.wait(1).await[0], "new"));

    let webhook = hook(
        &receiver,
        &json!({"secret": "new", "old_secret": "old", "old_secret_rate": 1}),
    );
    sandbox.call_back(&webhook).await;
    sandbox.send_async("123456", "HDFC0000001", "b").await;
    assert!(signed_with(&receiver.wait(2).await[1], "old"));
}

#[actix_web::test]
async fn events_are_lost_late_or_not_sent_at_all() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    sandbox
        .call_back(&hook(&receiver, &json!({"drop_rate": 1})))
        .await;
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    wait_for("lost", async || {
        sandbox.call_backs("CASHFREE").await["lost"] == 1
    })
    .await;

    sandbox
        .call_back(&hook(&receiver, &json!({"enabled": false})))
        .await;
    sandbox.send_async("123456", "HDFC0000001", "b").await;
    let counts = sandbox.call_backs("CASHFREE").await;
    assert_eq!(
        (&counts["lost"], &counts["sent"]),
        (&json!(0), &json!(0)),
        "anew"
    );

    sandbox
        .call_back(&hook(&receiver, &json!({"delay_ms": 300})))
        .await;
    let began = Instant::now();
    sandbox.send_async("123456", "HDFC0000001", "c").await;
    let events = receiver.wait(1).await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(events[0].json()["data"]["user_id"], "c", "neither a nor b");

    let (status, _) = answer(sandbox.desk(Method::DELETE, "/webhooks")).await;
    assert_eq!(status, 204);
    let listed = ok(answer(sandbox.desk(Method::GET, "/webhooks")).await);
    assert_eq!(listed, json!([]));
    sandbox.send_async("123456", "HDFC0000001", "d").await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.came().len(), 1);
}

#[actix_web::test]
async fn a_webhook_that_cannot_be_is_refused() {
    let sandbox = Sandbox::start(&[]);
    for bad in [
        json!({"gateway": "PAYPAL", "url": "http://127.0.0.1/"}),
        json!({"gateway": "CASHFREE"}),
        json!({"gateway": "CASHFREE", "url": "http://127.0.0.1/", "drop_rate": 1.5}),
        json!({"gateway": "CASHFREE", "url": "http://127.0.0.1/", "secrets": "a"}),
    ] {
        let (status, body) = answer(sandbox.desk(Method::PUT, "/webhooks").json(&bad)).await;
        assert_eq!(status, 400, "{bad}");
        assert!(!body["error"].as_str().unwrap().is_empty());
    }
}
