//! Webhooks with Cashfree's signature.

use chrono::{TimeDelta, Utc};
use data_encoding::BASE64;
use khata_domain::{Class, Gateway};
use khata_gateways::{AttemptName, Connector, WebhookError, WebhookMessage};
use serde_json::{Value, json};

use crate::support::{connector, hmac, webhook_received};

fn cashfree() -> Box<dyn Connector> {
    let credentials = json!({
        "client_id": "client", "client_secret": "new secret", "previous_client_secret": "old secret"
    });
    let base_url = "http://127.0.0.1:9";
    connector(Gateway::Cashfree, base_url, &credentials, &json!({})).unwrap()
}

fn event(kind: &str, status: &str, code: &str) -> Value {
    json!({
        "event_type": kind, "event_time": "2026-11-22 10:46:16", "version": "v2",
        "data": {
            "reference_id": 1_294_785_793, "user_id": "kh00000000000000000000000001_01",
            "name_at_bank": "JOHN DOE", "amount_deposited": "1.04", "bank_name": "YES BANK",
            "utr": "404223241811", "city": "MUMBAI", "micr": 400_532_038, "name_match_score": "90.00",
            "name_match_result": "GOOD_PARTIAL_MATCH", "account_status": status,
            "account_status_code": code
        }
    })
}

fn valid() -> String {
    event(
        "BANK_ACCOUNT_VERIFICATION_SUCCESS",
        "VALID",
        "ACCOUNT_IS_VALID",
    )
    .to_string()
}

/// Reads a webhook that Cashfree signs now, or at this distance from now.
fn receive(
    secret: &str,
    later: TimeDelta,
    body: &str,
) -> Result<Option<WebhookMessage>, WebhookError> {
    let timestamp = (Utc::now() + later).timestamp_millis().to_string();
    let signature = BASE64.encode(&hmac(secret, &[timestamp.as_str(), body]));
    let headers = [
        ("X-Webhook-Signature", signature.as_str()),
        ("X-Webhook-Timestamp", timestamp.as_str()),
    ];
    webhook_received(cashfree().as_ref(), &headers, body)
}

#[test]
fn a_webhook_holds_the_same_outcome_as_a_response() {
    let message = receive("new secret", TimeDelta::zero(), &valid())
        .unwrap()
        .unwrap();
    let ours = AttemptName::Reference("kh00000000000000000000000001_01".into());
    assert_eq!(message.attempt, ours);
    let response = message.response.unwrap();
    assert_eq!(
        (response.class, response.code.as_str()),
        (Class::Valid, "ACCOUNT_IS_VALID")
    );
    assert_eq!(response.name_at_bank.unwrap().as_str(), "JOHN DOE");
    assert_eq!(response.utr.as_deref(), Some("404223241811"));
    assert_eq!(response.gateway_reference.as_deref(), Some("1294785793"));
    assert_eq!(response.name_match_score, Some(90));
    for (kind, status, code, class) in [
        (
            "REJECTED",
            "REJECTED",
            "INSUFFICIENT_BALANCE",
            Class::Misconfigured,
        ),
        ("FAILED", "FAILED", "FAILED_AT_BANK", Class::Retryable),
        // The status decides, not the name of the event.
        ("SUCCESS", "INVALID", "INVALID_ACCOUNT_FAIL", Class::Invalid),
        ("FAILED", "INVALID", "A_CODE_OF_NEXT_YEAR", Class::Invalid),
    ] {
        let body = event(&format!("BANK_ACCOUNT_VERIFICATION_{kind}"), status, code).to_string();
        let message = receive("new secret", TimeDelta::zero(), &body)
            .unwrap()
            .unwrap();
        assert_eq!(message.response.unwrap().class, class, "{code}");
    }
}

#[test]
fn an_event_that_contradicts_its_outcome_only_leads_to_a_lookup() {
    for (kind, code) in [
        ("FAILED", "ACCOUNT_IS_VALID"),
        ("SUCCESS", "INVALID_ACCOUNT_FAIL"),
    ] {
        let kind = format!("BANK_ACCOUNT_VERIFICATION_{kind}");
        let body = event(&kind, "VALID", code).to_string();
        let message = receive("new secret", TimeDelta::zero(), &body);
        let message = message.unwrap().unwrap();
        assert_eq!(message.response, None, "{kind} {code}");
        assert!(!message.not_understood.is_empty(), "{kind} {code}");
    }
}

