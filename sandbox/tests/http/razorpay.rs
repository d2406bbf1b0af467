//! Razorpay: accepted and refused requests, the reply of each outcome, and that a rupee moves once.

use std::time::Duration;

use actix_web::rt::time::sleep;
use actix_web::web::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use khata_sandbox::razorpay::{KEY_ID, KEY_SECRET, SOURCE_ACCOUNT_NUMBER, WEBHOOK_SECRET};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::receiver::{Event, Receiver};
use crate::support::{Sandbox, ok, reply};

const VALIDATIONS: &str = "/razorpay/v1/fund_accounts/validations";
const LOOK_UP_VPA: &str = "/razorpay/v1/payments/validate/vpa";

fn bank(number: &str, reference_id: &str) -> Value {
    json!({
        "source_account_number": SOURCE_ACCOUNT_NUMBER,
        "validation_type": "pennydrop",
        "reference_id": reference_id,
        "notes": {"attempt": "1"},
        "fund_account": {
            "account_type": "bank_account",
            "bank_account": {
                "name": "Asha Rao", "ifsc": "HDFC0000001", "account_number": number,
            },
            "contact": {"name": "Asha Rao", "type": "customer"},
        },
    })
}

fn upi(address: &str, reference_id: &str) -> Value {
    json!({
        "source_account_number": SOURCE_ACCOUNT_NUMBER,
        "validation_type": "pennydrop",
        "reference_id": reference_id,
        "fund_account": {
            "account_type": "vpa",
            "vpa": {"address": address},
            "contact": {"name": "Asha Rao"},
        },
    })
}

impl Sandbox {
    async fn validate(&self, body: &Value) -> (u16, Value) {
        let request = self.request(Method::POST, VALIDATIONS);
        reply(request.basic_auth(KEY_ID, Some(KEY_SECRET)).json(body)).await
    }

    async fn validate_with_key(&self, key: &str, body: &Value) -> (u16, Value) {
        let request = self.request(Method::POST, VALIDATIONS);
        let request = request.header("X-Payout-Idempotency", key);
        reply(request.basic_auth(KEY_ID, Some(KEY_SECRET)).json(body)).await
    }

    async fn validation(&self, id: &Value) -> (u16, Value) {
        let path = format!("{VALIDATIONS}/{}", id.as_str().unwrap());
        let request = self.request(Method::GET, &path);
        reply(request.basic_auth(KEY_ID, Some(KEY_SECRET))).await
    }

    /// Validates and looks up the outcome.
    async fn ended(&self, body: &Value) -> Value {
        let created = ok(self.validate(body).await);
        assert_eq!(created["status"], "created", "always");
        ok(self.validation(&created["id"]).await)
    }

    async fn vpa(&self, vpa: &str) -> (u16, Value) {
        let request = self.request(Method::POST, LOOK_UP_VPA);
        let request = request.basic_auth(KEY_ID, Some(KEY_SECRET));
        reply(request.json(&json!({"vpa": vpa}))).await
    }
}

fn assert_refused((status, body): &(u16, Value), expected: u16, reason: &str) {
    let error = &body["error"];
    assert_eq!(
        (*status, &error["reason"]),
        (expected, &json!(reason)),
        "{body}"
    );
    for member in ["code", "description", "source"] {
        assert!(!error[member].as_str().unwrap().is_empty(), "{member}");
    }
    assert!(error["metadata"].is_object());
}

