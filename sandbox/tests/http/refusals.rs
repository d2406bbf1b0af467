//! Cashfree's refusals: 401, 400 and 404, each with `{code, message, type}`, and nothing counted.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Sandbox, penny_drop, reply};

fn assert_refused((status, body): &(u16, Value), expected: u16, code: &str) {
    assert_eq!((*status, &body["code"]), (expected, &json!(code)), "{body}");
    assert!(body["message"].is_string() && body["type"].is_string());
    assert_eq!(body.as_object().unwrap().len(), 3);
}

#[actix_web::test]
async fn without_the_right_credentials_nothing_is_done() {
    let sandbox = Sandbox::start(&[]);
    let body = json!({"bank_account": "123456", "ifsc": "HDFC0000001"});
    for (id, secret) in [
        (None, None),
        (Some("sandbox_client"), None),
        (None, Some("sandbox_secret")),
        (Some("sandbox_client"), Some("guess")),
        (Some("somebody"), Some("sandbox_secret")),
    ] {
        for (method, path) in [
            (Method::POST, "/bank-account/sync"),
            (Method::POST, "/bank-account/async"),
            (Method::GET, "/bank-account?user_id=a"),
            (Method::POST, "/upi/penny-drop"),
            (Method::POST, "/upi"),
            (Method::GET, "/upi?verification_id=a"),
        ] {
            let mut request = sandbox.bare(method, path).json(&body);
            for (name, value) in [("x-client-id", id), ("x-client-secret", secret)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            assert_refused(&reply(request).await, 401, "authentication_failed");
        }
    }
    assert_eq!(sandbox.counted().await, (0, 0));
}

#[actix_web::test]
async fn bank_fields_outside_their_limits_are_refused() {
    let sandbox = Sandbox::start(&[]);
    let good = json!({"bank_account": "123456", "ifsc": "HDFC0000001"});
    for (field, value, code) in [
        ("bank_account", Value::Null, "bank_account_missing"),
        ("bank_account", json!("12345"), "bank_account_length_short"),
        (
            "bank_account",
            json!("9".repeat(41)),
            "bank_account_length_exceeded",
        ),
        (
            "bank_account",
            json!("1234-56"),
            "bank_account_value_invalid",
        ),
        ("bank_account", json!(123_456), "bad_request"),
        ("ifsc", Value::Null, "ifsc_missing"),
        ("ifsc", json!("HDFC1000001"), "ifsc_value_invalid"),
        ("name", json!("a".repeat(101)), "name_length_exceeded"),
        ("phone", json!("1234567"), "phone_length_short"),
        ("user_id", json!("att-1"), "user_id_value_invalid"),
        ("user_id", json!("a".repeat(41)), "user_id_length_exceeded"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = sandbox.post("/bank-account/async", &body).await;
        assert_refused(&refused, 400, code);
        if field != "user_id" {
            let refused = sandbox.post("/bank-account/sync", &body).await;
            assert_refused(&refused, 400, code);
        }
    }
    let broken = sandbox
        .cashfree(Method::POST, "/bank-account/sync")
        .body("{\"bank_account\":");
    assert_refused(&reply(broken).await, 400, "bad_request");
    assert_eq!(sandbox.counted().await, (0, 0));
}

#[actix_web::test]
async fn a_upi_penny_drop_needs_its_version_and_consent() {
    let sandbox = Sandbox::start(&[]);
    for (version, code) in [
        (None, "x-api-version_missing"),
        (Some("2023-12-18"), "x-api-version_value_invalid"),
    ] {
        let mut request = sandbox
            .bare(Method::POST, "/upi/penny-drop")
            .header("x-client-id", "sandbox_client")
            .header("x-client-secret", "sandbox_secret")
            .json(&penny_drop("v-1", "asha@upi"));
        if let Some(version) = version {
            request = request.header("x-api-version", version);
        }
        assert_refused(&reply(request).await, 400, code);
    }
    for (pointer, value, code) in [
        ("/user_consent", Value::Null, "user_consent_missing"),
        (
            "/user_consent/obtained",
            json!(false),
            "user_consent.obtained_value_invalid",
        ),
        (
            "/user_consent/type",
            json!("IMPLICIT"),
            "user_consent.type_value_invalid",
        ),
        (
            "/user_consent/timestamp",
            Value::Null,
            "user_consent.timestamp_missing",
        ),
        (
            "/user_consent/purpose",
            Value::Null,
            "user_consent.purpose_missing",
        ),
        (
            "/verification_id",
            json!("a b"),
            "verification_id_value_invalid",
        ),
        ("/vpa", json!("asha"), "vpa_value_invalid"),
        ("/name", json!("a".repeat(101)), "name_length_exceeded"),
    ] {
        let mut body = penny_drop("v-1", "asha@upi");
        *body.pointer_mut(pointer).unwrap() = value;
        assert_refused(&sandbox.post("/upi/penny-drop", &body).await, 400, code);
    }
    assert_eq!(sandbox.counted().await, (0, 0));
    let (status, _) = sandbox
        .post("/upi/penny-drop", &penny_drop("v-1", "asha@upi"))
        .await;
    assert_eq!(status, 200, "a refused call does not use its id up");
}

#[actix_web::test]
async fn an_unknown_verification_is_not_found() {
    let sandbox = Sandbox::start(&[]);
    for (path, code) in [
        ("/bank-account?reference_id=1", "reference_id_not_found"),
        ("/bank-account?user_id=nobody", "user_id_not_found"),
        ("/upi?verification_id=nobody", "verification_id_not_found"),
    ] {
        assert_refused(&sandbox.get(path).await, 404, code);
    }
    for (path, code) in [
        ("/bank-account", "reference_id_missing"),
        (
            "/bank-account?reference_id=one",
            "reference_id_value_invalid",
        ),
        ("/bank-account?user_id=a-b", "user_id_value_invalid"),
        ("/upi", "verification_id_missing"),
    ] {
        assert_refused(&sandbox.get(path).await, 400, code);
    }
}
