//! Decentro: the three ways to validate, the deciding member, the lookup, references and velocity.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use khata_sandbox::decentro::{CLIENT_ID, CLIENT_SECRET, CONSUMER_URN, LIMITED_CONSUMER_URN};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::{Sandbox, ok, reply, wait_for};

const VALIDATE: &str = "/decentro/v3/banking/money_transfer/validate_bank_account";
const STATUS: &str = "/decentro/v3/banking/account_validation/status";

fn body(reference_id: &str, validation_type: &str, account: &str) -> Value {
    json!({
        "reference_id": reference_id,
        "purpose_message": "Account check",
        "consumer_urn": CONSUMER_URN,
        "validation_type": validation_type,
        "perform_name_match": true,
        "beneficiary_details": {
            "account_number": account, "ifsc": "HDFC0000001", "name": "Asha Rao",
        },
    })
}

fn authorized(request: RequestBuilder) -> RequestBuilder {
    request
        .header("client_id", CLIENT_ID)
        .header("client_secret", CLIENT_SECRET)
}

async fn send(sandbox: &Sandbox, body: &Value) -> (u16, Value) {
    reply(authorized(sandbox.request(Method::POST, VALIDATE)).json(body)).await
}

async fn validate(sandbox: &Sandbox, reference_id: &str, kind: &str, account: &str) -> Value {
    ok(send(sandbox, &body(reference_id, kind, account)).await)
}

async fn look_up(sandbox: &Sandbox, query: &str) -> (u16, Value) {
    reply(authorized(
        sandbox.request(Method::GET, &format!("{STATUS}?{query}")),
    ))
    .await
}

fn assert_refused((status, body): &(u16, Value), expected: u16, key: &str) {
    assert_eq!(
        (*status, &body["response_key"]),
        (expected, &json!(key)),
        "{body}"
    );
    assert_eq!(body["api_status"], "FAILURE");
    assert!(body["decentro_txn_id"].is_string() && body["message"].is_string());
    assert!(body.get("data").is_none());
}

#[actix_web::test]
async fn published_accounts_are_decided_by_account_status() {
    let sandbox = Sandbox::start(&[]);
    for (reference_id, account, ifsc, account_status) in [
        ("att-1", "121416119212", "SBIN0001077", "VALID"),
        ("att-2", "12321890150", "DBSS0IN0811", "INVALID"),
    ] {
        let mut request = body(reference_id, "pennydrop", account);
        request["beneficiary_details"]["ifsc"] = json!(ifsc);
        let shown = ok(send(&sandbox, &request).await);
        assert_eq!(shown["api_status"], "SUCCESS", "the call, not the account");
        assert!(
            shown["decentro_txn_id"]
                .as_str()
                .unwrap()
                .starts_with("DEC")
        );
        let data = &shown["data"];
        assert_eq!(data["account_status"], account_status);
        assert!(data["validation_message"].is_string());
        assert_eq!(
            data["beneficiary_name"].is_string(),
            account_status == "VALID"
        );
        assert!(data["bank_reference_number"].is_string());
    }
    assert_eq!(sandbox.counted().await, (2, 2), "the invalid one too");
}