#[actix_web::test]
async fn a_bank_account_is_created_first_and_completed_later() {
    let sandbox = Sandbox::start(&[]);
    sandbox
        .set_behaviour(&json!({"gateway": "RAZORPAY", "pending_ms": 1_000}))
        .await;
    let created = ok(sandbox.validate(&bank("123456781234", "att_1")).await);
    let id = created["id"].as_str().unwrap();
    assert!(id.len() == 18 && id.starts_with("fav_"));
    assert_eq!(created["entity"], "fund_account.validation");
    assert_eq!(created["status"], "created");
    assert_eq!(created["reference_id"], "att_1");
    assert_eq!(created["notes"], json!({"attempt": "1"}));
    assert!(created["utr"].is_null());
    for (name, value) in created["validation_results"].as_object().unwrap() {
        assert!(value.is_null(), "{name}");
    }
    assert_eq!(
        created["status_details"]["reason"],
        "validation_request_created"
    );
    let account = &created["fund_account"];
    assert_eq!(account["account_type"], "bank_account");
    assert_eq!(account["bank_account"]["account_number"], "123456781234");
    assert_eq!(account["contact"]["type"], "customer");
    assert_eq!(ok(sandbox.validation(&created["id"]).await), created);

    sleep(Duration::from_secs(1)).await;
    let completed = ok(sandbox.validation(&created["id"]).await);
    assert_eq!(completed["id"], created["id"]);
    assert_eq!(completed["status"], "completed");
    let results = &completed["validation_results"];
    assert_eq!(results["account_status"], "active");
    assert_eq!(results["registered_name"], "ASHA RAO");
    assert_eq!(results["name_match_score"], 100);
    assert_eq!(results["validated_account_type"], "bank_account");
    let found = &results["bank_account"];
    assert_eq!(found["account_number"], "XXXXXXXX1234");
    assert_eq!(found["bank_routing_code"], "HDFC0000001");
    let utr = completed["utr"].as_str().unwrap();
    assert!(utr.len() == 12 && utr.bytes().all(|byte| byte.is_ascii_digit()));
    assert_eq!(
        completed["status_details"]["reason"],
        "validation_completed"
    );
}

#[actix_web::test]
async fn a_vpa_leads_to_the_account_behind_it() {
    let sandbox = Sandbox::start(&[]);
    let completed = sandbox.ended(&upi("asha@okhdfcbank", "att_1")).await;
    assert_eq!(completed["status"], "completed");
    let results = &completed["validation_results"];
    assert_eq!(results["account_status"], "active");
    let holder = results["registered_name"].as_str().unwrap();
    assert!(
        holder.len() > 5 && holder != "ASHA RAO",
        "not the contact's"
    );
    assert!(results["bank_account"]["bank_routing_code"].is_string());
    assert_eq!(completed["fund_account"]["account_type"], "vpa");
    assert_eq!(completed["notes"], json!([]), "none sent");
    assert_eq!(
        completed["fund_account"]["vpa"],
        json!({"address": "asha@okhdfcbank"})
    );

    let wrong = sandbox
        .ended(&upi("asha.99009931@okhdfcbank", "att_2"))
        .await;
    assert_eq!(wrong["status"], "failed");
    assert_eq!(wrong["status_details"]["reason"], "beneficiary_vpa_invalid");
    assert_eq!(sandbox.counted().await, (2, 2));
}

#[actix_web::test]
async fn only_a_penny_drop_drops() {
    let sandbox = Sandbox::start(&[]);
    for (kind, dropped) in [("penniless", 0), ("pennydrop", 1), ("optimized", 2)] {
        let mut body = bank("123456", kind);
        body["validation_type"] = json!(kind);
        let completed = sandbox.ended(&body).await;
        assert_eq!(completed["utr"].is_null(), kind == "penniless");
        assert_eq!(sandbox.counted().await, (dropped, dropped), "{kind}");
    }
    let mut nameless = bank("123456", "none");
    nameless.as_object_mut().unwrap().remove("reference_id");
    let completed = sandbox.ended(&nameless).await;
    assert!(completed["reference_id"].is_null());
    let drops = sandbox.drops().await;
    assert_eq!(drops["drops"][2]["reference"], completed["id"]);
    assert_eq!(drops["drops"][0]["gateway"], "RAZORPAY");
}

