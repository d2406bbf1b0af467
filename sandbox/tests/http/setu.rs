//! Setu: bank accounts in both modes, VPAs by UMAP, and the events.

use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;
use chrono::DateTime;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use khata_sandbox::setu::{
    CLIENT_ID, CLIENT_SECRET, MERCHANT_ID, PRODUCT_INSTANCE_ID, UMAP_CLIENT_ID, UMAP_CLIENT_SECRET,
    UMAP_TOKEN, WEBHOOK_SECRET,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::receiver::Receiver;
use crate::support::{Sandbox, ok, reply, wait_for};

const SYNC: &str = "/setu/api/verify/ban";
const ASYNC: &str = "/setu/api/verify/ban/async";
const LOGIN: &str = "/setu/umap/v1/users/login";
const VPA: &str = "/setu/umap/api/v1/merchants/customer-vpas/verify";

/// The codes in the order of Setu's table, without their BAV.
const CODES: [&str; 58] = [
    "1000", "00", "03", "08", "12", "17", "19", "20", "34", "52", "76", "78", "84", "91", "92",
    "94", "NF", "CU", "XF", "FLD", "IU", "M0", "M1", "M2", "M3", "M4", "M5", "M6", "M7", "M8",
    "MI", "MJ", "MN", "MP", "MQ", "MS", "REF", "MT", "MW", "51", "NC", "NR", "RET", "RM1", "1009",
    "XU", "1001", "1004", "1008", "1010", "1012", "1013", "1014", "1015", "1016", "1017", "2000",
    "2001",
];

fn authorized(request: RequestBuilder) -> RequestBuilder {
    request
        .header("x-client-id", CLIENT_ID)
        .header("x-client-secret", CLIENT_SECRET)
        .header("x-product-instance-id", PRODUCT_INSTANCE_ID)
}

async fn sync(sandbox: &Sandbox, account: &str, ifsc: &str) -> (u16, Value) {
    let body = json!({"ifsc": ifsc, "accountNumber": account});
    reply(authorized(sandbox.request(Method::POST, SYNC)).json(&body)).await
}

async fn send_async(sandbox: &Sandbox, account: &str, ifsc: &str) -> String {
    let body = json!({"ifsc": ifsc, "accountNumber": account, "narration": "to pay out"});
    let receipt = ok(reply(authorized(sandbox.request(Method::POST, ASYNC)).json(&body)).await);
    assert_eq!(receipt.as_object().unwrap().len(), 1);
    receipt["id"].as_str().unwrap().to_owned()
}

async fn look_up(sandbox: &Sandbox, id: &str) -> (u16, Value) {
    reply(authorized(
        sandbox.request(Method::GET, &format!("{ASYNC}/{id}")),
    ))
    .await
}

fn umap(request: RequestBuilder) -> RequestBuilder {
    request
        .bearer_auth(UMAP_TOKEN)
        .header("merchantId", MERCHANT_ID)
}

async fn send_vpa(sandbox: &Sandbox, vpa: &str) -> Value {
    let body = json!({"customerVpa": vpa, "merchantReferenceId": "att-1"});
    ok(reply(umap(sandbox.request(Method::POST, VPA)).json(&body)).await)
}

async fn look_up_vpa(sandbox: &Sandbox, id: &Value) -> Value {
    let path = format!("{VPA}/{}", id.as_str().unwrap());
    ok(reply(umap(sandbox.request(Method::GET, &path))).await)
}

fn members(value: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

fn assert_verified(reply: &Value, code: &str) {
    assert_eq!(
        members(reply),
        ["code", "data", "id", "message", "traceId", "verification"]
    );
    assert_eq!(reply["code"], code);
    assert_eq!(reply["verification"], "success");
    let data = &reply["data"];
    assert_eq!(
        members(data),
        ["name", "transactionReference", "verifiedAt"]
    );
    let reference = data["transactionReference"].as_str().unwrap();
    assert!(reference.len() == 12 && reference.bytes().all(|byte| byte.is_ascii_digit()));
    let verified_at = data["verifiedAt"].as_str().unwrap();
    assert!(DateTime::parse_from_rfc3339(verified_at).is_ok() && verified_at.ends_with("+00:00"));
}

fn assert_failed(reply: &Value, code: &str, message: &str) {
    assert_eq!(
        members(reply),
        ["code", "id", "message", "traceId", "verification"]
    );
    assert_eq!(reply["code"], code);
    assert_eq!(reply["message"], message);
    assert_eq!(reply["verification"], "failed");
}

fn assert_pending(reply: &Value) {
    assert_eq!(members(reply), ["id", "traceId", "verification"]);
    assert_eq!(reply["verification"], "pending");
}

fn assert_refused((status, body): &(u16, Value), expected: u16, code: &str) {
    assert_eq!(
        (*status, &body["error"]["code"]),
        (expected, &json!(code)),
        "{body}"
    );
    assert_eq!(members(&body["error"]), ["code", "detail", "traceId"]);
}

#[actix_web::test]
async fn published_accounts_have_their_replies_in_both_modes() {
    let sandbox = Sandbox::start(&[]);
    for (account, ifsc, message) in [
        ("1234567890", "ABCD0123456", None),
        ("1234567890", "HDFC0000001", None),
        (
            "1234567890",
            "ABCD0123457",
            Some("This transaction is not valid for this account."),
        ),
        (
            "1234567890",
            "ABCD0123458",
            Some("The transaction limit for this account may have been reached."),
        ),
        (
            "1234567890",
            "ABCD0123467",
            Some("This account does not exist or is invalid."),
        ),
        (
            "0987654321",
            "DCBA6543210",
            Some("This account does not exist or is invalid."),
        ),
    ] {
        let synced = ok(sync(&sandbox, account, ifsc).await);
        let id = send_async(&sandbox, account, ifsc).await;
        let asked = ok(look_up(&sandbox, &id).await);
        assert_eq!(asked["id"], id.as_str());
        assert_ne!(synced["id"], asked["id"]);
        for reply in [synced, asked] {
            match message {
                None => {
                    assert_verified(&reply, "BAV00");
                    assert_eq!(reply["message"], "Account exists and is active.");
                }
                Some(message) => assert_failed(&reply, "BAVM1", message),
            }
        }
    }
}

#[actix_web::test]
async fn the_published_upstream_error_and_the_one_that_never_ends() {
    let sandbox = Sandbox::start(&[]);
    let id = send_async(&sandbox, "1234567890", "ABCD0123459").await;
    let asked = look_up(&sandbox, &id).await;
    assert_refused(&asked, 500, "upstream_service_error");
    assert_eq!(asked.1["id"], id.as_str());
    let synced = sync(&sandbox, "1234567890", "ABCD0123459").await;
    assert_refused(&synced, 500, "upstream_service_error");
    assert!(synced.1["id"].is_string());

    let id = send_async(&sandbox, "1234567890", "ABCD0123450").await;
    let pending = ok(look_up(&sandbox, &id).await);
    assert_pending(&pending);
    let pending = ok(sync(&sandbox, "1234567890", "ABCD0123450").await);
    assert_pending(&pending);
    let id = pending["id"].as_str().unwrap();
    assert_pending(&ok(look_up(&sandbox, id).await));
    assert_eq!(sandbox.counted().await, (4, 2), "each of them dropped");
}

#[actix_web::test]
async fn every_code_can_be_selected() {
    let sandbox = Sandbox::start(&[]);
    for (row, code) in CODES.into_iter().enumerate() {
        let account = format!("123990088{row:02}");
        let reply = ok(sync(&sandbox, &account, "HDFC0000001").await);
        if matches!(code, "00" | "M0") {
            assert_verified(&reply, &format!("BAV{code}"));
        } else {
            let message = reply["message"].as_str().unwrap().to_owned();
            assert!(!message.is_empty());
            assert_failed(&reply, &format!("BAV{code}"), &message);
        }
    }
    assert_eq!(sandbox.counted().await, (58, 58));
}

#[actix_web::test]
async fn scenarios_end_in_setu_s_codes() {
    let sandbox = Sandbox::start(&[]);
    for (row, code) in [
        (31, "BAVM1"),
        (32, "BAVMJ"),
        (33, "BAVM5"),
        (34, "BAVM3"),
        (35, "BAV34"),
        (36, "BAVM4"),
        (41, "BAVM7"),
        (42, "BAV91"),
        (43, "BAV91"),
        (43, "BAV00"),
    ] {
        let reply = ok(sync(&sandbox, &format!("123990099{row}"), "HDFC0000001").await);
        assert_eq!(reply["code"], code, "{row}");
    }
    for (row, name) in [(21, ""), (22, "VERIFIED"), (23, "NA"), (24, "ZUBIN IRANI")] {
        let reply = ok(sync(&sandbox, &format!("123990099{row}"), "HDFC0000001").await);
        assert_verified(&reply, "BAV00");
        assert_eq!(reply["data"]["name"], name);
    }
    let plain = ok(sync(&sandbox, "50100012345678", "HDFC0000001").await);
    assert!(!plain["data"]["name"].as_str().unwrap().is_empty());
}

#[actix_web::test]
async fn async_outcomes_come_in_their_time() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "1000"]);
    let began = Instant::now();
    let valid = send_async(&sandbox, "12399009911", "HDFC0000001").await;
    let invalid = send_async(&sandbox, "12399009912", "HDFC0000001").await;
    let never = send_async(&sandbox, "12399009913", "HDFC0000001").await;
    let synced = ok(sync(&sandbox, "12399009911", "HDFC0000001").await);
    assert_pending(&synced);
    for id in [&valid, &invalid, &never] {
        assert_pending(&ok(look_up(&sandbox, id).await));
    }
    wait_for("an outcome", async || {
        ok(look_up(&sandbox, &valid).await)["verification"] != "pending"
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    let late = synced["id"].as_str().unwrap();
    for sent_later in [&invalid, late] {
        wait_for("an outcome", async || {
            ok(look_up(&sandbox, sent_later).await)["verification"] != "pending"
        })
        .await;
    }
    assert_verified(&ok(look_up(&sandbox, &valid).await), "BAV00");
    assert_verified(&ok(look_up(&sandbox, late).await), "BAV00");
    assert_eq!(ok(look_up(&sandbox, &invalid).await)["code"], "BAVM1");
    assert_pending(&ok(look_up(&sandbox, &never).await));

    sandbox
        .set_behaviour(&json!({"gateway": "SETU", "pending_ms": 60_000}))
        .await;
    let id = send_async(&sandbox, "50100012345678", "HDFC0000001").await;
    assert_pending(&ok(look_up(&sandbox, &id).await));
    let synced = ok(sync(&sandbox, "50100012345678", "HDFC0000001").await);
    assert_verified(&synced, "BAV00");
}

#[actix_web::test]
async fn a_second_drop_into_an_account_is_seen() {
    let sandbox = Sandbox::start(&[]);
    ok(sync(&sandbox, "50100012345678", "HDFC0000001").await);
    send_async(&sandbox, "50100012345678", "HDFC0000001").await;
    ok(sync(&sandbox, "50100012345678", "HDFC0000002").await);
    let drops = sandbox.drops().await;
    assert_eq!(
        (&drops["total"], &drops["distinct_references"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(drops["drops"][0]["count"], 2);
    assert_eq!(drops["drops"][0]["gateway"], "SETU");
    assert!(!drops.to_string().contains("50100012345678"));
}

#[actix_web::test]
async fn a_refused_call_does_not_drop() {
    let sandbox = Sandbox::start(&[]);
    let good = json!({"ifsc": "HDFC0000001", "accountNumber": "50100012345678", "narration": "a"});
    for missing in ["x-client-id", "x-client-secret", "x-product-instance-id"] {
        for (name, wrong) in [(missing, None), (missing, Some("guess"))] {
            let mut request = sandbox.request(Method::POST, SYNC).json(&good);
            for (header, value) in [
                ("x-client-id", CLIENT_ID),
                ("x-client-secret", CLIENT_SECRET),
                ("x-product-instance-id", PRODUCT_INSTANCE_ID),
            ] {
                if header != name {
                    request = request.header(header, value);
                } else if let Some(wrong) = wrong {
                    request = request.header(header, wrong);
                }
            }
            assert_refused(&reply(request).await, 401, "unauthorized");
        }
    }
    for (field, value) in [
        ("ifsc", Value::Null),
        ("ifsc", json!("HDFC000001")),
        ("ifsc", json!("HDFC-000001")),
        ("accountNumber", Value::Null),
        ("accountNumber", json!("50100-12345678")),
        ("accountNumber", json!(50_100_012_345_678_u64)),
        ("narration", Value::Null),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let request = authorized(sandbox.request(Method::POST, ASYNC)).json(&body);
        assert_refused(&reply(request).await, 400, "bad_request");
    }
    assert_refused(&look_up(&sandbox, "nobody").await, 404, "request_not_found");

    for (switch, status, code) in [
        ("insufficient_balance", 402, "insufficient_balance"),
        ("refuse_ip", 403, "forbidden"),
    ] {
        sandbox
            .set_behaviour(&json!({"gateway": "SETU", switch: true}))
            .await;
        let refused = sync(&sandbox, "50100012345678", "HDFC0000001").await;
        assert_refused(&refused, status, code);
    }
    sandbox
        .set_behaviour(&json!({"gateway": "SETU", "reject_rate": 1}))
        .await;
    let refused = sync(&sandbox, "50100012345678", "HDFC0000001").await;
    assert_refused(&refused, 429, "too_many_requests");
    assert_eq!(sandbox.counted().await, (0, 0));

    sandbox
        .set_behaviour(&json!({"gateway": "SETU", "error_rate": 1, "errors": "after_work"}))
        .await;
    let failed = sync(&sandbox, "50100012345678", "HDFC0000001").await;
    assert_refused(&failed, 500, "internal_server_error");
    assert_eq!(sandbox.counted().await, (1, 1), "the work was done");
}

#[actix_web::test]
async fn an_unknown_code_is_returned_when_set() {
    let sandbox = Sandbox::start(&[]);
    let id = send_async(&sandbox, "50100012345678", "HDFC0000001").await;
    sandbox
        .set_behaviour(&json!({"gateway": "SETU", "unknown_code": true}))
        .await;
    let shown = ok(look_up(&sandbox, &id).await);
    assert!(
        !CODES
            .iter()
            .any(|code| shown["code"] == format!("BAV{code}"))
    );
    assert!(shown["code"].is_string());
}

#[actix_web::test]
async fn the_bank_notification_has_no_code_and_no_signature() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "200"]);
    let receiver = Receiver::start(&[]);
    sandbox
        .set_webhook(&json!({"gateway": "SETU", "url": receiver.url}))
        .await;
    for (account, ifsc, verification) in [
        ("50100012345678", "HDFC0000001", "success"),
        ("12399009911", "HDFC0000001", "success"),
        ("12399009931", "HDFC0000001", "failed"),
    ] {
        let before = receiver.events().len();
        let id = send_async(&sandbox, account, ifsc).await;
        let event = receiver.wait(before + 1).await.remove(before);
        assert!(!event.headers.contains_key("x-setu-signature"));
        let shown = event.json();
        assert_eq!(members(&shown), ["data", "event", "timeStamp"]);
        assert_eq!(shown["event"], "BAV_WEBHOOK_NOTIFICATION");
        let at = shown["timeStamp"].as_str().unwrap();
        assert!(DateTime::parse_from_rfc3339(at).is_ok() && at.ends_with("+05:30"));
        let bav = &shown["data"]["bav"];
        assert_eq!(members(bav), ["data", "id", "message", "verification"]);
        assert_eq!(bav["id"], id.as_str());
        assert_eq!(bav["verification"], verification);
        let asked = ok(look_up(&sandbox, &id).await);
        assert_eq!(bav["message"], asked["message"]);
        if verification == "success" {
            let mut data = bav["data"].clone();
            let match_key = data.as_object_mut().unwrap().remove("matchKey");
            assert_eq!(match_key, Some(Value::Null));
            assert_eq!(data, asked["data"]);
        } else {
            assert_eq!(bav["data"], json!({}));
        }
    }
    // A sync call, one that ends in an error and one that never ends have no event.
    ok(sync(&sandbox, "50100012345678", "HDFC0000001").await);
    send_async(&sandbox, "1234567890", "ABCD0123459").await;
    send_async(&sandbox, "1234567890", "ABCD0123450").await;
    sleep(Duration::from_millis(400)).await;
    assert_eq!(receiver.events().len(), 3);
}

#[actix_web::test]
async fn a_vpa_is_pending_before_its_outcome() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "1000"]);
    let pending = send_vpa(&sandbox, "asha@okhdfcbank").await;
    assert_eq!(
        members(&pending),
        [
            "createdAt",
            "customerVpa",
            "id",
            "merchantId",
            "merchantReferenceId",
            "status"
        ]
    );
    assert_eq!(pending["status"], "pending");
    assert_eq!(pending["merchantReferenceId"], "att-1");
    assert_eq!(pending["customerVpa"], "asha@okhdfcbank");
    assert_eq!(pending["id"].as_str().unwrap().len(), 26);
    let valid = look_up_vpa(&sandbox, &pending["id"]).await;
    assert_eq!(valid["status"], "valid");
    assert_eq!(valid["customerAccountType"], "SAVINGS");
    assert!(!valid["customerName"].as_str().unwrap().is_empty());
    for same in ["createdAt", "id", "merchantId", "merchantReferenceId"] {
        assert_eq!(valid[same], pending[same]);
    }

    for (row, status) in [
        (31, "invalid"),
        (36, "valid"),
        (42, "failed"),
        (13, "pending"),
    ] {
        let asked = send_vpa(&sandbox, &format!("asha.990099{row}@upi")).await;
        let shown = look_up_vpa(&sandbox, &asked["id"]).await;
        assert_eq!(shown["status"], status, "{row}");
        assert_eq!(shown["customerName"].is_string(), status == "valid");
        assert_eq!(shown["reason"].is_object(), status == "failed");
    }
    let late = send_vpa(&sandbox, "asha.99009912@upi").await;
    assert_eq!(
        look_up_vpa(&sandbox, &late["id"]).await["status"],
        "pending"
    );
    wait_for("an outcome", async || {
        look_up_vpa(&sandbox, &late["id"]).await["status"] == "invalid"
    })
    .await;
    assert_eq!(sandbox.counted().await, (0, 0), "a look-up moves no money");
}

