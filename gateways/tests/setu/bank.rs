//! Bank accounts, in both flows.

use std::time::Duration;

use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, Details, GatewayResponse, Method, Recovery};
use khata_gateways::Connector;
use serde_json::{Value, json};

use super::{ID, setu};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{CLOSED_PORT, bank, call, good, is_lost, reference};

async fn verify(setu: &dyn Connector, details: &Details) -> Result<GatewayResponse, CallFailure> {
    let reference = reference();
    setu.verify(&call(setu, &reference, details, None)).await
}

async fn lookup(
    setu: &dyn Connector,
    gateway_reference: Option<&str>,
) -> Result<Option<GatewayResponse>, CallFailure> {
    let (details, reference) = (good(), reference());
    setu.lookup(&call(setu, &reference, &details, None), gateway_reference)
        .await
}

/// Returns the connector's response to a synchronous call that gets this reply.
async fn sync_response(body: &Value) -> GatewayResponse {
    let server = ScriptedServer::responding(200, "", &body.to_string()).await;
    let setu = setu(&server.origin, &json!({"bank_flow": "sync"}));
    verify(setu.as_ref(), &good()).await.unwrap()
}

fn bank_reply(code: &str, verification: &str) -> Value {
    json!({"id": ID, "code": code, "verification": verification, "message": "…", "data": null, "traceId": "1-2"})
}