#[actix_web::test]
async fn a_key_is_valid_for_one_request() {
    let sandbox = Sandbox::start(&[]);
    let body = bank("123456", "att_1");
    let first = ok(sandbox.validate_with_key("key-1", &body).await);
    let again = ok(sandbox.validate_with_key("key-1", &body).await);
    assert_eq!(again, first, "as it was answered, though it has ended");
    assert_eq!(sandbox.counted().await, (1, 1));

    let refused = sandbox
        .validate_with_key("key-1", &bank("123457", "att_1"))
        .await;
    assert_refused(&refused, 400, "input_validation_failed");
    assert_eq!(refused.1["error"]["field"], "X-Payout-Idempotency");
    assert_eq!(sandbox.counted().await, (1, 1));

    let other = ok(sandbox.validate_with_key("key-2", &body).await);
    assert_ne!(other["id"], first["id"]);
    ok(sandbox.validate(&body).await);
    assert_eq!(
        sandbox.counted().await,
        (3, 1),
        "without a key it is done again"
    );

    let refused = sandbox.validate_with_key("k/1", &body).await;
    assert_refused(&refused, 400, "input_validation_failed");
}

#[actix_web::test]
async fn a_key_survives_a_lost_reply() {
    let sandbox = Sandbox::start(&[]);
    let body = bank("123456", "att_1");
    for fault in [
        json!({"error_rate": 1, "errors": "after_work"}),
        json!({"reset_rate": 1}),
        json!({"error_rate": 1, "errors": "before_work"}),
    ] {
        let mut behaviour = fault;
        behaviour["gateway"] = json!("RAZORPAY");
        sandbox.set_behaviour(&behaviour).await;
        let request = sandbox
            .request(Method::POST, VALIDATIONS)
            .header("X-Payout-Idempotency", "key-1")
            .basic_auth(KEY_ID, Some(KEY_SECRET))
            .json(&body);
        let lost = request.send().await;
        assert!(lost.is_err() || lost.is_ok_and(|reply| reply.status() == 500));
    }
    sandbox.set_behaviour(&json!({"gateway": "RAZORPAY"})).await;
    let found = ok(sandbox.validate_with_key("key-1", &body).await);
    assert_eq!(found["status"], "created");
    assert_eq!(sandbox.counted().await, (1, 1));

    // A refusal uses no key up.
    let poor = json!({"gateway": "RAZORPAY", "insufficient_balance": true});
    sandbox.set_behaviour(&poor).await;
    let refused = sandbox.validate_with_key("key-2", &body).await;
    assert_refused(&refused, 400, "insufficient_funds");
    sandbox.set_behaviour(&json!({"gateway": "RAZORPAY"})).await;
    ok(sandbox.validate_with_key("key-2", &body).await);
    assert_eq!(sandbox.counted().await, (2, 1));
}

#[actix_web::test]
async fn two_at_once_with_one_key_drop_once() {
    let sandbox = Sandbox::start(&["--sandbox-threads", "2"]);
    let body = bank("123456", "att_1");
    let calls = (0..20).map(|_| sandbox.validate_with_key("key-1", &body));
    let mut ids: Vec<Value> = futures_util::future::join_all(calls)
        .await
        .into_iter()
        .map(|reply| ok(reply)["id"].clone())
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(sandbox.counted().await, (1, 1));
}

#[actix_web::test]
async fn every_reason_of_failed_can_be_selected() {
    let sandbox = Sandbox::start(&[]);
    for (row, reason) in [
        "gateway_technical_error",
        "gateway_timeout",
        "gateway_down",
        "beneficiary_bank_offline",
        "beneficiary_bank_failure",
        "beneficiary_bank_technical_error",
        "beneficiary_psp_offline",
        "npci_beneficiary_timeout",
        "server_error_temporary",
        "bank_account_invalid",
        "bank_account_closed",
        "bank_account_frozen",
        "beneficiary_account_dormant",
        "invalid_ifsc_code",
        "beneficiary_account_invalid",
        "imps_not_allowed",
        "beneficiary_bank_rejected",
        "server_error",
        "beneficiary_vpa_invalid",
        "insufficient_funds",
    ]
    .into_iter()
    .enumerate()
    {
        let failed = sandbox
            .ended(&bank(&format!("123990088{row:02}"), "att"))
            .await;
        assert_eq!(failed["status"], "failed");
        assert_eq!(failed["status_details"]["reason"], reason);
        assert!(failed["validation_results"]["account_status"].is_null());
        assert!(failed["utr"].is_null());
    }
}

