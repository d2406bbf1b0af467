//! Webhooks: hints about bank accounts, signed outcomes about UPI addresses.

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64;
use khata_domain::validation::FailureCode;
use khata_domain::{AccountType, Class, GatewayResponse};
use khata_gateways::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};
use serde_json::{Value, json};

use super::{ID, ULID, credentials, setu_with};
use crate::support::hmac;

const EVENT_AT: &str = "2026-11-24T12:08:20+0530";

fn event_at() -> DateTime<Utc> {
    "2026-11-24T06:38:20Z".parse().unwrap()
}

fn signature(body: &str, secret: &str) -> String {
    BASE64.encode(&hmac(secret, &[body]))
}

/// Reads a webhook with these credentials, at this time.
fn read_with(
    credentials: &Value,
    body: &str,
    signature: Option<&str>,
    received_at: DateTime<Utc>,
) -> Result<Option<WebhookMessage>, WebhookError> {
    let setu = setu_with("http://127.0.0.1:9", credentials, &json!({}));
    let headers: Vec<_> = signature
        .map(|signature| ("X-Setu-Signature", signature))
        .into_iter()
        .collect();
    setu.webhook(&WebhookRequest {
        headers: &headers,
        body: body.as_bytes(),
        received_at,
    })
}

/// Reads a webhook signed with this secret, just received.
fn read(body: &Value, secret: &str) -> Result<Option<WebhookMessage>, WebhookError> {
    let body = body.to_string();
    let signature = signature(&body, secret);
    read_with(&credentials(), &body, Some(&signature), event_at())
}

fn vpa_event(status: &str) -> Value {
    json!({
        "eventId": ULID, "eventTs": EVENT_AT, "eventType": format!("customer_vpa.{status}"), "resource": "customer_vpa",
        "status": status, "merchantId": ULID, "merchantReferenceId": "kh00000000000000000000000001_01", "id": ULID,
        "customerVpa": "asha@okhdfc", "customerName": "ASHA RAO", "customerAccountType": "SAVINGS", "reason": {}
    })
}

fn bank_event() -> Value {
    json!({
        "data": {"bav": {"id": ID, "verification": "success", "message": "Account exists and is active.",
            "data": {"name": "JOHN DOE", "transactionReference": "307316973027", "matchKey": null}}},
        "event": "BAV_WEBHOOK_NOTIFICATION", "timeStamp": "2023-03-14T16:05:52.093816+05:30"
    })
}

fn response(message: Result<Option<WebhookMessage>, WebhookError>) -> Option<GatewayResponse> {
    message.unwrap().unwrap().response
}

#[tokio::test]
async fn a_bank_webhook_is_a_hint_from_any_sender() {
    let hint = WebhookMessage {
        attempt: AttemptName::GatewayReference(ID.into()),
        response: None,
        not_understood: Vec::new(),
    };
    let body = bank_event().to_string();
    let forged = signature(&body, "somebody else");
    for signature in [None, Some(forged.as_str())] {
        let read = read_with(&credentials(), &body, signature, event_at());
        assert_eq!(read, Ok(Some(hint.clone())));
    }
    let mut bank_only = credentials();
    for name in ["umap", "webhook_secrets"] {
        bank_only.as_object_mut().unwrap().remove(name);
    }
    let read = read_with(&bank_only, &body, None, event_at());
    assert_eq!(read, Ok(Some(hint)));
    for id in [Value::Null, json!(""), json!("../x"), json!("a".repeat(65))] {
        let mut event = bank_event();
        event["data"]["bav"]["id"] = id;
        let read = read_with(&credentials(), &event.to_string(), None, event_at());
        assert!(matches!(read, Err(WebhookError::Malformed(_))), "{read:?}");
    }
}

#[tokio::test]
async fn a_signed_event_holds_the_outcome_under_our_reference() {
    for secret in ["newsecret", "oldsecret"] {
        let message = read(&vpa_event("valid"), secret).unwrap().unwrap();
        assert_eq!(
            message.attempt,
            AttemptName::Reference("kh00000000000000000000000001_01".into())
        );
        let response = message.response.unwrap();
        assert_eq!(response.class, Class::Valid);
        assert_eq!(response.account_type, Some(AccountType::Savings));
        assert_eq!(response.name_at_bank.unwrap().as_str(), "ASHA RAO");
        assert_eq!(response.gateway_reference.as_deref(), Some(ULID));
    }
    let invalid = response(read(&vpa_event("invalid"), "newsecret")).unwrap();
    assert_eq!(
        (invalid.class, invalid.failure),
        (Class::Invalid, Some(FailureCode::InvalidVpa))
    );
    let failed = response(read(&vpa_event("failed"), "newsecret")).unwrap();
    assert_eq!(failed.class, Class::Retryable);
}

