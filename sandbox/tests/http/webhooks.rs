//! Webhooks: their time, their signature, and their faults, for all gateways by the example of Cashfree.

use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::receiver::{Event, Receiver};
use crate::support::{Sandbox, ok, reply, wait_for};

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
async fn an_event_is_signed_and_sent_when_the_outcome_appears() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    sandbox.set_webhook(&hook(&receiver, &json!({}))).await;
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "pending_ms": 300}))
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

    let shown = event.json();
    assert_eq!(shown["event_type"], "BANK_ACCOUNT_VERIFICATION_SUCCESS");
    assert_eq!(shown["version"], "v2");
    assert_eq!(shown["event_time"].as_str().unwrap().len(), 19);
    let data = &shown["data"];
    assert_eq!(data["reference_id"], receipt["reference_id"]);
    assert_eq!(data["user_id"], "att_1");
    assert_eq!(data["amount_deposited"], "1.00");
    // The test did not poll before the event; a poll afterwards returns the same.
    let polled = sandbox.of_user("att_1").await;
    for (member, value) in polled.as_object().unwrap() {
        assert_eq!(&data[member], value, "{member}");
    }
}

#[actix_web::test]
async fn each_outcome_has_its_event() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "100"]);
    let receiver = Receiver::start(&[]);
    sandbox.set_webhook(&hook(&receiver, &json!({}))).await;
    for (account, event, status) in [
        ("00099009911", "SUCCESS", "VALID"),
        ("00099009912", "FAILED", "INVALID"),
        ("00099009934", "FAILED", "INVALID"),
        ("00099009942", "FAILED", "FAILED"),
        ("00099008814", "REJECTED", "REJECTED"),
    ] {
        let before = receiver.events().len();
        sandbox.send_async(account, "HDFC0000001", account).await;
        let shown = receiver.wait(before + 1).await[before].json();
        assert_eq!(
            shown["event_type"],
            format!("BANK_ACCOUNT_VERIFICATION_{event}")
        );
        assert_eq!(shown["data"]["user_id"], account);
        assert_eq!(shown["data"]["account_status"], status);
        assert_eq!(
            shown["data"]["amount_deposited"].is_null(),
            event != "SUCCESS"
        );
    }
    // A sync call has its outcome at once; only a pending one has an event.
    let before = receiver.events().len();
    sandbox.sync("123456", "HDFC0000001", "Asha Rao").await;
    sandbox.sync("00099009913", "HDFC0000001", "Asha Rao").await;
    let pending = sandbox.sync("00099009911", "HDFC0000001", "Asha Rao").await;
    assert_eq!(pending["account_status"], "RECEIVED");
    let shown = receiver.wait(before + 1).await[before].json();
    assert_eq!(shown["data"]["reference_id"], pending["reference_id"]);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.events().len(), before + 1);
}

#[actix_web::test]
async fn an_event_without_a_2xx_is_sent_again() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[500, 404]));
    sandbox.set_webhook(&hook(&receiver, &json!({}))).await;
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    let events = receiver.wait(3).await;
    assert!(events.iter().all(|event| event.body == events[0].body));
    assert!(
        events
            .iter()
            .all(|event| signed_with(event, "sandbox_secret"))
    );
    wait_for("counts", async || {
        let counts = sandbox.webhook_counts("CASHFREE").await;
        counts["answered"] == json!({"200": 1, "404": 1, "500": 1})
    })
    .await;
    let counts = sandbox.webhook_counts("CASHFREE").await;
    assert_eq!(
        (&counts["sent"], &counts["given_up"]),
        (&json!(3), &json!(0))
    );
    // No event follows a 2xx.
    sleep(Duration::from_millis(400)).await;
    assert_eq!(receiver.events().len(), 3);
}

#[actix_web::test]
async fn an_event_without_a_receiver_is_given_up() {
    let sandbox = Sandbox::start(&[]);
    // Nothing listens on this port, and the kernel gives it to no other test's server.
    let url = "http://127.0.0.1:9/";
    sandbox
        .set_webhook(&json!({"gateway": "CASHFREE", "url": url}))
        .await;
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    wait_for("given up", async || {
        sandbox.webhook_counts("CASHFREE").await["given_up"] == 1
    })
    .await;
    let counts = sandbox.webhook_counts("CASHFREE").await;
    assert_eq!(
        (&counts["sent"], &counts["unanswered"]),
        (&json!(4), &json!(4))
    );
}

#[actix_web::test]
async fn events_come_twice_and_out_of_order() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    let webhook = hook(&receiver, &json!({"duplicates": 2, "out_of_order": true}));
    sandbox.set_webhook(&webhook).await;
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
async fn secrets_are_set_and_the_old_one_signs_the_set_fraction() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    let webhook = hook(&receiver, &json!({"secret": "new", "old_secret": "old"}));
    let listed = sandbox.set_webhook(&webhook).await;
    assert!(listed["secret"].is_null() && listed["old_secret"].is_null());
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    assert!(signed_with(&receiver.wait(1).await[0], "new"));

    let webhook = hook(
        &receiver,
        &json!({"secret": "new", "old_secret": "old", "old_secret_rate": 1}),
    );
    sandbox.set_webhook(&webhook).await;
    sandbox.send_async("123456", "HDFC0000001", "b").await;
    assert!(signed_with(&receiver.wait(2).await[1], "old"));
}

#[actix_web::test]
async fn events_are_lost_late_or_not_sent_at_all() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    sandbox
        .set_webhook(&hook(&receiver, &json!({"drop_rate": 1})))
        .await;
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    wait_for("lost", async || {
        sandbox.webhook_counts("CASHFREE").await["lost"] == 1
    })
    .await;

    sandbox
        .set_webhook(&hook(&receiver, &json!({"enabled": false})))
        .await;
    sandbox.send_async("123456", "HDFC0000001", "b").await;
    let counts = sandbox.webhook_counts("CASHFREE").await;
    assert_eq!(
        (&counts["lost"], &counts["sent"]),
        (&json!(0), &json!(0)),
        "anew"
    );

    sandbox
        .set_webhook(&hook(&receiver, &json!({"delay_ms": 300})))
        .await;
    let began = Instant::now();
    sandbox.send_async("123456", "HDFC0000001", "c").await;
    let events = receiver.wait(1).await;
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(events[0].json()["data"]["user_id"], "c", "neither a nor b");

    let (status, _) = reply(sandbox.control(Method::DELETE, "/webhooks")).await;
    assert_eq!(status, 204);
    let listed = ok(reply(sandbox.control(Method::GET, "/webhooks")).await);
    assert_eq!(listed, json!([]));
    sandbox.send_async("123456", "HDFC0000001", "d").await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(receiver.events().len(), 1);
}

#[actix_web::test]
async fn an_invalid_webhook_is_refused() {
    let sandbox = Sandbox::start(&[]);
    for bad in [
        json!({"gateway": "PAYPAL", "url": "http://127.0.0.1/"}),
        json!({"gateway": "CASHFREE"}),
        json!({"gateway": "CASHFREE", "url": "http://127.0.0.1/", "drop_rate": 1.5}),
        json!({"gateway": "CASHFREE", "url": "http://127.0.0.1/", "secrets": "a"}),
    ] {
        let (status, body) = reply(sandbox.control(Method::PUT, "/webhooks").json(&bad)).await;
        assert_eq!(status, 400, "{bad}");
        assert!(!body["error"].as_str().unwrap().is_empty());
    }
}