#[actix_web::test]
async fn the_variations_of_samples_can_be_selected() {
    let sandbox = Sandbox::start(&[]);
    for (row, account_status, valid) in [
        ("30", json!("valid"), true),
        ("31", json!("invalid"), false),
        ("32", json!("inactive"), false),
        ("33", json!(""), false),
        ("34", Value::Null, false),
    ] {
        let completed = sandbox
            .ended(&bank(&format!("123990088{row}"), "att"))
            .await;
        assert_eq!(completed["status"], "completed", "it does not mean valid");
        let results = &completed["validation_results"];
        assert_eq!(results["account_status"], account_status);
        assert_eq!(results["registered_name"].is_null(), !valid);
        assert_eq!(results["bank_account"].is_null(), !valid);
    }
    let text = sandbox.ended(&bank("12399008840", "att")).await;
    assert_eq!(text["validation_results"]["name_match_score"], "100");

    let early = ok(sandbox.validate(&bank("12399008841", "att")).await);
    assert_eq!(early["status"], "created");
    let ended = ok(sandbox.validation(&early["id"]).await);
    assert_eq!(
        (&ended["utr"], early["utr"].is_string()),
        (&early["utr"], true)
    );

    let classic = sandbox.ended(&bank("12399008842", "att")).await;
    assert!(classic["validation_results"].is_null());
    assert_eq!(
        classic["results"],
        json!({"account_status": "active", "registered_name": "ASHA RAO"})
    );
    let empty = sandbox.ended(&bank("12399008843", "att")).await;
    assert_eq!(empty["validation_results"]["registered_name"], "");
    assert_eq!(empty["validation_results"]["account_status"], "active");
}

#[actix_web::test]
async fn a_number_selects_a_scenario() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "1000"]);
    let shown = |entity: &Value| {
        let results = &entity["validation_results"];
        (
            entity["status"].as_str().unwrap().to_owned(),
            match results["account_status"].as_str() {
                Some(status) => status.to_owned(),
                None => entity["status_details"]["reason"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            },
        )
    };
    for (ending, status, word) in [
        ("31", "completed", "invalid"),
        ("32", "failed", "invalid_ifsc_code"),
        ("33", "failed", "bank_account_closed"),
        ("34", "failed", "bank_account_frozen"),
        ("35", "completed", "active"),
        ("36", "completed", "active"),
        ("41", "failed", "beneficiary_bank_rejected"),
        ("42", "failed", "gateway_technical_error"),
        ("43", "failed", "gateway_technical_error"),
        ("43", "completed", "active"),
    ] {
        let ended = sandbox
            .ended(&bank(&format!("123990099{ending}"), "att"))
            .await;
        assert_eq!(shown(&ended), (status.to_owned(), word.to_owned()));
    }
    for (ending, name) in [
        ("21", Value::Null),
        ("22", json!("VERIFIED")),
        ("23", json!("NA")),
        ("24", json!("ZUBIN IRANI")),
    ] {
        let ended = sandbox
            .ended(&bank(&format!("123990099{ending}"), "att"))
            .await;
        let results = &ended["validation_results"];
        assert_eq!(results["account_status"], "active");
        assert_eq!(results["registered_name"], name);
        assert_eq!(results["name_match_score"].is_null(), name.is_null());
    }
    let mut pending = Vec::new();
    for (ending, word) in [("11", "active"), ("12", "invalid"), ("13", "")] {
        let ended = sandbox
            .ended(&bank(&format!("123990099{ending}"), "att"))
            .await;
        assert_eq!(ended["status"], "created");
        pending.push((ended["id"].clone(), word));
    }
    sleep(Duration::from_secs(1)).await;
    for (id, word) in pending {
        let ended = ok(sandbox.validation(&id).await);
        if word.is_empty() {
            assert_eq!(ended["status"], "created");
        } else {
            assert_eq!(shown(&ended), ("completed".to_owned(), word.to_owned()));
        }
    }
}

