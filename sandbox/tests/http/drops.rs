//! The ledger over the control API.

use reqwest::Method;
use serde_json::json;

use crate::support::{Sandbox, ok, penny_drop, reply};

#[actix_web::test]
async fn each_kind_of_drop_carries_its_reference() {
    let sandbox = Sandbox::start(&[]);
    let synced = sandbox.sync("123456", "HDFC0000001", "Asha Rao").await;
    sandbox.send_async("123456", "HDFC0000001", "att_1").await;
    let nameless = json!({"bank_account": "123456", "ifsc": "HDFC0000001"});
    let unnamed = ok(sandbox.post("/bank-account/async", &nameless).await);
    ok(sandbox
        .post("/upi/penny-drop", &penny_drop("v-1", "asha@upi"))
        .await);

    let drops = sandbox.drops().await;
    let references: Vec<&str> = drops["drops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["reference"].as_str().unwrap())
        .collect();
    let expected = [
        format!("sync:{}", synced["reference_id"]),
        "att_1".to_owned(),
        format!("async:{}", unnamed["reference_id"]),
        "v-1".to_owned(),
    ];
    assert_eq!(references, expected);
    let text = drops.to_string();
    for personal in ["123456\"", "Asha", "ASHA", "asha@upi"] {
        assert!(!text.contains(personal), "{personal} is in the ledger");
    }
    for entry in drops["drops"].as_array().unwrap() {
        let at = entry["at"].as_str().unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(at).is_ok());
        assert_eq!(entry.as_object().unwrap().len(), 4);
    }
}

#[actix_web::test]
async fn the_list_can_be_capped_and_emptied() {
    let sandbox = Sandbox::start(&[]);
    for user_id in ["a", "b", "c", "a"] {
        sandbox.send_async("123456", "HDFC0000001", user_id).await;
    }
    let capped = ok(reply(sandbox.control(Method::GET, "/drops?limit=2")).await);
    assert_eq!(capped["total"], 4);
    assert_eq!(capped["distinct_references"], 3);
    assert_eq!(capped["drops"].as_array().unwrap().len(), 2);
    for bad in ["/drops?limit=-1", "/drops?limit=x", "/drops?top=2"] {
        let (status, body) = reply(sandbox.control(Method::GET, bad)).await;
        assert_eq!(status, 400);
        assert!(body["error"].is_string());
    }

    let (status, _) = reply(sandbox.control(Method::DELETE, "/drops")).await;
    assert_eq!(status, 204);
    assert_eq!(sandbox.counted().await, (0, 0));
    sandbox.send_async("123456", "HDFC0000001", "a").await;
    assert_eq!(sandbox.counted().await, (1, 1));
}

#[actix_web::test]
async fn health_is_ready_and_unknown_paths_are_not_found() {
    let sandbox = Sandbox::start(&[]);
    let health = ok(reply(sandbox.control(Method::GET, "/health")).await);
    assert_eq!(health, json!({"status": "ready"}));
    assert_eq!(sandbox.get("/nowhere").await.0, 404);
}
