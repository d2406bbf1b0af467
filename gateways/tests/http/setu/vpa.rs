//! UPI addresses, with a token at hand.

use std::time::Duration;

use khata_domain::routing::Ineligible;
use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, GatewayResponse, Method, Recovery};
use khata_gateways::Connector;
use serde_json::{Value, json};

use super::{ULID, credentials, setu, setu_with};
use crate::scripted::{Deed, Scripted};
use crate::support::{call, consent, good, is_lost, reference, upi};

async fn verify(setu: &dyn Connector) -> Result<GatewayResponse, CallFailure> {
    let (details, reference) = (upi("asha@okhdfc"), reference());
    setu.verify(&call(setu, &reference, &details, None)).await
}

fn said(status: &str) -> Value {
    json!({
        "createdAt": "2023-09-04T12:08:20+0530", "customerName": "ASHA RAO", "customerVpa": "asha@okhdfc",
        "id": ULID, "merchantId": ULID, "merchantReferenceId": "kh1", "status": status
    })
}

#[tokio::test]
async fn an_address_is_sent_under_our_reference_with_token_and_merchant() {
    let server = Scripted::answering(200, "", &said("valid").to_string()).await;
    let setu = setu(&server.origin, &json!({}));
    let (details, reference) = (upi("asha@okhdfc"), reference());
    let call = call(setu.as_ref(), &reference, &details, None);
    let answer = setu.verify(&call).await.unwrap();
    assert_eq!(
        (answer.class, answer.code.as_str()),
        (Class::Valid, "valid")
    );
    assert_eq!(answer.name_at_bank.unwrap().as_str(), "ASHA RAO");
    assert_eq!(answer.gateway_reference.as_deref(), Some(ULID));
    let (head, body) = server.request();
    assert!(
        head.starts_with("post /umap/api/v1/merchants/customer-vpas/verify http/1.1"),
        "{head}"
    );
    for line in [
        "authorization: bearer a.t0ken".to_owned(),
        format!("merchantid: {}", ULID.to_lowercase()),
        "content-type: application/json".to_owned(),
    ] {
        assert!(head.contains(&line), "{head}");
    }
    assert!(!head.contains("x-client-secret"), "another service's");
    assert_eq!(
        body,
        json!({"customerVpa": "asha@okhdfc", "merchantReferenceId": reference})
    );
}

#[tokio::test]
async fn every_status_has_its_class() {
    for (status, class, failure, unlisted) in [
        ("pending", Class::Pending, None, false),
        ("valid", Class::Valid, None, false),
        (
            "invalid",
            Class::Invalid,
            Some(FailureCode::InvalidVpa),
            false,
        ),
        ("failed", Class::Retryable, None, false),
        ("perhaps", Class::Inconclusive, None, true),
    ] {
        let server = Scripted::answering(200, "", &said(status).to_string()).await;
        let answer = verify(setu(&server.origin, &json!({})).as_ref()).await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.class, answer.failure, answer.unlisted),
            (class, failure, unlisted),
            "{status}"
        );
    }
}

#[tokio::test]
async fn what_is_pending_is_asked_for_by_umaps_id() {
    let server = Scripted::doing(
        ["pending", "pending", "invalid"]
            .map(|status| Deed::GatewayResponse(200, "", said(status).to_string()))
            .into(),
    )
    .await;
    let setu = setu(&server.origin, &json!({}));
    let (details, reference) = (upi("asha@okhdfc"), reference());
    let call = call(setu.as_ref(), &reference, &details, None);
    let accepted = setu.verify(&call).await.unwrap();
    let theirs = accepted.gateway_reference.as_deref();
    for class in [Class::Pending, Class::Invalid] {
        let answer = setu.lookup(&call, theirs).await.unwrap().unwrap();
        assert_eq!(answer.class, class);
    }
    for request in &server.requests()[1..] {
        let line = format!("GET /umap/api/v1/merchants/customer-vpas/verify/{ULID} HTTP/1.1");
        assert!(request.starts_with(&line), "{request}");
        assert!(request.contains("authorization: Bearer a.t0ken"));
    }
    assert!(is_lost(&setu.lookup(&call, None).await), "it has no other");
}