#[actix_web::test]
async fn a_vpa_is_looked_up_for_nothing() {
    let sandbox = Sandbox::start(&[]);
    let found = ok(sandbox.vpa("asha@okhdfcbank").await);
    assert_eq!(
        (&found["vpa"], &found["success"]),
        (&json!("asha@okhdfcbank"), &json!(true))
    );
    assert!(!found["customer_name"].as_str().unwrap().is_empty());
    let nameless = ok(sandbox.vpa("asha.99009921@okhdfcbank").await);
    assert_eq!(
        nameless,
        json!({"vpa": "asha.99009921@okhdfcbank", "success": true})
    );
    let wrong = ok(sandbox.vpa("asha.99009931@okhdfcbank").await);
    assert_eq!(
        wrong,
        json!({"vpa": "asha.99009931@okhdfcbank", "success": false})
    );
    let once = sandbox.vpa("asha.99009943@okhdfcbank").await;
    assert_refused(&once, 502, "gateway_technical_error");
    assert_eq!(
        ok(sandbox.vpa("asha.99009943@okhdfcbank").await)["success"],
        true
    );
    assert_refused(&sandbox.vpa("asha").await, 400, "input_validation_failed");
    assert_eq!(sandbox.counted().await, (0, 0));
}

#[actix_web::test]
async fn an_invalid_request_is_refused() {
    let sandbox = Sandbox::start(&[]);
    for (pointer, value, field) in [
        (
            "/source_account_number",
            json!("1"),
            "source_account_number",
        ),
        (
            "/source_account_number",
            Value::Null,
            "source_account_number",
        ),
        ("/validation_type", json!("guess"), "validation_type"),
        ("/reference_id", json!("r".repeat(41)), "reference_id"),
        ("/notes/attempt", json!("n".repeat(257)), "notes"),
        ("/fund_account", Value::Null, "fund_account"),
        ("/fund_account/account_type", json!("card"), "account_type"),
        ("/fund_account/bank_account", Value::Null, "bank_account"),
        ("/fund_account/bank_account/ifsc", json!("HDFC"), "ifsc"),
        ("/fund_account/bank_account/name", json!("ab"), "name"),
        (
            "/fund_account/bank_account/account_number",
            json!("1234"),
            "account_number",
        ),
        ("/fund_account/contact", Value::Null, "contact"),
        ("/fund_account/contact/name", json!("n".repeat(51)), "name"),
    ] {
        let mut body = bank("123456", "att");
        *body.pointer_mut(pointer).unwrap() = value;
        let refused = sandbox.validate(&body).await;
        assert_refused(&refused, 400, "input_validation_failed");
        assert_eq!(refused.1["error"]["field"], field, "{pointer}");
    }
    let mut penniless = upi("asha@upi", "att");
    penniless["validation_type"] = json!("penniless");
    let refused = sandbox.validate(&penniless).await;
    assert_eq!(refused.1["error"]["field"], "validation_type");

    for (row, status, reason) in [
        ("50", 404, "url_not_found"),
        ("51", 502, "gateway_technical_error"),
    ] {
        let refused = sandbox
            .validate(&bank(&format!("123990088{row}"), "att"))
            .await;
        assert_refused(&refused, status, reason);
    }
    let unknown = sandbox.validation(&json!("fav_00000000000000")).await;
    assert_refused(&unknown, 400, "input_validation_failed");

    for pair in [None, Some("guess"), Some("")] {
        let mut request = sandbox.request(Method::POST, VALIDATIONS);
        if let Some(secret) = pair {
            request = request.basic_auth(KEY_ID, Some(secret));
        }
        let refused = reply(request.json(&bank("123456", "att"))).await;
        assert_refused(&refused, 401, "authentication_failed");
    }
    assert_eq!(sandbox.counted().await, (0, 0));
}

#[actix_web::test]
async fn unknown_ids_do_not_exist() {
    let sandbox = Sandbox::start(&[]);
    for path in [
        "/razorpay/v1/fund_accounts/validations/fav_00000000000000",
        "/razorpay/v1/payments/pay_00000000000000",
    ] {
        let request = sandbox.request(Method::GET, path);
        let shown = reply(request.basic_auth(KEY_ID, Some(KEY_SECRET))).await;
        assert_refused(&shown, 400, "input_validation_failed");
        let description = &shown.1["error"]["description"];
        assert_eq!(description, "The id provided does not exist");
        let bare = reply(sandbox.request(Method::GET, path)).await;
        assert_refused(&bare, 401, "authentication_failed");
    }
}