#[actix_web::test]
async fn the_ledger_has_drops_only() {
    let sandbox = Sandbox::start(&[]);
    // Row 0 of its own table: a penniless check is inconclusive.
    for (reference_id, kind, account, account_status, drops) in [
        ("a1", "penniless", "50100012345678", "VALID", 0),
        ("a2", "hybrid", "50100012345678", "VALID", 0),
        ("a3", "pennydrop", "50100012345678", "VALID", 1),
        ("a4", "penniless", "12399008800", "INCONCLUSIVE", 1),
        ("a5", "hybrid", "12399008800", "VALID", 2),
        ("a6", "pennydrop", "12399008800", "VALID", 3),
        ("a7", "penniless", "12399009941", "INCONCLUSIVE", 3),
        ("a8", "hybrid", "12399009941", "INCONCLUSIVE", 4),
        ("a9", "hybrid", "12399009931", "INVALID", 4),
    ] {
        let before = sandbox.counted().await.0;
        let shown = validate(&sandbox, reference_id, kind, account).await;
        assert_eq!(
            shown["data"]["account_status"], account_status,
            "{reference_id}"
        );
        let dropped = sandbox.counted().await.0;
        assert_eq!(dropped, drops, "{reference_id}");
        assert_eq!(
            shown["data"]["bank_reference_number"].is_string(),
            dropped > before
        );
    }
    let drops = sandbox.drops().await;
    let references: Vec<&str> = drops["drops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["reference"].as_str().unwrap())
        .collect();
    assert_eq!(references, ["a3", "a5", "a6", "a8"]);
}

#[actix_web::test]
async fn scenarios_end_in_decentro_s_words() {
    let sandbox = Sandbox::start(&[]);
    for (row, account_status) in [
        (31, "INVALID"),
        (32, "INVALID"),
        (33, "INVALID"),
        (34, "INVALID"),
        (35, "INVALID"),
        (36, "NRE"),
        (41, "INCONCLUSIVE"),
    ] {
        let account = format!("123990099{row}");
        let shown = validate(&sandbox, &format!("s{row}"), "penniless", &account).await;
        assert_eq!(shown["data"]["account_status"], account_status);
        assert_eq!(shown["api_status"], "SUCCESS");
    }
    for (row, name) in [
        (21, Value::Null),
        (22, json!("VERIFIED")),
        (23, json!("NA")),
        (24, json!("ZUBIN IRANI")),
    ] {
        let account = format!("123990099{row}");
        let shown = validate(&sandbox, &format!("n{row}"), "penniless", &account).await;
        assert_eq!(shown["data"]["account_status"], "VALID");
        assert_eq!(shown["data"]["beneficiary_name"], name);
    }
    let once = body("t1", "pennydrop", "12399009943");
    assert_refused(&send(&sandbox, &once).await, 500, "error_provider_error");
    assert_refused(
        &look_up(&sandbox, "reference_id=t1").await,
        404,
        "error_transaction_not_found",
    );
    assert_eq!(sandbox.counted().await, (0, 0), "it failed before the drop");
    let shown = validate(&sandbox, "t2", "pennydrop", "12399009943").await;
    assert_eq!(shown["data"]["account_status"], "VALID");
}

#[actix_web::test]
async fn names_are_matched_where_requested() {
    let sandbox = Sandbox::start(&[]);
    let shown = validate(&sandbox, "n1", "penniless", "50100012345678").await;
    assert_eq!(shown["data"]["beneficiary_name"], "ASHA RAO");
    assert_eq!(shown["data"]["name_match_score"], 100.0);
    assert_eq!(shown["data"]["name_match_result"], true);
    let other = validate(&sandbox, "n2", "penniless", "12399009924").await;
    assert_eq!(other["data"]["name_match_result"], false);
    assert!(other["data"]["name_match_score"].as_f64().unwrap() < 80.0);
    let mut unasked = body("n3", "penniless", "50100012345678");
    unasked["perform_name_match"] = json!(false);
    let unasked = ok(send(&sandbox, &unasked).await);
    assert!(unasked["data"].get("name_match_score").is_none());
}

#[actix_web::test]
async fn a_validation_is_found_by_either_id() {
    let sandbox = Sandbox::start(&[]);
    let shown = validate(&sandbox, "att-1", "pennydrop", "12399009936").await;
    let txn_id = shown["decentro_txn_id"].as_str().unwrap();
    let by_txn = ok(look_up(&sandbox, &format!("decentro_txn_id={txn_id}")).await);
    let by_reference = ok(look_up(&sandbox, "reference_id=att-1").await);
    assert_eq!(by_txn["data"], by_reference["data"]);
    assert_eq!(by_txn["api_status"], "SUCCESS");
    assert_ne!(
        by_txn["decentro_txn_id"], shown["decentro_txn_id"],
        "of this call"
    );
    let data = &by_txn["data"];
    assert_eq!(data["request_decentro_txn_id"], txn_id);
    assert_eq!(data["request_reference_id"], "att-1");
    assert_eq!(data["request_response_key"], shown["response_key"]);
    for (member, value) in shown["data"].as_object().unwrap() {
        assert_eq!(&data[member], value, "{member}");
    }
    for query in ["reference_id=nobody", "decentro_txn_id=nobody"] {
        let refused = look_up(&sandbox, query).await;
        assert_refused(&refused, 404, "error_transaction_not_found");
    }
    let refused = look_up(&sandbox, "").await;
    assert_refused(&refused, 400, "error_missing_reference_id");
    assert_eq!(sandbox.counted().await, (1, 1), "look-ups drop nothing");
}

#[actix_web::test]
async fn a_reference_is_valid_for_one_call_refused_or_not() {
    let sandbox = Sandbox::start(&[]);
    let good = body("att-1", "pennydrop", "50100012345678");
    ok(send(&sandbox, &good).await);
    let again = send(&sandbox, &good).await;
    assert_refused(&again, 400, "error_duplicate_reference_id");
    let found = ok(look_up(&sandbox, "reference_id=att-1").await);
    assert_eq!(found["data"]["account_status"], "VALID", "the first stands");

    let mut bad = body("att-2", "pennydrop", "50100012345678");
    bad["purpose_message"] = json!("why");
    let refused = send(&sandbox, &bad).await;
    assert_refused(&refused, 400, "error_invalid_purpose_message_length");
    let corrected = send(&sandbox, &body("att-2", "pennydrop", "50100012345678")).await;
    assert_refused(&corrected, 400, "error_duplicate_reference_id");
    assert_eq!(sandbox.counted().await, (1, 1));
}

#[actix_web::test]
async fn of_many_calls_at_once_with_one_reference_one_is_served() {
    let sandbox = Sandbox::start(&["--sandbox-threads", "4"]);
    let good = body("att-1", "pennydrop", "50100012345678");
    let replies = join_all((0..40).map(|_| send(&sandbox, &good))).await;
    let served = replies.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(served, 1);
    assert_eq!(sandbox.counted().await, (1, 1));
}

#[actix_web::test]
async fn a_limited_consumer_meets_the_velocity_limit() {
    let sandbox = Sandbox::start(&[]);
    for (place, (account, status)) in [
        ("50100012345678", 200),
        ("50100012345678", 200),
        ("50100012345678", 200),
        ("50100012345678", 429),
        ("50100012345679", 200),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = body(&format!("v{place}"), "pennydrop", account);
        request["consumer_urn"] = json!(LIMITED_CONSUMER_URN);
        let shown = send(&sandbox, &request).await;
        if status == 429 {
            assert_refused(&shown, 429, "error_velocity_limit_exceeded");
        } else {
            ok(shown);
        }
    }
    // The published consumer has no limit.
    validate(&sandbox, "free", "pennydrop", "50100012345678").await;
    assert_eq!(sandbox.counted().await, (5, 5));
}

#[actix_web::test]
async fn a_pending_validation_is_settled_later() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "1000"]);
    let began = Instant::now();
    let shown = validate(&sandbox, "p1", "pennydrop", "12399009911").await;
    assert_eq!(shown["api_status"], "PENDING");
    assert_eq!(shown["data"]["account_status"], "PENDING");
    assert!(shown["data"]["beneficiary_name"].is_null());
    let never = validate(&sandbox, "p2", "pennydrop", "12399009913").await;
    assert_eq!(never["api_status"], "PENDING");
    let asked = ok(look_up(&sandbox, "reference_id=p1").await);
    assert_eq!(asked["api_status"], "SUCCESS", "the look-up");
    assert_eq!(asked["data"]["account_status"], "PENDING");
    wait_for("an outcome", async || {
        ok(look_up(&sandbox, "reference_id=p1").await)["data"]["account_status"] == "VALID"
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    let never = ok(look_up(&sandbox, "reference_id=p2").await);
    assert_eq!(never["data"]["account_status"], "PENDING");
    assert_eq!(sandbox.counted().await, (2, 2));
}

#[actix_web::test]
async fn a_refused_call_does_not_drop() {
    let sandbox = Sandbox::start(&[]);
    let good = body("att-1", "pennydrop", "50100012345678");
    for (id, secret) in [
        (None, Some(CLIENT_SECRET)),
        (Some(CLIENT_ID), None),
        (Some(CLIENT_ID), Some("guess")),
        (Some("somebody"), Some(CLIENT_SECRET)),
    ] {
        let mut request = sandbox.request(Method::POST, VALIDATE).json(&good);
        for (name, value) in [("client_id", id), ("client_secret", secret)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        assert_refused(&reply(request).await, 401, "error_unauthorized");
    }
    let broken = authorized(sandbox.request(Method::POST, VALIDATE)).body("{");
    assert_refused(&reply(broken).await, 400, "error_malformed_request");
    let mut mistyped = good.clone();
    mistyped["perform_name_match"] = json!("yes");
    assert_refused(
        &send(&sandbox, &mistyped).await,
        400,
        "error_malformed_request",
    );

    for (place, (switch, status, key)) in [
        (
            "insufficient_balance",
            400,
            "error_insufficient_prepaid_credits",
        ),
        ("refuse_ip", 403, "error_ip_not_whitelisted"),
    ]
    .into_iter()
    .enumerate()
    {
        sandbox
            .set_behaviour(&json!({"gateway": "DECENTRO", switch: true}))
            .await;
        let request = body(&format!("r{place}"), "pennydrop", "50100012345678");
        assert_refused(&send(&sandbox, &request).await, status, key);
    }
    for (behaviour, status, key) in [
        (json!({"reject_rate": 1}), 429, "error_too_many_requests"),
        (
            json!({"error_rate": 1, "errors": "before_work"}),
            500,
            "error_decentro_error",
        ),
    ] {
        let mut behaviour = behaviour;
        behaviour["gateway"] = json!("DECENTRO");
        sandbox.set_behaviour(&behaviour).await;
        assert_refused(&send(&sandbox, &good).await, status, key);
    }
    assert_eq!(sandbox.counted().await, (0, 0));

    sandbox
        .set_behaviour(&json!({"gateway": "DECENTRO", "unknown_code": true}))
        .await;
    let shown = ok(send(&sandbox, &good).await);
    let word = shown["data"]["account_status"].as_str().unwrap();
    assert!(!["VALID", "INVALID", "NRE", "INCONCLUSIVE", "PENDING"].contains(&word));
}
