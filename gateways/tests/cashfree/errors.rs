//! Error replies, which say nothing about the account.

use std::time::Duration;

use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, GatewayResponse};
use khata_gateways::Connector;
use serde_json::json;

use super::cashfree;
use crate::sandbox::Sandbox;
use crate::scripted::ScriptedServer;
use crate::support::{call, consent, good, reference, upi};

async fn verify(connector: &dyn Connector) -> Result<GatewayResponse, CallFailure> {
    let (details, reference) = (good(), reference());
    connector
        .verify(&call(connector, &reference, &details, None))
        .await
}

#[tokio::test]
async fn wrong_credentials_are_misconfigured() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree_with_secret("wrong");
    let (bank, upi, given) = (good(), upi("success@upi"), consent(true));
    for (details, consent) in [(&bank, None), (&upi, Some(&given)), (&upi, None)] {
        let reference = reference();
        let call = call(cashfree.as_ref(), &reference, details, consent);
        let response = cashfree.verify(&call).await.unwrap();
        assert_eq!(
            (response.class, response.failure),
            (Class::Misconfigured, None)
        );
        assert_eq!(response.code, "authentication_failed");
        let found = cashfree.lookup(&call, None).await;
        assert!(
            matches!(found, Err(CallFailure::ResponseLost(_))),
            "not None: {found:?}"
        );
        assert_eq!(sandbox.drops(&reference).await, 0);
    }
}

#[tokio::test]
async fn an_error_reply_has_the_class_of_its_status_and_code() {
    for (status, body, class) in [
        (
            400,
            r#"{"code":"bank_account_length_short"}"#,
            Class::Inconclusive,
        ),
        (401, "", Class::Misconfigured),
        (
            403,
            r#"{"code":"ip_validation_failed"}"#,
            Class::Misconfigured,
        ),
        (404, "<html>", Class::Misconfigured),
        (
            422,
            r#"{"code":"insufficient_balance"}"#,
            Class::Misconfigured,
        ),
        (422, r#"{"code":"npci_unavailable"}"#, Class::Retryable),
        (
            422,
            r#"{"code":"BENEFICIARY_BANK_OFFLINE"}"#,
            Class::Retryable,
        ),
        (422, r#"{"code":"imps_mode_fail"}"#, Class::Inconclusive),
        (
            422,
            r#"{"code":"a_code_of_next_year"}"#,
            Class::Inconclusive,
        ),
        (429, "", Class::Retryable),
    ] {
        let server = ScriptedServer::responding(status, "", body).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let response = verify(cashfree.as_ref()).await.unwrap();
        let says_why = body.contains("imps_mode_fail");
        let failure = says_why.then_some(FailureCode::ImpsNotEnabled);
        assert_eq!(
            (response.class, response.failure),
            (class, failure),
            "{status} {body}"
        );
        assert!(!response.code.is_empty(), "{status} {body}");
    }
}

#[tokio::test]
async fn an_error_that_may_follow_the_work_is_a_lost_response() {
    for status in [409, 500, 502, 503, 504] {
        let server = ScriptedServer::responding(status, "", r#"{"code":"internal_error"}"#).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let lost = verify(cashfree.as_ref()).await;
        assert!(
            matches!(lost, Err(CallFailure::ResponseLost(_))),
            "{status}: {lost:?}"
        );
    }
}

#[tokio::test]
async fn an_unknown_success_status_is_a_lost_response() {
    // 2xx: Cashfree may have acted on the call.
    for status in [201, 202, 204] {
        let server = ScriptedServer::responding(status, "", "").await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let lost = verify(cashfree.as_ref()).await;
        assert!(
            matches!(lost, Err(CallFailure::ResponseLost(_))),
            "{status}: {lost:?}"
        );
    }
}

#[tokio::test]
async fn too_many_calls_are_retried_after_cashfrees_delay() {
    for (headers, retry_after) in [
        ("retry-after: 7\r\n", Some(7)),
        ("x-ratelimit-reset: 11\r\n", Some(11)),
        ("retry-after: 7\r\nx-ratelimit-reset: 11\r\n", Some(7)),
        ("retry-after: Wed, 21 Oct 2026 07:28:00 GMT\r\n", None),
        ("", None),
    ] {
        let server =
            ScriptedServer::responding(429, headers, r#"{"code":"too_many_requests"}"#).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let response = verify(cashfree.as_ref()).await.unwrap();
        assert_eq!(response.class, Class::Retryable);
        assert_eq!(
            response.retry_after,
            retry_after.map(Duration::from_secs),
            "{headers}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_our_credentials() {
    let elsewhere = ScriptedServer::responding(200, "", "{}").await;
    let location: &'static str = format!("location: {}\r\n", elsewhere.origin).leak();
    let server = ScriptedServer::responding(307, location, "").await;
    let cashfree = cashfree(&server.origin, "secret", &json!({}));
    let response = verify(cashfree.as_ref()).await;
    let decides_nothing = match &response {
        Ok(response) => !matches!(
            response.class,
            Class::Valid | Class::Invalid | Class::Review
        ),
        Err(_) => true,
    };
    assert!(decides_nothing, "{response:?}");
    assert!(elsewhere.requests().is_empty());
}