#[actix_web::test]
async fn umap_takes_either_name_of_the_reference_and_refuses_in_its_own_words() {
    let sandbox = Sandbox::start(&[]);
    let by_document = json!({"customerVpa": "asha@upi", "referenceId": "att-2"});
    let shown = ok(reply(umap(sandbox.request(Method::POST, VPA)).json(&by_document)).await);
    assert_eq!(shown["referenceId"], "att-2");
    assert!(shown.get("merchantReferenceId").is_none());

    let bare = sandbox.request(Method::POST, VPA).json(&by_document);
    let unknown = umap(sandbox.request(Method::GET, &format!("{VPA}/nobody")));
    let wrong_merchant = sandbox
        .request(Method::POST, VPA)
        .bearer_auth(UMAP_TOKEN)
        .header("merchantId", "somebody")
        .json(&by_document);
    let bad_vpa =
        |vpa: &str| umap(sandbox.request(Method::POST, VPA)).json(&json!({"customerVpa": vpa}));
    for (request, status, code) in [
        (bare, 403, "forbidden"),
        (wrong_merchant, 403, "forbidden"),
        (unknown, 404, "not-found"),
        (bad_vpa("asha"), 400, "bad-request"),
        (bad_vpa("asha_rao@upi"), 400, "bad-request"),
        (bad_vpa("@upi"), 400, "bad-request"),
        (
            umap(sandbox.request(Method::POST, VPA)).body("{"),
            400,
            "bad-request",
        ),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["requestId"].len(), 26);
        let body: Value = response.json().await.unwrap();
        assert_eq!(members(&body), ["code", "detail", "docUrl"]);
        assert_eq!(body["code"], code);
    }
}

