//! Requests to Cashfree, and the meaning of its replies.

use khata_domain::routing::Ineligible;
use khata_domain::validation::FailureCode;
use khata_domain::{Class, Consent, Details, GatewayResponse, Method};
use khata_gateways::Connector;
use serde_json::{Value, json};

use super::cashfree;
use crate::scripted::ScriptedServer;
use crate::support::{bank, call, consent, good, reference, upi};

/// Returns the request that validates these details: its head and its JSON.
async fn sent(
    settings: &Value,
    details: &Details,
    consent: Option<&Consent>,
) -> (String, Value, String) {
    let server = ScriptedServer::responding(200, "", "{}").await;
    let cashfree = cashfree(&server.origin, "s3cret", settings);
    let reference = reference();
    let _ = cashfree
        .verify(&call(cashfree.as_ref(), &reference, details, consent))
        .await;
    let (head, body) = server.request();
    (head, body, reference)
}

/// Returns the connector's response to a bank call that gets this reply.
async fn bank_response(body: &Value) -> GatewayResponse {
    let server = ScriptedServer::responding(200, "", &body.to_string()).await;
    let cashfree = cashfree(&server.origin, "s3cret", &json!({"bank_flow": "sync"}));
    let (details, reference) = (good(), reference());
    let connector: &dyn Connector = cashfree.as_ref();
    connector
        .verify(&call(connector, &reference, &details, None))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_bank_account_is_sent_under_our_reference_with_our_credentials() {
    let (head, body, reference) = sent(&json!({}), &good(), None).await;
    assert!(
        head.starts_with("post /verification/bank-account/async http/1.1"),
        "{head}"
    );
    for line in [
        "x-client-id: sandbox_client",
        "x-client-secret: s3cret",
        "content-type: application/json",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(
        body,
        json!({"bank_account": "00011020001772", "ifsc": "HDFC0000001", "name": "Asha Rao", "user_id": reference})
    );
    let (head, body, _) = sent(&json!({"bank_flow": "sync"}), &good(), None).await;
    assert!(
        head.starts_with("post /verification/bank-account/sync "),
        "{head}"
    );
    assert_eq!(
        body.get("user_id"),
        None,
        "the synchronous call has no user id"
    );
}

#[tokio::test]
async fn a_name_that_cashfree_rejects_is_left_out() {
    for (name, sent_as) in [
        ("आशा राव", None),
        ("Zoë", None),
        ("Asha O'Neil (Rao)", Some("Asha ONeil Rao".to_owned())),
        (&"x".repeat(120), Some("x".repeat(100))),
    ] {
        let details = bank("00011020001772", "HDFC0000001", Some(name));
        let (_, body, _) = sent(&json!({}), &details, None).await;
        assert_eq!(
            body.get("name").and_then(Value::as_str),
            sent_as.as_deref(),
            "{name}"
        );
        assert_eq!(body["bank_account"], "00011020001772");
    }
    let nameless = bank("00011020001772", "HDFC0000001", None);
    assert_eq!(sent(&json!({}), &nameless, None).await.1.get("name"), None);
}

#[tokio::test]
async fn a_upi_penny_drop_carries_the_consent_and_its_version() {
    let given = consent(true);
    let (head, body, reference) = sent(&json!({}), &upi("asha@upi"), Some(&given)).await;
    assert!(
        head.starts_with("post /verification/upi/penny-drop "),
        "{head}"
    );
    assert!(head.contains("x-api-version: 2024-12-01"), "{head}");
    assert_eq!(body["verification_id"], reference);
    assert_eq!(body["vpa"], "asha@upi");
    assert_eq!(
        body["user_consent"],
        json!({"obtained": true, "type": "EXPLICIT", "timestamp": "2026-11-22T09:24:36Z", "purpose": "to pay out"})
    );
    let (head, body, reference) = sent(&json!({}), &upi("asha@upi"), None).await;
    assert!(head.starts_with("post /verification/upi "), "{head}");
    assert_eq!(
        body,
        json!({"verification_id": reference, "vpa": "asha@upi"})
    );
}

#[tokio::test]
async fn a_lookup_uses_our_reference_or_cashfrees() {
    for (settings, details, gateway_reference, path) in [
        (json!({}), good(), None, "bank-account?user_id=OURS"),
        (json!({}), good(), Some("34"), "bank-account?user_id=OURS"),
        (
            json!({"bank_flow": "sync"}),
            good(),
            Some("34"),
            "bank-account?reference_id=34",
        ),
        (
            json!({}),
            upi("asha@upi"),
            Some("34"),
            "upi?verification_id=OURS",
        ),
    ] {
        let server = ScriptedServer::responding(200, "", "{}").await;
        let cashfree = cashfree(&server.origin, "s3cret", &settings);
        let reference = reference();
        let _ = cashfree
            .lookup(
                &call(cashfree.as_ref(), &reference, &details, None),
                gateway_reference,
            )
            .await;
        let (head, _) = server.request();
        let line = format!(
            "get /verification/{} http/1.1",
            path.replace("OURS", &reference)
        );
        assert!(head.starts_with(&line), "{head}");
        assert!(head.contains("x-client-secret: s3cret"));
    }
}

#[tokio::test]
async fn a_word_in_no_table_is_recorded_and_decides_nothing() {
    let response = bank_response(&json!({
        "account_status": "INVALID", "account_status_code": "A_CODE_OF_NEXT_YEAR", "reference_id": 34
    }))
    .await;
    assert_eq!(
        (response.class, response.failure),
        (Class::Invalid, Some(FailureCode::InvalidAccount)),
        "the status decides"
    );
    assert!(response.unlisted, "counted");
    assert_eq!(response.code, "A_CODE_OF_NEXT_YEAR");
    assert_eq!(response.gateway_reference.as_deref(), Some("34"));
    let response = bank_response(&json!({"account_status": "MYSTERY"})).await;
    assert_eq!(
        (response.class, response.code.as_str(), response.unlisted),
        (Class::Inconclusive, "MYSTERY", true)
    );
    let listed = bank_response(
        &json!({"account_status": "FAILED", "account_status_code": "IMPS_MODE_FAIL"}),
    )
    .await;
    assert_eq!(
        (listed.class, listed.unlisted),
        (Class::Inconclusive, false)
    );
}

#[tokio::test]
async fn codes_without_a_test_account_have_their_class() {
    for (status, code, class, failure) in [
        (
            "INVALID",
            "FRAUD_ACCOUNT",
            Class::Review,
            Some(FailureCode::SuspectedFraud),
        ),
        (
            "INVALID",
            "BAV_BLOCKED",
            Class::Review,
            Some(FailureCode::SuspectedFraud),
        ),
        (
            "PROCESSING",
            "VERIFICATION_ALREADY_UNDER_PROCESS",
            Class::Pending,
            None,
        ),
        ("FAILED", "failed_at_bank", Class::Retryable, None),
        ("FAILED", "CONNECTION_TIMEOUT", Class::Retryable, None),
        ("FAILED", "SOURCE_BANK_DECLINED", Class::Retryable, None),
        ("FAILED", "BENE_BANK_DECLINED", Class::Inconclusive, None),
        (
            "REJECTED",
            "INSUFFICIENT_BALANCE",
            Class::Misconfigured,
            None,
        ),
    ] {
        let body = json!({
            "account_status": status, "account_status_code": code, "reference_id": 34
        });
        let response = bank_response(&body).await;
        assert_eq!(
            (response.class, response.failure),
            (class, failure),
            "{code}"
        );
    }
}

#[tokio::test]
async fn an_empty_name_is_none() {
    let valid = |name: &str| json!({"account_status_code": "ACCOUNT_IS_VALID", "name_at_bank": name, "utr": ""});
    for empty in ["", " "] {
        let response = bank_response(&valid(empty)).await;
        assert_eq!(
            (response.class, response.name_at_bank),
            (Class::Valid, None),
            "{empty:?}"
        );
        assert_eq!(response.utr, None);
    }
    let named = bank_response(&valid(" ASHA RAO ")).await;
    assert_eq!(named.name_at_bank.unwrap().as_str(), "ASHA RAO");
}

#[tokio::test]
async fn scores_and_ids_are_read_as_text_or_number() {
    for (score, read) in [
        (json!("90.00"), Some(90)),
        (json!(85), Some(85)),
        (json!(69.6), Some(70)),
        (json!("-"), None),
        (json!(101), None),
        (Value::Null, None),
    ] {
        let response = bank_response(&json!({
            "account_status_code": "ACCOUNT_IS_VALID", "name_match_score": score, "reference_id": "34"
        }))
        .await;
        assert_eq!(response.name_match_score, read, "{score}");
        assert_eq!(response.gateway_reference.as_deref(), Some("34"));
    }
}

#[tokio::test]
async fn only_allowed_methods_are_eligible() {
    let given = consent(true);
    let eligible = |methods: Value, details: &Details, consent: Option<&Consent>| {
        let settings = json!({"methods": methods});
        cashfree("http://127.0.0.1:9", "secret", &settings).eligible_method(details, consent)
    };
    let upi = upi("asha@upi");
    for (methods, details, consent, expected) in [
        (
            json!(["VPA_LOOKUP"]),
            &upi,
            Some(&given),
            Ok(Method::VpaLookup),
        ),
        (
            json!(["PENNY_DROP"]),
            &upi,
            Some(&given),
            Ok(Method::PennyDrop),
        ),
        (json!(["PENNY_DROP"]), &upi, None, Err(Ineligible::Kind)),
        (json!(["VPA_LOOKUP"]), &good(), None, Err(Ineligible::Kind)),
    ] {
        assert_eq!(
            eligible(methods.clone(), details, consent),
            expected,
            "{methods}"
        );
    }
    let short = bank("12345", "HDFC0000001", None);
    assert_eq!(
        eligible(json!(["PENNY_DROP"]), &short, None),
        Err(Ineligible::Limits)
    );
}