#[test]
fn both_secrets_of_a_rotation_are_valid_and_no_other() {
    for secret in ["new secret", "old secret"] {
        assert!(
            receive(secret, TimeDelta::zero(), &valid()).is_ok(),
            "{secret}"
        );
    }
    for secret in ["another", "new secret ", "NEW SECRET"] {
        let receive = receive(secret, TimeDelta::zero(), &valid());
        assert_eq!(receive, Err(WebhookError::BadSignature), "{secret}");
    }
}

#[test]
fn a_changed_body_or_time_has_a_bad_signature() {
    let timestamp = Utc::now().timestamp_millis().to_string();
    let later = (Utc::now() + TimeDelta::seconds(1))
        .timestamp_millis()
        .to_string();
    let body = valid();
    let signature = BASE64.encode(&hmac("new secret", &[&timestamp, &body]));
    let cashfree = cashfree();
    let read = |signature: &str, timestamp: &str, body: &str| {
        let headers = [
            ("x-webhook-signature", signature),
            ("x-webhook-timestamp", timestamp),
        ];
        webhook_received(cashfree.as_ref(), &headers, body)
    };
    assert!(read(&signature, &timestamp, &body).is_ok());
    let other_body = body.replace("ACCOUNT_IS_VALID", "INVALID_ACCOUNT");
    for (signature, timestamp, body) in [
        (signature.as_str(), timestamp.as_str(), other_body.as_str()),
        (&signature, &timestamp, &format!("{body} ")),
        (&signature, &later, &body),
        ("", &timestamp, &body),
        ("no base64!", &timestamp, &body),
        (&signature[4..], &timestamp, &body),
    ] {
        assert_eq!(
            read(signature, timestamp, body),
            Err(WebhookError::BadSignature),
            "{signature}"
        );
    }
}

#[test]
fn an_unsigned_or_stale_webhook_is_rejected() {
    let cashfree = cashfree();
    let missing = |headers: &[(&str, &str)]| webhook_received(cashfree.as_ref(), headers, &valid());
    assert_eq!(
        missing(&[("x-webhook-timestamp", "1")]),
        Err(WebhookError::MissingHeader("x-webhook-signature"))
    );
    assert_eq!(
        missing(&[("x-webhook-signature", "eA==")]),
        Err(WebhookError::MissingHeader("x-webhook-timestamp"))
    );
    for minutes in [-4, 4] {
        let later = TimeDelta::minutes(minutes);
        assert!(receive("new secret", later, &valid()).is_ok(), "{minutes}");
    }
    for minutes in [-6, 6, -600] {
        let receive = receive("new secret", TimeDelta::minutes(minutes), &valid());
        assert_eq!(receive, Err(WebhookError::Stale), "{minutes}");
    }
    let signature = BASE64.encode(&hmac("new secret", &["soon", &valid()]));
    let headers = [
        ("x-webhook-signature", signature.as_str()),
        ("x-webhook-timestamp", "soon"),
    ];
    assert_eq!(
        webhook_received(cashfree.as_ref(), &headers, &valid()),
        Err(WebhookError::Malformed("invalid timestamp"))
    );
}

#[test]
fn an_event_about_something_else_is_ignored() {
    let mut unnamed = event(
        "BANK_ACCOUNT_VERIFICATION_SUCCESS",
        "VALID",
        "ACCOUNT_IS_VALID",
    );
    unnamed["data"]["user_id"] = Value::Null;
    for body in [
        json!({"event_type": "RPD_SUCCESS", "data": ["anything"]}),
        json!({"type": "WEBHOOK", "data": {"test_object": {}}}),
        json!({"event_type": "BANK_ACCOUNT_VERIFICATION_FAILED", "data": {"utr": 7}}),
        unnamed,
    ] {
        let receive = receive("new secret", TimeDelta::zero(), &body.to_string());
        assert_eq!(receive, Ok(None), "{body}");
    }
    for body in [
        "",
        "7",
        r#"{"event_type":"BANK_ACCOUNT_VERIFICATION_FAILED"}"#,
        r#"{"event_type":"BANK_ACCOUNT_VERIFICATION_FAILED","data":"RECEIVED"}"#,
    ] {
        let receive = receive("new secret", TimeDelta::zero(), body);
        assert!(
            matches!(receive, Err(WebhookError::Malformed(_))),
            "{body}: {receive:?}"
        );
    }
}

#[test]
fn an_event_without_a_status_holds_no_outcome() {
    let body = event("BANK_ACCOUNT_VERIFICATION_SUCCESS", "", "").to_string();
    let message = receive("new secret", TimeDelta::zero(), &body)
        .unwrap()
        .unwrap();
    assert_eq!(message.response, None);
}