#[actix_web::test]
async fn a_token_opens_umap_that_the_account_service_gave() {
    let sandbox = Sandbox::start(&[]);
    let login = |client: &str, id: &str, secret: &str, grant: &str| {
        let body = json!({"clientID": id, "secret": secret, "grant_type": grant});
        let request = sandbox.request(Method::POST, LOGIN);
        request.header("client", client).json(&body)
    };
    let (id, secret, grant) = (UMAP_CLIENT_ID, UMAP_CLIENT_SECRET, "client_credentials");
    let shown = ok(reply(login("bridge", id, secret, grant)).await);
    assert_eq!(shown["expires_in"], 300);
    for (token, status) in [
        (shown["access_token"].as_str().unwrap(), 200),
        ("guess", 403),
    ] {
        let request = sandbox.request(Method::POST, VPA).bearer_auth(token);
        let request = request.header("merchantId", MERCHANT_ID);
        let (got, _) = reply(request.json(&json!({"customerVpa": "asha@upi"}))).await;
        assert_eq!(got, status);
    }
    for (request, status) in [
        (login("bridge", id, "guess", grant), 401),
        (login("bridge", "somebody", secret, grant), 401),
        (login("another", id, secret, grant), 400),
        (login("bridge", id, secret, "password"), 400),
    ] {
        let (got, body) = reply(request).await;
        assert_eq!(got, status);
        assert!(body["code"].is_string() && body.get("access_token").is_none());
    }
}

