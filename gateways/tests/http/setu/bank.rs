//! Bank accounts, in both flows.

use std::net::TcpListener;
use std::time::Duration;

use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, Details, GatewayResponse, Method, Recovery};
use khata_gateways::Connector;
use serde_json::{Value, json};

use super::{ID, setu};
use crate::scripted::{Deed, Scripted};
use crate::support::{bank, call, good, is_lost, reference};

async fn verify(setu: &dyn Connector, details: &Details) -> Result<GatewayResponse, CallFailure> {
    let reference = reference();
    setu.verify(&call(setu, &reference, details, None)).await
}

async fn lookup(
    setu: &dyn Connector,
    theirs: Option<&str>,
) -> Result<Option<GatewayResponse>, CallFailure> {
    let (details, reference) = (good(), reference());
    setu.lookup(&call(setu, &reference, &details, None), theirs)
        .await
}

/// How this answer of the synchronous call is read.
async fn heard(body: &Value) -> GatewayResponse {
    let server = Scripted::answering(200, "", &body.to_string()).await;
    let setu = setu(&server.origin, &json!({"bank_flow": "sync"}));
    verify(setu.as_ref(), &good()).await.unwrap()
}

fn said(code: &str, verification: &str) -> Value {
    json!({"id": ID, "code": code, "verification": verification, "message": "…", "data": null, "traceId": "1-2"})
}

#[tokio::test]
async fn the_asynchronous_call_is_sent_as_documented_and_accepted_under_setus_id() {
    let server = Scripted::answering(200, "", &json!({"id": ID}).to_string()).await;
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
async fn the_synchronous_call_has_no_narration_and_tells_the_outcome_at_once() {
    let body = json!({
        "id": ID, "code": "BAV00", "verification": "success", "message": "Account exists and is active.",
        "data": {"name": "ASHA RAO", "transactionReference": "120716373986", "verifiedAt": "2017-08-28T09:36:18+00:00"},
        "traceId": "1-2"
    });
    let server = Scripted::answering(200, "", &body.to_string()).await;
    let setu = setu(
        &server.origin,
        &json!({"bank_flow": "sync", "narration": "unused"}),
    );
    let answer = verify(setu.as_ref(), &good()).await.unwrap();
    assert_eq!((answer.class, answer.failure), (Class::Valid, None));
    assert_eq!(answer.code, "BAV00");
    assert_eq!(answer.name_at_bank.unwrap().as_str(), "ASHA RAO");
    assert_eq!(answer.utr.as_deref(), Some("120716373986"));
    assert_eq!(answer.gateway_reference.as_deref(), Some(ID));
    let (head, body) = server.request();
    assert!(head.starts_with("post /api/verify/ban http/1.1"), "{head}");
    assert_eq!(
        body,
        json!({"ifsc": "HDFC0000001", "accountNumber": "00011020001772"})
    );
}

#[tokio::test]
async fn what_is_pending_is_asked_for_by_setus_id_until_it_is_told() {
    let pending = json!({"id": ID, "verification": "pending", "traceId": "1-2"});
    let success = json!({
        "id": ID, "code": "BAV00", "verification": "success", "data": {"name": "ASHA RAO", "transactionReference": 120_716_373_986_u64}
    });
    let answer = |body: &Value| Deed::GatewayResponse(200, "", body.to_string());
    let server = Scripted::doing(vec![
        answer(&json!({"id": ID})),
        answer(&pending),
        answer(&success),
    ])
    .await;
    let setu = setu(&server.origin, &json!({}));
    let accepted = verify(setu.as_ref(), &good()).await.unwrap();
    let theirs = accepted.gateway_reference.as_deref();
    let early = lookup(setu.as_ref(), theirs).await.unwrap().unwrap();
    assert_eq!(early.class, Class::Pending);
    let late = lookup(setu.as_ref(), theirs).await.unwrap().unwrap();
    assert_eq!(late.class, Class::Valid);
    assert_eq!(late.utr.as_deref(), Some("120716373986"));
    for request in &server.requests()[1..] {
        let line = format!("GET /api/verify/ban/async/{ID} HTTP/1.1");
        assert!(request.starts_with(&line), "{request}");
        assert!(request.contains("x-client-secret: s3cret"));
    }
}

#[tokio::test]
async fn a_code_of_every_class_is_read_with_its_prefix() {
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
            Some(FailureCode::AccountBlocked),
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
        ("BAVMP", "failed", Class::Inconclusive, None),
        ("BAV94", "failed", Class::Misconfigured, None),
        ("BAV1014", "failed", Class::Misconfigured, None),
    ] {
        let answer = heard(&said(code, verification)).await;
        assert_eq!((answer.class, answer.failure), (class, failure), "{code}");
        assert_eq!((answer.code.as_str(), answer.unlisted), (code, false));
    }
}

#[tokio::test]
async fn a_code_that_nobody_knows_or_that_its_word_denies_is_safe_and_counted() {
    for (code, verification) in [
        ("BAVZ9", "failed"),
        ("BAV00", "failed"),
        ("BAVM1", "success"),
    ] {
        let answer = heard(&said(code, verification)).await;
        assert_eq!((answer.class, answer.failure), (Class::Inconclusive, None));
        assert_eq!((answer.code.as_str(), answer.unlisted), (code, true));
    }
    let answer = heard(&json!({"id": ID, "verification": "failed"})).await;
    assert_eq!((answer.code.as_str(), answer.unlisted), ("failed", true));
}