#[tokio::test]
async fn an_event_without_a_final_status_holds_no_outcome() {
    for status in ["pending", "perhaps", ""] {
        assert_eq!(response(read(&vpa_event(status), "newsecret")), None);
    }
}

#[tokio::test]
async fn an_event_that_contradicts_its_status_only_leads_to_a_lookup() {
    for (event_type, status) in [("valid", "invalid"), ("invalid", "valid")] {
        let mut event = vpa_event(status);
        event["eventType"] = json!(format!("customer_vpa.{event_type}"));
        assert_eq!(
            response(read(&event, "newsecret")),
            None,
            "{event_type} {status}"
        );
    }
}

#[tokio::test]
async fn an_event_without_our_reference_is_matched_by_setus_id() {
    let mut event = vpa_event("valid");
    event["merchantReferenceId"] = Value::Null;
    let message = read(&event, "newsecret").unwrap().unwrap();
    assert_eq!(message.attempt, AttemptName::GatewayReference(ULID.into()));
    event["id"] = Value::Null;
    let nothing = read(&event, "newsecret");
    assert_eq!(nothing, Err(WebhookError::Malformed("invalid id")));
}

#[tokio::test]
async fn a_webhook_without_a_signature_of_the_account_is_rejected() {
    let body = vpa_event("valid").to_string();
    let read = |body: &str, signature: Option<&str>| {
        read_with(&credentials(), body, signature, event_at())
    };
    assert_eq!(
        read(&body, None),
        Err(WebhookError::MissingHeader("x-setu-signature"))
    );
    let good = signature(&body, "newsecret");
    for wrong in [
        signature(&body, "another"),
        signature(&body, ""),
        signature(&body, "s3cret"),
        String::new(),
        "not base64".into(),
        good[..40].to_owned(),
    ] {
        let forged = read(&body, Some(&wrong));
        assert_eq!(forged, Err(WebhookError::BadSignature), "{wrong}");
    }
    let other = body.replace("\"valid\"", "\"invalid\"");
    assert_eq!(read(&other, Some(&good)), Err(WebhookError::BadSignature));
    assert_eq!(
        read("rubbish", Some(&signature("rubbish", "newsecret"))),
        Err(WebhookError::Malformed("not a JSON event"))
    );
    let mut none = credentials();
    none["webhook_secrets"] = json!([]);
    assert_eq!(
        read_with(&none, &body, Some(&good), event_at()),
        Err(WebhookError::NoSecret)
    );
    none["webhook_secrets"] = json!([""]);
    let empty = signature(&body, "");
    assert_eq!(
        read_with(&none, &body, Some(&empty), event_at()),
        Err(WebhookError::BadSignature)
    );
}

#[tokio::test]
async fn an_event_is_valid_for_a_day() {
    let body = vpa_event("valid").to_string();
    let good = signature(&body, "newsecret");
    for (age, accepted) in [
        (TimeDelta::zero(), true),
        (TimeDelta::hours(23), true),
        (TimeDelta::hours(25), false),
        (TimeDelta::minutes(-4), true),
        (TimeDelta::minutes(-6), false),
    ] {
        let read = read_with(&credentials(), &body, Some(&good), event_at() + age);
        let expected = if accepted {
            Ok(())
        } else {
            Err(WebhookError::Stale)
        };
        assert_eq!(read.map(|_| ()), expected, "{age}");
    }
    for time in [Value::Null, json!("yesterday")] {
        let mut event = vpa_event("valid");
        event["eventTs"] = time;
        let read = read(&event, "newsecret");
        assert!(matches!(read, Err(WebhookError::Malformed(_))), "{read:?}");
    }
}

#[tokio::test]
async fn an_event_of_another_product_or_merchant_is_ignored() {
    let mut payment = vpa_event("valid");
    payment["eventType"] = json!("payment.success");
    assert_eq!(read(&payment, "newsecret"), Ok(None));
    let mut other = vpa_event("valid");
    other["merchantId"] = json!("01ARZ3NDEKTSV4RRFFQ69G5FAW");
    assert_eq!(read(&other, "newsecret"), Ok(None));
}
