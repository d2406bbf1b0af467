//! The counts of calls, and the limit a minute.

use reqwest::{Method, Response};
use serde_json::json;

use crate::support::{Sandbox, reply, wait_for};

async fn send(sandbox: &Sandbox, user_id: &str) -> Response {
    let body = json!({"bank_account": "123456", "ifsc": "HDFC0000001", "user_id": user_id});
    let request = sandbox.cashfree(Method::POST, "/bank-account/async");
    request.json(&body).send().await.unwrap()
}

fn number(reply: &Response, header: &str) -> u64 {
    reply.headers()[header].to_str().unwrap().parse().unwrap()
}

#[actix_web::test]
async fn calls_are_counted_by_route_and_status() {
    let sandbox = Sandbox::start(&[]);
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    sandbox.of_user("a").await;
    sandbox.of_user("a").await;
    sandbox.get("/bank-account?user_id=nobody").await;
    sandbox.get("/nowhere").await;
    let counted = sandbox.calls("CASHFREE").await;
    assert_eq!(counted["total"], 4, "a strange path is no call");
    assert_eq!(
        counted["by_route"],
        json!({"POST /bank-account/async": 1, "GET /bank-account": 3})
    );
    assert_eq!(counted["by_status"], json!({"200": 3, "404": 1}));
    assert_eq!(counted["unanswered"], 0);
    assert_eq!(counted["most_in_a_minute"], 4);
    assert_eq!(sandbox.calls("PAYU").await["total"], 0);

    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "reset_rate": 1}))
        .await;
    let request = sandbox.cashfree(Method::GET, "/bank-account?user_id=a");
    assert!(request.send().await.is_err());
    assert_eq!(sandbox.calls("CASHFREE").await["unanswered"], 1);

    let (status, _) = reply(sandbox.control(Method::DELETE, "/calls")).await;
    assert_eq!(status, 204);
    let counted = sandbox.calls("CASHFREE").await;
    assert_eq!(
        (&counted["total"], &counted["most_in_a_minute"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(counted["by_route"], json!({}));
}

#[actix_web::test]
async fn a_call_over_the_limit_gets_a_retry_after() {
    let sandbox = Sandbox::start(&[]);
    let free = send(&sandbox, "free").await;
    assert!(!free.headers().contains_key("x-ratelimit-limit"));

    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "calls_per_minute": 3}))
        .await;
    for left in [2, 1, 0] {
        let reply = send(&sandbox, "a").await;
        assert_eq!(reply.status(), 200);
        assert_eq!(number(&reply, "x-ratelimit-limit"), 3);
        assert_eq!(number(&reply, "x-ratelimit-remaining"), left);
        assert!((50..=60).contains(&number(&reply, "x-ratelimit-reset")));
    }
    let over = send(&sandbox, "a").await;
    assert_eq!(over.status(), 429);
    assert_eq!(number(&over, "x-ratelimit-remaining"), 0);
    let wait = number(&over, "retry-after");
    assert!((50..=60).contains(&wait), "{wait}");
    assert_eq!(wait, number(&over, "x-ratelimit-reset"));
    let body: serde_json::Value = serde_json::from_slice(&over.bytes().await.unwrap()).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 3);
    assert_eq!(
        sandbox.counted().await,
        (4, 2),
        "a refused call drops nothing"
    );

    // A limit that is set again starts a new minute, and may set another `Retry-After`.
    let limited = json!({"gateway": "CASHFREE", "calls_per_minute": 1, "retry_after_s": 7});
    sandbox.set_behaviour(&limited).await;
    assert_eq!(send(&sandbox, "b").await.status(), 200);
    let over = send(&sandbox, "b").await;
    assert_eq!(over.status(), 429);
    assert_eq!(number(&over, "retry-after"), 7);
}

#[actix_web::test]
async fn some_calls_are_rejected_at_random() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "reject_rate": 1}))
        .await;
    let rejected = send(&sandbox, "a").await;
    assert_eq!(rejected.status(), 429);
    assert_eq!(number(&rejected, "retry-after"), 1);
    assert_eq!(sandbox.counted().await, (0, 0));
    assert_eq!(
        sandbox.calls("CASHFREE").await["by_status"],
        json!({"429": 1})
    );
}

#[actix_web::test]
async fn a_call_in_progress_is_counted_before_its_reply() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "CASHFREE", "hang_rate": 1}))
        .await;
    let request = sandbox.cashfree(Method::GET, "/bank-account?user_id=a");
    let hanging = actix_web::rt::spawn(request.send());
    wait_for("the call", async || {
        let counts = sandbox.calls("CASHFREE").await;
        (&counts["total"], &counts["unanswered"]) == (&json!(1), &json!(1))
    })
    .await;
    hanging.abort();
}
