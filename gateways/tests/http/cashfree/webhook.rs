//! Call-backs: believed only under Cashfree's signature, and read like the answer to a look.

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

/// The call-back as Cashfree would send it now, give or take.
fn heard(
    secret: &str,
    later: TimeDelta,
    body: &str,
) -> Result<Option<WebhookMessage>, WebhookError> {
    let timestamp = (Utc::now() + later).timestamp_millis().to_string();
    let signature = BASE64.encode(&hmac(secret, &[&timestamp, body]));
    let headers = [
        ("X-Webhook-Signature", signature.as_str()),
        ("X-Webhook-Timestamp", timestamp.as_str()),
    ];
    webhook_received(cashfree().as_ref(), &headers, body)
}

#[test]
fn the_outcome_is_read_like_an_answer() {
    let notice = heard("new secret", TimeDelta::zero(), &valid())
        .unwrap()
        .unwrap();
    let ours = AttemptName::Reference("kh00000000000000000000000001_01".into());
    assert_eq!(notice.attempt, ours);
    let answer = notice.response.unwrap();
    assert_eq!(
        (answer.class, answer.code.as_str()),
        (Class::Valid, "ACCOUNT_IS_VALID")
    );
    assert_eq!(answer.name_at_bank.unwrap().as_str(), "JOHN DOE");
    assert_eq!(answer.utr.as_deref(), Some("404223241811"));
    assert_eq!(answer.gateway_reference.as_deref(), Some("1294785793"));
    assert_eq!(answer.name_match_score, Some(90));
    for (kind, status, code, class) in [
        (
            "REJECTED",
            "REJECTED",
            "INSUFFICIENT_BALANCE",
            Class::Misconfigured,
        ),
        ("FAILED", "FAILED", "FAILED_AT_BANK", Class::Retryable),
        // The status decides, whatever the event is called.
        ("SUCCESS", "INVALID", "INVALID_ACCOUNT_FAIL", Class::Invalid),
        (
            "FAILED",
            "INVALID",
            "A_CODE_OF_NEXT_YEAR",
            Class::Inconclusive,
        ),
    ] {
        let body = event(&format!("BANK_ACCOUNT_VERIFICATION_{kind}"), status, code).to_string();
        let notice = heard("new secret", TimeDelta::zero(), &body)
            .unwrap()
            .unwrap();
        assert_eq!(notice.response.unwrap().class, class, "{code}");
    }
}

#[test]
fn both_secrets_of_a_rotation_are_good_and_no_other() {
    for secret in ["new secret", "old secret"] {
        assert!(
            heard(secret, TimeDelta::zero(), &valid()).is_ok(),
            "{secret}"
        );
    }
    for secret in ["another", "new secret ", "NEW SECRET"] {
        let heard = heard(secret, TimeDelta::zero(), &valid());
        assert_eq!(heard, Err(WebhookError::BadSignature), "{secret}");
    }
}

#[test]
fn a_body_or_time_that_was_changed_is_forged() {
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
fn what_is_not_signed_or_signed_long_ago_is_not_believed() {
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
        assert!(heard("new secret", later, &valid()).is_ok(), "{minutes}");
    }
    for minutes in [-6, 6, -600] {
        let heard = heard("new secret", TimeDelta::minutes(minutes), &valid());
        assert_eq!(heard, Err(WebhookError::Stale), "{minutes}");
    }
    let signature = BASE64.encode(&hmac("new secret", &["soon", &valid()]));
    let headers = [
        ("x-webhook-signature", signature.as_str()),
        ("x-webhook-timestamp", "soon"),
    ];
    assert_eq!(
        webhook_received(cashfree.as_ref(), &headers, &valid()),
        Err(WebhookError::Malformed("its timestamp"))
    );
}

#[test]
fn what_was_not_asked_for_here_is_left_alone() {
    let mut unnamed = event(
        "BANK_ACCOUNT_VERIFICATION_SUCCESS",
        "VALID",
        "ACCOUNT_IS_VALID",
    );
    unnamed["data"]["user_id"] = Value::Null;
    for body in [
        json!({"event_type": "RPD_SUCCESS", "data": ["anything"]}),
        json!({"type": "WEBHOOK", "data": {"test_object": {}}}),
        unnamed,
    ] {
        let heard = heard("new secret", TimeDelta::zero(), &body.to_string());
        assert_eq!(heard, Ok(None), "{body}");
    }
    for body in [
        "",
        "7",
        r#"{"event_type":"BANK_ACCOUNT_VERIFICATION_FAILED"}"#,
        r#"{"event_type":"BANK_ACCOUNT_VERIFICATION_FAILED","data":{"utr":7}}"#,
    ] {
        let heard = heard("new secret", TimeDelta::zero(), body);
        assert!(
            matches!(heard, Err(WebhookError::Malformed(_))),
            "{body}: {heard:?}"
        );
    }
}

#[test]
fn one_that_tells_no_status_only_says_that_there_is_one() {
    let body = event("BANK_ACCOUNT_VERIFICATION_SUCCESS", "", "").to_string();
    let notice = heard("new secret", TimeDelta::zero(), &body)
        .unwrap()
        .unwrap();
    assert_eq!(notice.response, None);
}