#[tokio::test]
async fn as_a_look_up_moves_nothing_an_error_is_no_more_than_an_error() {
    let body = r#"{"code":"bad-request","detail":"…","docUrl":""}"#;
    for (status, class) in [
        (400, Class::Inconclusive),
        (401, Class::Misconfigured),
        (403, Class::Misconfigured),
        (404, Class::Misconfigured),
        (409, Class::Retryable),
        (429, Class::Retryable),
        (500, Class::Retryable),
        (503, Class::Retryable),
    ] {
        let server = Scripted::answering(status, "retry-after: 7\r\n", body).await;
        let answer = verify(setu(&server.origin, &json!({})).as_ref()).await;
        let answer = answer.unwrap();
        assert_eq!((answer.class, answer.failure), (class, None), "{status}");
        assert_eq!(answer.code, "bad-request");
        let wait = (class == Class::Retryable).then_some(Duration::from_secs(7));
        assert_eq!(answer.retry_after, wait, "{status}");
        assert_eq!(server.requests().len(), 1, "a given token is not renewed");
    }
    let setu = setu("http://127.0.0.1:9", &json!({}));
    let recovery = setu.recovery(&upi("asha@okhdfc"), Method::VpaLookup);
    assert_eq!(recovery, Recovery::Resubmit);
}

#[tokio::test]
async fn an_answer_that_is_none_is_lost() {
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"id":"1","status":""}"#,
        r#"{"status":"pending"}"#,
    ] {
        let server = Scripted::answering(200, "", body).await;
        let lost = verify(setu(&server.origin, &json!({})).as_ref()).await;
        assert!(is_lost(&lost), "{body}: {lost:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_none() {
    for name in [json!("NA"), json!(""), Value::Null] {
        let mut body = said("valid");
        body["customerName"] = name;
        let server = Scripted::answering(200, "", &body.to_string()).await;
        let answer = verify(setu(&server.origin, &json!({})).as_ref()).await;
        assert_eq!(answer.unwrap().name_at_bank, None);
    }
}

#[tokio::test]
async fn only_addresses_that_umap_takes_fit_and_only_where_there_are_credentials() {
    let origin = "http://127.0.0.1:9";
    let given = consent(true);
    let full = setu(origin, &json!({}));
    let fit = |vpa: &str| full.eligible_method(&upi(vpa), Some(&given));
    assert_eq!(fit("asha.rao-1@okhdfc"), Ok(Method::VpaLookup));
    assert_eq!(fit("asha_rao@okhdfc"), Err(Ineligible::Limits));
    assert_eq!(full.eligible_method(&good(), None), Ok(Method::PennyDrop));
    let mut without = credentials();
    without.as_object_mut().unwrap().remove("umap");
    let bank_only = setu_with(origin, &without, &json!({}));
    assert_eq!(
        bank_only.eligible_method(&upi("asha@okhdfc"), None),
        Err(Ineligible::Kind)
    );
    assert_eq!(
        bank_only.eligible_method(&good(), None),
        Ok(Method::PennyDrop)
    );
    for (methods, bank, vpa) in [
        (
            json!(["PENNY_DROP"]),
            Ok(Method::PennyDrop),
            Err(Ineligible::Kind),
        ),
        (
            json!(["VPA_LOOKUP"]),
            Err(Ineligible::Kind),
            Ok(Method::VpaLookup),
        ),
    ] {
        let setu = setu(origin, &json!({"methods": methods}));
        assert_eq!(setu.eligible_method(&good(), None), bank);
        assert_eq!(setu.eligible_method(&upi("asha@okhdfc"), None), vpa);
    }
}

#[tokio::test]
async fn an_address_is_looked_for_sooner_than_a_rupee() {
    let setu = setu("http://127.0.0.1:9", &json!({}));
    let first = |method| setu.polling(method).wait(0);
    assert!(first(Method::VpaLookup) < first(Method::PennyDrop));
    assert!(first(Method::PennyDrop) >= Duration::from_secs(90), "NPCI");
}