#[tokio::test]
async fn the_asynchronous_call_is_accepted_with_setus_id() {
    let server = ScriptedServer::responding(200, "", &json!({"id": ID}).to_string()).await;
    let setu = setu(&server.origin, &json!({}));
    let accepted = verify(setu.as_ref(), &good()).await.unwrap();
    assert_eq!(accepted.class, Class::Pending);
    assert_eq!(accepted.gateway_reference.as_deref(), Some(ID));
    assert!(!accepted.unlisted);
    let (head, body) = server.request();
    assert!(
        head.starts_with("post /api/verify/ban/async http/1.1"),
        "{head}"
    );
    for line in [
        "x-client-id: a-client",
        "x-client-secret: s3cret",
        "x-product-instance-id: an-instance",
        "content-type: application/json",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(
        body,
        json!({"ifsc": "HDFC0000001", "accountNumber": "00011020001772", "narration": "Account verification"})
    );
}

#[tokio::test]
async fn the_synchronous_response_holds_the_outcome() {
    let body = json!({
        "id": ID, "code": "BAV00", "verification": "success", "message": "Account exists and is active.",
        "data": {"name": "ASHA RAO", "transactionReference": "120716373986", "verifiedAt": "2017-08-28T09:36:18+00:00"},
        "traceId": "1-2"
    });
    let server = ScriptedServer::responding(200, "", &body.to_string()).await;
    let setu = setu(
        &server.origin,
        &json!({"bank_flow": "sync", "narration": "unused"}),
    );
    let response = verify(setu.as_ref(), &good()).await.unwrap();
    assert_eq!((response.class, response.failure), (Class::Valid, None));
    assert_eq!(response.code, "BAV00");
    assert_eq!(response.name_at_bank.unwrap().as_str(), "ASHA RAO");
    assert_eq!(response.utr.as_deref(), Some("120716373986"));
    assert_eq!(response.gateway_reference.as_deref(), Some(ID));
    let (head, body) = server.request();
    assert!(head.starts_with("post /api/verify/ban http/1.1"), "{head}");
    assert_eq!(
        body,
        json!({"ifsc": "HDFC0000001", "accountNumber": "00011020001772"})
    );
}

#[tokio::test]
async fn a_pending_outcome_is_polled_by_setus_id() {
    let pending = json!({"id": ID, "verification": "pending", "traceId": "1-2"});
    let success = json!({
        "id": ID, "code": "BAV00", "verification": "success", "data": {"name": "ASHA RAO", "transactionReference": 120_716_373_986_u64}
    });
    let response = |body: &Value| Reaction::Respond(200, "", body.to_string());
    let server = ScriptedServer::with_reactions(vec![
        response(&json!({"id": ID})),
        response(&pending),
        response(&success),
    ])
    .await;
    let setu = setu(&server.origin, &json!({}));
    let accepted = verify(setu.as_ref(), &good()).await.unwrap();
    let gateway_reference = accepted.gateway_reference.as_deref();
    let pending_response = lookup(setu.as_ref(), gateway_reference)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(pending_response.class, Class::Pending);
    let decided = lookup(setu.as_ref(), gateway_reference)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(decided.class, Class::Valid);
    assert_eq!(decided.utr.as_deref(), Some("120716373986"));
    for request in &server.requests()[1..] {
        let line = format!("GET /api/verify/ban/async/{ID} HTTP/1.1");
        assert!(request.starts_with(&line), "{request}");
        assert!(request.contains("x-client-secret: s3cret"));
    }
}

#[tokio::test]
async fn a_code_of_every_class_is_read() {
    for (code, verification, class, failure) in [
        ("BAVM0", "success", Class::Valid, None),
        (
            "BAVM1",
            "failed",
            Class::Invalid,
            Some(FailureCode::InvalidAccount),
        ),
        (
            "BAV92",
            "failed",
            Class::Invalid,
            Some(FailureCode::InvalidIfsc),
        ),
        (
            "BAVM5",
            "failed",
            Class::Invalid,
            Some(FailureCode::AccountClosed),
        ),
        (
            "BAVM4",
            "failed",
            Class::Invalid,
            Some(FailureCode::NreAccount),
        ),
        (
            "BAV34",
            "failed",
            Class::Review,
            Some(FailureCode::SuspectedFraud),
        ),
        ("BAV91", "failed", Class::Retryable, None),
        (
            "BAVMP",
            "failed",
            Class::Inconclusive,
            Some(FailureCode::ImpsNotEnabled),
        ),
        (
            "BAVM8",
            "failed",
            Class::Inconclusive,
            Some(FailureCode::LimitReached),
        ),
        ("BAV94", "failed", Class::Misconfigured, None),
        ("BAV1014", "failed", Class::Misconfigured, None),
    ] {
        let response = sync_response(&bank_reply(code, verification)).await;
        assert_eq!(
            (response.class, response.failure),
            (class, failure),
            "{code}"
        );
        assert_eq!((response.code.as_str(), response.unlisted), (code, false));
    }
}

#[tokio::test]
async fn an_unknown_or_contradictory_code_is_unlisted() {
    for (code, verification) in [
        ("BAVZ9", "failed"),
        ("BAV00", "failed"),
        ("BAVM1", "success"),
    ] {
        let response = sync_response(&bank_reply(code, verification)).await;
        assert_eq!(
            (response.class, response.failure),
            (Class::Inconclusive, None)
        );
        assert_eq!((response.code.as_str(), response.unlisted), (code, true));
    }
    let response = sync_response(&json!({"id": ID, "verification": "failed"})).await;
    assert_eq!(
        (response.code.as_str(), response.unlisted),
        ("failed", true)
    );
}

#[tokio::test]
async fn a_missing_or_empty_name_is_none() {
    let named = |data: Value| json!({"code": "BAV00", "verification": "success", "data": data});
    for data in [
        Value::Null,
        json!({}),
        json!({"name": null, "transactionReference": ""}),
        json!({"name": " "}),
    ] {
        let response = sync_response(&named(data.clone())).await;
        assert_eq!(response.class, Class::Valid, "{data}");
        assert_eq!(
            (response.name_at_bank, response.utr),
            (None, None),
            "{data}"
        );
    }
}

#[tokio::test]
async fn an_error_that_may_follow_the_rupee_is_a_lost_response() {
    let body = r#"{"id":"d9342684","error":{"code":"upstream_service_error","detail":"…","traceId":"1-2"}}"#;
    for status in [302, 408, 409, 500, 502, 503, 504] {
        for flow in ["sync", "async"] {
            let server = ScriptedServer::responding(status, "", body).await;
            let setu = setu(&server.origin, &json!({"bank_flow": flow}));
            let lost = verify(setu.as_ref(), &good()).await;
            assert!(is_lost(&lost), "{status} {flow}: {lost:?}");
        }
    }
}

#[tokio::test]
async fn a_broken_or_malformed_reply_is_lost_and_the_request_is_sent_once() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"id\":";
    for reaction in [
        Reaction::Close,
        Reaction::Reset,
        Reaction::Raw(broken.into()),
    ] {
        for flow in ["sync", "async"] {
            let server = ScriptedServer::with_reactions(vec![reaction.clone()]).await;
            let setu = setu(&server.origin, &json!({"bank_flow": flow}));
            let lost = verify(setu.as_ref(), &good()).await;
            assert!(is_lost(&lost), "{reaction:?}: {lost:?}");
            assert_eq!(server.requests().len(), 1, "{reaction:?}");
        }
    }
    for body in [
        "",
        "<html>",
        "null",
        "[]",
        "{}",
        r#"{"id":""}"#,
        r#"{"id":"../1"}"#,
    ] {
        for flow in ["sync", "async"] {
            let server = ScriptedServer::responding(200, "", body).await;
            let setu = setu(&server.origin, &json!({"bank_flow": flow}));
            let lost = verify(setu.as_ref(), &good()).await;
            assert!(is_lost(&lost), "{body} {flow}: {lost:?}");
        }
    }
    // A pending outcome without an id could never be polled.
    let server = ScriptedServer::responding(200, "", r#"{"verification":"pending"}"#).await;
    let setu = setu(&server.origin, &json!({"bank_flow": "sync"}));
    assert!(is_lost(&verify(setu.as_ref(), &good()).await));
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let setu = setu(CLOSED_PORT, &json!({}));
    let refused = verify(setu.as_ref(), &good()).await;
    assert!(
        matches!(refused, Err(CallFailure::NotSent(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_error_reply_has_the_class_of_its_status() {
    for (status, body, class, code) in [
        (
            400,
            r#"{"error":{"code":"invalid_input"}}"#,
            Class::Inconclusive,
            "invalid_input",
        ),
        (401, "", Class::Misconfigured, "http_401"),
        (402, "", Class::Misconfigured, "http_402"),
        // From Amazon's API gateway in front of Setu; an IP address that is not on the allow-list.
        (
            403,
            r#"{"message":"Forbidden"}"#,
            Class::Misconfigured,
            "http_403",
        ),
        (404, "<html>", Class::Misconfigured, "http_404"),
        (422, "", Class::Inconclusive, "http_422"),
        (429, "", Class::Retryable, "http_429"),
    ] {
        let server = ScriptedServer::responding(status, "retry-after: 7\r\n", body).await;
        let setu = setu(&server.origin, &json!({}));
        let response = verify(setu.as_ref(), &good()).await.unwrap();
        assert_eq!(
            (response.class, response.failure),
            (class, None),
            "{status}"
        );
        assert_eq!(response.code, code);
        let wait = (class == Class::Retryable).then_some(Duration::from_secs(7));
        assert_eq!(response.retry_after, wait, "{status}");
    }
}

#[tokio::test]
async fn setu_never_says_that_it_has_not_seen_a_call() {
    for (status, body) in [
        (404, r#"{"error":{"code":"not_found"}}"#),
        (404, ""),
        (401, ""),
        (500, r#"{"error":{"code":"upstream_service_error"}}"#),
        (200, "{}"),
        (200, "<html>"),
    ] {
        let server = ScriptedServer::responding(status, "", body).await;
        let setu = setu(&server.origin, &json!({}));
        let found = lookup(setu.as_ref(), Some(ID)).await;
        assert!(is_lost(&found), "{status} {body}: {found:?}");
    }
    // Setu stores no reference of ours: no request is sent.
    let server = ScriptedServer::responding(200, "", "{}").await;
    let setu = setu(&server.origin, &json!({}));
    for gateway_reference in [None, Some(""), Some("../../ban"), Some("a b")] {
        assert!(
            is_lost(&lookup(setu.as_ref(), gateway_reference).await),
            "{gateway_reference:?}"
        );
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_lost_bank_call_cannot_be_recovered_in_either_flow() {
    for flow in ["sync", "async"] {
        let setu = setu("http://127.0.0.1:9", &json!({"bank_flow": flow}));
        let recovery = setu.recovery(&good(), Method::PennyDrop);
        assert_eq!(recovery, Recovery::None, "{flow}");
        assert!(setu.webhook_names_gateway_reference(), "{flow}");
    }
}

#[tokio::test]
async fn an_error_text_holds_nothing_of_the_payee() {
    let details = bank("00011020001772", "HDFC0000001", Some("Asha Rao"));
    let server = ScriptedServer::responding(200, "", r#"{"accountNumber":"00011020001772","#).await;
    let setu = setu(&server.origin, &json!({}));
    let text = verify(setu.as_ref(), &details).await.unwrap_err();
    for personal in ["00011020001772", "Asha", "HDFC0000001", "s3cret"] {
        assert!(!text.to_string().contains(personal), "{text}");
    }
}
