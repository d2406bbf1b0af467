//! UPI addresses, with a given token.

use std::time::Duration;

use khata_domain::routing::Ineligible;
use khata_domain::validation::FailureCode;
use khata_domain::{AccountType, CallFailure, Class, GatewayResponse, Method, Recovery};
use khata_gateways::Connector;
use serde_json::{Value, json};

use super::{ULID, credentials, setu, setu_with};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{call, consent, good, is_lost, reference, upi};

async fn verify(setu: &dyn Connector) -> Result<GatewayResponse, CallFailure> {
    let (details, reference) = (upi("asha@okhdfc"), reference());
    setu.verify(&call(setu, &reference, &details, None)).await
}

fn vpa_reply(status: &str) -> Value {
    json!({
        "createdAt": "2023-09-04T12:08:20+0530", "customerName": "ASHA RAO", "customerVpa": "asha@okhdfc",
        "id": ULID, "merchantId": ULID, "merchantReferenceId": "kh1", "status": status
    })
}

#[tokio::test]
async fn an_address_is_sent_under_our_reference_with_token_and_merchant() {
    let server = ScriptedServer::responding(200, "", &vpa_reply("valid").to_string()).await;
    let setu = setu(&server.origin, &json!({}));
    let (details, reference) = (upi("asha@okhdfc"), reference());
    let call = call(setu.as_ref(), &reference, &details, None);
    let response = setu.verify(&call).await.unwrap();
    assert_eq!(
        (response.class, response.code.as_str()),
        (Class::Valid, "valid")
    );
    assert_eq!(response.name_at_bank.unwrap().as_str(), "ASHA RAO");
    assert_eq!(response.gateway_reference.as_deref(), Some(ULID));
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
    assert!(
        !head.contains("x-client-secret"),
        "a header of another service"
    );
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
        let server = ScriptedServer::responding(200, "", &vpa_reply(status).to_string()).await;
        let response = verify(setu(&server.origin, &json!({})).as_ref()).await;
        let response = response.unwrap();
        assert_eq!(
            (response.class, response.failure, response.unlisted),
            (class, failure, unlisted),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_pending_outcome_is_polled_by_umaps_id() {
    let server = ScriptedServer::with_reactions(
        ["pending", "pending", "invalid"]
            .map(|status| Reaction::Respond(200, "", vpa_reply(status).to_string()))
            .into(),
    )
    .await;
    let setu = setu(&server.origin, &json!({}));
    let (details, reference) = (upi("asha@okhdfc"), reference());
    let call = call(setu.as_ref(), &reference, &details, None);
    let accepted = setu.verify(&call).await.unwrap();
    let gateway_reference = accepted.gateway_reference.as_deref();
    for class in [Class::Pending, Class::Invalid] {
        let response = setu
            .lookup(&call, gateway_reference)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(response.class, class);
    }
    for request in &server.requests()[1..] {
        let line = format!("GET /umap/api/v1/merchants/customer-vpas/verify/{ULID} HTTP/1.1");
        assert!(request.starts_with(&line), "{request}");
        assert!(request.contains("authorization: Bearer a.t0ken"));
    }
    assert!(
        is_lost(&setu.lookup(&call, None).await),
        "UMAP has no other lookup"
    );
}

#[tokio::test]
async fn an_error_reply_to_a_lookup_has_the_class_of_its_status() {
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
        let server = ScriptedServer::responding(status, "retry-after: 7\r\n", body).await;
        let response = verify(setu(&server.origin, &json!({})).as_ref()).await;
        let response = response.unwrap();
        assert_eq!(
            (response.class, response.failure),
            (class, None),
            "{status}"
        );
        assert_eq!(response.code, "bad-request");
        let wait = (class == Class::Retryable).then_some(Duration::from_secs(7));
        assert_eq!(response.retry_after, wait, "{status}");
        assert_eq!(server.requests().len(), 1, "a given token is not renewed");
    }
    let setu = setu("http://127.0.0.1:9", &json!({}));
    let recovery = setu.recovery(&upi("asha@okhdfc"), Method::VpaLookup);
    assert_eq!(recovery, Recovery::Resubmit);
}

#[tokio::test]
async fn a_malformed_reply_is_lost() {
    for body in [
        "",
        "<html>",
        "{}",
        r#"{"id":"1","status":""}"#,
        r#"{"status":"pending"}"#,
    ] {
        let server = ScriptedServer::responding(200, "", body).await;
        let lost = verify(setu(&server.origin, &json!({})).as_ref()).await;
        assert!(is_lost(&lost), "{body}: {lost:?}");
    }
}

#[tokio::test]
async fn an_empty_name_is_none() {
    for name in [json!(" "), json!(""), Value::Null] {
        let mut body = vpa_reply("valid");
        body["customerName"] = name;
        let server = ScriptedServer::responding(200, "", &body.to_string()).await;
        let response = verify(setu(&server.origin, &json!({})).as_ref()).await;
        assert_eq!(response.unwrap().name_at_bank, None);
    }
}

#[tokio::test]
async fn only_addresses_that_umap_accepts_are_eligible() {
    let origin = "http://127.0.0.1:9";
    let given = consent(true);
    let full = setu(origin, &json!({}));
    let eligible = |vpa: &str| full.eligible_method(&upi(vpa), Some(&given));
    assert_eq!(eligible("asha.rao-1@okhdfc"), Ok(Method::VpaLookup));
    assert_eq!(eligible("asha_rao@okhdfc"), Err(Ineligible::Limits));
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
async fn a_lookup_is_polled_sooner_than_a_penny_drop() {
    let setu = setu("http://127.0.0.1:9", &json!({}));
    let first = |method| setu.polling(method).wait(0);
    assert!(first(Method::VpaLookup) < first(Method::PennyDrop));
    assert!(first(Method::PennyDrop) >= Duration::from_secs(90), "NPCI");
}

#[tokio::test]
async fn the_account_type_is_returned_if_it_is_a_text() {
    for (word, account_type) in [
        (json!("SAVINGS"), Some(AccountType::Savings)),
        (json!("NRO"), Some(AccountType::Nro)),
        (json!("a type of next year"), Some(AccountType::Other)),
        (json!({}), None),
        (Value::Null, None),
    ] {
        let mut body = vpa_reply("valid");
        body["customerAccountType"] = word.clone();
        let server = ScriptedServer::responding(200, "", &body.to_string()).await;
        let response = verify(setu(&server.origin, &json!({})).as_ref()).await;
        let response = response.unwrap();
        assert_eq!(response.class, Class::Valid, "{word}");
        assert_eq!(response.account_type, account_type, "{word}");
    }
}