#[actix_web::test]
async fn the_vpa_event_is_signed_over_its_raw_body() {
    let (sandbox, receiver) = (Sandbox::start(&[]), Receiver::start(&[]));
    sandbox
        .set_webhook(&json!({"gateway": "SETU", "url": receiver.url, "out_of_order": true}))
        .await;
    let asked = send_vpa(&sandbox, "asha@okhdfcbank").await;
    let events = receiver.wait(2).await;
    for (event, status) in events.iter().zip(["valid", "pending"]) {
        let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
        mac.update(&event.body);
        let signature = BASE64
            .decode(event.header("x-setu-signature").as_bytes())
            .unwrap();
        assert!(mac.verify_slice(&signature).is_ok());
        let shown = event.json();
        assert_eq!(shown["status"], status);
        assert_eq!(shown["eventType"], format!("customer_vpa.{status}"));
        assert_eq!(shown["resource"], "customer_vpa");
        assert_eq!(shown["id"], asked["id"]);
        assert_eq!(shown["merchantReferenceId"], "att-1");
        assert_eq!(shown["customerVpa"], "asha@okhdfcbank");
        assert_eq!(shown["reason"], json!({}));
        assert_eq!(shown["customerName"].is_string(), status == "valid");
    }
    assert_ne!(events[0].json()["eventId"], events[1].json()["eventId"]);
}

