//! Webhooks with Razorpay's signature.

use khata_domain::validation::FailureCode;
use khata_domain::{Class, Gateway};
use khata_gateways::{AttemptName, WebhookError, WebhookMessage};
use serde_json::{Value, json};

use super::razorpay;
use crate::support::{connector, hmac, webhook_received};

const OURS: &str = "kh00000000000000000000000001_01";

fn event(kind: &str, account_status: &Value, reason: &str) -> Value {
    json!({
        "entity": "event", "account_id": "acc_00000000000001",
        "event": format!("fund_account.validation.{kind}"), "contains": ["fund_account.validation"],
        "payload": {"fund_account.validation": {"entity": {
            "id": "fav_00000000000001", "entity": "fund_account.validation", "status": kind,
            "utr": "123456789012", "reference_id": OURS,
            "validation_results": {
                "account_status": account_status, "registered_name": "Gaurav Kumar",
                "name_match_score": "90"
            },
            "status_details": {"description": "…", "source": "beneficiary_bank", "reason": reason},
            "fund_account": {"id": "fa_00000000000001", "account_type": "vpa", "vpa": {"address": "gaurav.kumar@exampleupi"}}
        }}},
        "created_at": 1_567_064_019
    })
}

/// Reads a webhook signed with this secret.
fn receive(secret: &str, body: &str) -> Result<Option<WebhookMessage>, WebhookError> {
    use std::fmt::Write;
    let mut signature = String::new();
    for byte in hmac(secret, &[body]) {
        write!(signature, "{byte:02x}").unwrap();
    }
    let headers = [
        ("X-Razorpay-Signature", signature.as_str()),
        ("x-razorpay-event-id", "1"),
    ];
    let razorpay = razorpay("http://127.0.0.1:9", &json!({}));
    webhook_received(razorpay.as_ref(), &headers, body)
}

fn message(body: &Value) -> WebhookMessage {
    receive("new secret", &body.to_string()).unwrap().unwrap()
}

#[test]
fn a_webhook_holds_the_same_outcome_as_a_response() {
    let valid = message(&event(
        "completed",
        &json!("active"),
        "validation_completed",
    ));
    assert_eq!(valid.attempt, AttemptName::Reference(OURS.into()));
    let response = valid.response.unwrap();
    assert_eq!(
        (response.class, response.name_match_score),
        (Class::Valid, Some(90))
    );
    assert_eq!(response.name_at_bank.unwrap().as_str(), "Gaurav Kumar");
    assert_eq!(
        response.gateway_reference.as_deref(),
        Some("fav_00000000000001")
    );
    let mut unnamed = event("completed", &Value::Null, "validation_completed");
    unnamed["payload"]["fund_account.validation"]["entity"]["validation_results"]["registered_name"] =
        Value::Null;
    let invalid = message(&unnamed);
    assert_eq!(
        invalid.response.unwrap().failure,
        Some(FailureCode::InvalidVpa)
    );
    let mut bank = event("completed", &json!("invalid"), "validation_completed");
    bank["payload"]["fund_account.validation"]["entity"]["fund_account"]["account_type"] =
        json!("bank_account");
    let failure = message(&bank).response.unwrap().failure;
    assert_eq!(failure, Some(FailureCode::InvalidAccount));
    let failed = message(&event("failed", &Value::Null, "gateway_timeout"));
    assert_eq!(failed.response.unwrap().class, Class::Retryable);
}

#[test]
fn a_webhook_about_an_invalid_address_holds_no_outcome() {
    let message = message(&event("failed", &Value::Null, "beneficiary_vpa_invalid"));
    assert_eq!(message.attempt, AttemptName::Reference(OURS.into()));
    assert_eq!(message.response, None);
}

#[test]
fn an_event_that_contradicts_its_outcome_only_leads_to_a_lookup() {
    for (status, account_status, reason, kind) in [
        ("completed", "active", "validation_completed", "failed"),
        ("completed", "invalid", "validation_completed", "failed"),
        ("failed", "", "bank_account_invalid", "completed"),
        ("FAILED", "", "gateway_timeout", "completed"),
    ] {
        let mut event = event(status, &json!(account_status), reason);
        event["event"] = json!(format!("fund_account.validation.{kind}"));
        let message = message(&event);
        assert_eq!(message.attempt, AttemptName::Reference(OURS.into()));
        let nothing = (None, vec!["event".to_owned()]);
        assert_eq!(
            (message.response, message.not_understood),
            nothing,
            "{event}"
        );
    }
}

#[test]
fn both_secrets_of_a_rotation_are_valid_and_no_other() {
    let body = event("completed", &json!("active"), "").to_string();
    for secret in ["new secret", "old secret"] {
        assert!(receive(secret, &body).is_ok(), "{secret}");
    }
    for secret in ["another", "s3cret", ""] {
        assert_eq!(
            receive(secret, &body),
            Err(WebhookError::BadSignature),
            "{secret}"
        );
    }
}

#[test]
fn an_unsigned_webhook_is_rejected() {
    let body = event("completed", &json!("active"), "").to_string();
    let connector_with = |secrets: Value| {
        let credentials = json!({"key_id": "a", "key_secret": "b", "webhook_secrets": secrets});
        let base_url = "http://127.0.0.1:9";
        connector(Gateway::Razorpay, base_url, &credentials, &json!({})).unwrap()
    };
    let razorpay = connector_with(json!(["secret"]));
    assert_eq!(
        webhook_received(razorpay.as_ref(), &[], &body),
        Err(WebhookError::MissingHeader("x-razorpay-signature"))
    );
    for signature in ["", "00", "no digits", &"0".repeat(64)] {
        let headers = [("x-razorpay-signature", signature)];
        assert_eq!(
            webhook_received(razorpay.as_ref(), &headers, &body),
            Err(WebhookError::BadSignature),
            "{signature}"
        );
    }
    let headers = [("x-razorpay-signature", "00")];
    let without = connector_with(json!([]));
    assert_eq!(
        webhook_received(without.as_ref(), &headers, &body),
        Err(WebhookError::NoSecret)
    );
}

#[test]
fn an_event_about_something_else_is_ignored() {
    let mut elsewhere = event("completed", &json!("active"), "");
    elsewhere["payload"]["fund_account.validation"]["entity"]["reference_id"] = Value::Null;
    for body in [
        json!({"event": "payout.processed", "payload": {"payout": {"entity": {}}}}),
        elsewhere,
    ] {
        assert_eq!(receive("new secret", &body.to_string()), Ok(None), "{body}");
    }
    for body in [
        "",
        "7",
        r#"{"event":"fund_account.validation.completed","payload":{}}"#,
    ] {
        let receive = receive("new secret", body);
        assert!(
            matches!(receive, Err(WebhookError::Malformed(_))),
            "{body}: {receive:?}"
        );
    }
}