#[actix_web::test]
async fn faults_have_razorpay_s_own_form() {
    let sandbox = Sandbox::start(&[]);
    for (behaviour, status, reason) in [
        (json!({"error_rate": 1}), 500, "server_error"),
        (json!({"reject_rate": 1}), 429, "too_many_requests"),
        (json!({"refuse_ip": true}), 400, "NA"),
    ] {
        let mut behaviour = behaviour;
        behaviour["gateway"] = json!("RAZORPAY");
        sandbox.set_behaviour(&behaviour).await;
        assert_refused(&sandbox.vpa("asha@upi").await, status, reason);
    }
    let refused = |reply: (u16, Value)| reply.1["error"]["description"].clone();
    sandbox
        .set_behaviour(&json!({"gateway": "RAZORPAY", "refuse_ip": true}))
        .await;
    let payments = refused(sandbox.vpa("asha@upi").await);
    assert_eq!(payments, "Access Denied", "the payment gateway's own words");
    let validations = refused(sandbox.validate(&bank("123456", "att")).await);
    assert!(validations.as_str().unwrap().contains("from this IP"));
    sandbox
        .set_behaviour(&json!({"gateway": "RAZORPAY", "unknown_code": true}))
        .await;
    let completed = sandbox.ended(&bank("123456", "att")).await;
    assert_eq!(
        completed["validation_results"]["account_status"],
        "A_CODE_OF_NEXT_YEAR"
    );
    let failed = sandbox.ended(&bank("12399009933", "att")).await;
    assert_eq!(failed["status_details"]["reason"], "A_CODE_OF_NEXT_YEAR");

    let poor = json!({"gateway": "RAZORPAY", "insufficient_balance": true});
    sandbox.set_behaviour(&poor).await;
    let mut penniless = bank("123456", "att");
    penniless["validation_type"] = json!("penniless");
    ok(sandbox.validate(&penniless).await);
}

fn signed(event: &Event) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(&event.body);
    let expected = format!("{:x}", Bytes::copy_from_slice(&mac.finalize().into_bytes()));
    event.header("x-razorpay-signature") == expected
}

#[actix_web::test]
async fn it_calls_back_when_a_validation_has_ended() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "100"]);
    let receiver = Receiver::start(&[]);
    let webhook = json!({
        "gateway": "RAZORPAY", "url": receiver.url, "duplicates": 1, "out_of_order": true,
    });
    sandbox.set_webhook(&webhook).await;
    for (number, kind, status) in [
        ("12399009911", "completed", "completed"),
        ("12399009912", "completed", "completed"),
        ("12399009942", "failed", "failed"),
    ] {
        let before = receiver.events().len();
        let created = ok(sandbox.validate(&bank(number, number)).await);
        let events = receiver.wait(before + 3).await.split_off(before);
        let ended = ok(sandbox.validation(&created["id"]).await);
        assert!(events.iter().all(signed));

        let shown = events[0].json();
        assert_eq!(shown["entity"], "event");
        assert_eq!(shown["event"], format!("fund_account.validation.{kind}"));
        assert_eq!(shown["contains"], json!(["fund_account.validation"]));
        assert!(shown["account_id"].is_string() && shown["created_at"].is_i64());
        let entity = &shown["payload"]["fund_account.validation"]["entity"];
        assert_eq!(entity["status"], status);
        assert_eq!(*entity, ended, "what a look-up says");

        assert_eq!(events[1].body, events[0].body);
        let ids: Vec<&str> = events
            .iter()
            .map(|event| event.header("x-razorpay-event-id"))
            .collect();
        assert_eq!(ids[0], ids[1], "the same event");
        assert_ne!(ids[0], ids[2], "another one");
        let older = &events[2].json()["payload"]["fund_account.validation"]["entity"];
        assert_eq!(*older, created);
    }
}