#[actix_web::test]
async fn a_penniless_check_replies_at_once_and_drops_nothing() {
    const PENNILESS: &str = "/setu/api/verify/ban/pennyless";
    let sandbox = Sandbox::start(&[]);
    let check = |account: &str| {
        let body = json!({"accountNumber": account, "ifsc": "UTIB0002083"});
        reply(authorized(sandbox.request(Method::POST, PENNILESS)).json(&body))
    };
    for (account, kind) in [("1234567890", "MERCHANT"), ("1234567891", "INDIVIDUAL")] {
        let found = ok(check(account).await);
        assert_eq!(members(&found), ["data", "status", "traceId"]);
        let data = &found["data"];
        assert_eq!(
            (&found["status"], &data["entityType"]),
            (&json!("SUCCESS"), &json!(kind))
        );
        assert_eq!(data["bankAccountNumber"], account);
        assert_eq!(data.get("merchantDetails").is_some(), kind == "MERCHANT");
    }
    let invalid = ok(check("12345699009931").await);
    assert_eq!(members(&invalid), ["message", "status", "traceId"]);
    assert_eq!(invalid["message"], "Invalid bank details");
    assert_refused(
        &check("12345699009942").await,
        500,
        "upstream_service_error",
    );
    let body = json!({"ifsc": "UTIB0002083"});
    let request = authorized(sandbox.request(Method::POST, PENNILESS)).json(&body);
    assert_refused(&reply(request).await, 400, "bad_request");
    let drops: Value = ok(reply(sandbox.request(Method::GET, "/_sandbox/drops")).await);
    assert_eq!(drops["drops"], json!([]));
}