#[tokio::test]
async fn a_name_that_is_missing_or_none_is_none() {
    let named = |data: Value| json!({"code": "BAV00", "verification": "success", "data": data});
    for data in [
        Value::Null,
        json!({}),
        json!({"name": null, "transactionReference": ""}),
        json!({"name": "NA"}),
        json!({"name": " verified "}),
    ] {
        let answer = heard(&named(data.clone())).await;
        assert_eq!(answer.class, Class::Valid, "{data}");
        assert_eq!((answer.name_at_bank, answer.utr), (None, None), "{data}");
    }
}

#[tokio::test]
async fn an_error_that_may_have_come_after_the_rupee_is_a_lost_answer() {
    let body = r#"{"id":"d9342684","error":{"code":"upstream_service_error","detail":"…","traceId":"1-2"}}"#;
    for status in [302, 408, 409, 500, 502, 503, 504] {
        for flow in ["sync", "async"] {
            let server = Scripted::answering(status, "", body).await;
            let setu = setu(&server.origin, &json!({"bank_flow": flow}));
            let lost = verify(setu.as_ref(), &good()).await;
            assert!(is_lost(&lost), "{status} {flow}: {lost:?}");
        }
    }
}

#[tokio::test]
async fn a_call_is_lost_where_its_answer_is_and_is_not_sent_twice() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"id\":";
    for deed in [Deed::Close, Deed::Reset, Deed::Raw(broken.into())] {
        for flow in ["sync", "async"] {
            let server = Scripted::doing(vec![deed.clone()]).await;
            let setu = setu(&server.origin, &json!({"bank_flow": flow}));
            let lost = verify(setu.as_ref(), &good()).await;
            assert!(is_lost(&lost), "{deed:?}: {lost:?}");
            assert_eq!(server.requests().len(), 1, "{deed:?}");
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
            let server = Scripted::answering(200, "", body).await;
            let setu = setu(&server.origin, &json!({"bank_flow": flow}));
            let lost = verify(setu.as_ref(), &good()).await;
            assert!(is_lost(&lost), "{body} {flow}: {lost:?}");
        }
    }
    // Pending under no id could never be asked for.
    let server = Scripted::answering(200, "", r#"{"verification":"pending"}"#).await;
    let setu = setu(&server.origin, &json!({"bank_flow": "sync"}));
    assert!(is_lost(&verify(setu.as_ref(), &good()).await));
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let setu = setu(&format!("http://{closed}"), &json!({}));
    let refused = verify(setu.as_ref(), &good()).await;
    assert!(
        matches!(refused, Err(CallFailure::NotSent(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_error_answer_has_the_class_of_its_status() {
    for (status, body, class, code) in [
        (
            400,
            r#"{"error":{"code":"invalid_input"}}"#,
            Class::Inconclusive,
            "invalid_input",
        ),
        (401, "", Class::Misconfigured, "http_401"),
        (402, "", Class::Misconfigured, "http_402"),
        // Amazon's gateway before Setu's; an IP address that is on no list.
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
        let server = Scripted::answering(status, "retry-after: 7\r\n", body).await;
        let setu = setu(&server.origin, &json!({}));
        let answer = verify(setu.as_ref(), &good()).await.unwrap();
        assert_eq!((answer.class, answer.failure), (class, None), "{status}");
        assert_eq!(answer.code, code);
        let wait = (class == Class::Retryable).then_some(Duration::from_secs(7));
        assert_eq!(answer.retry_after, wait, "{status}");
    }
}

#[tokio::test]
async fn setu_is_never_taken_to_have_not_seen_a_call() {
    for (status, body) in [
        (404, r#"{"error":{"code":"not_found"}}"#),
        (404, ""),
        (401, ""),
        (500, r#"{"error":{"code":"upstream_service_error"}}"#),
        (200, "{}"),
        (200, "<html>"),
    ] {
        let server = Scripted::answering(status, "", body).await;
        let setu = setu(&server.origin, &json!({}));
        let looked = lookup(setu.as_ref(), Some(ID)).await;
        assert!(is_lost(&looked), "{status} {body}: {looked:?}");
    }
    // It knows no reference of ours: nobody is asked.
    let server = Scripted::answering(200, "", "{}").await;
    let setu = setu(&server.origin, &json!({}));
    for theirs in [None, Some(""), Some("../../ban"), Some("a b")] {
        assert!(is_lost(&lookup(setu.as_ref(), theirs).await), "{theirs:?}");
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
async fn what_went_wrong_is_told_without_anything_of_the_payee() {
    let details = bank("00011020001772", "HDFC0000001", Some("Asha Rao"));
    let server = Scripted::answering(200, "", r#"{"accountNumber":"00011020001772","#).await;
    let setu = setu(&server.origin, &json!({}));
    let told = verify(setu.as_ref(), &details).await.unwrap_err();
    for personal in ["00011020001772", "Asha", "HDFC0000001", "s3cret"] {
        assert!(!told.to_string().contains(personal), "{told}");
    }
}
