//! Rejected calls, and calls whose outcome is unknown.

use std::time::Duration;

use khata_domain::gateway::SETTLING_TIME;
use khata_domain::{CallFailure, Class};
use serde_json::{Value, json};

use super::{decentro, lookup, rejection, verify};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{CLOSED_PORT, good, is_lost};

#[tokio::test]
async fn a_rejection_has_the_class_of_its_key_or_status() {
    for (status, body, class, code, unlisted) in [
        (401, json!({}), Class::Misconfigured, "http_401", false),
        (
            403,
            json!({"message": "IP not whitelisted"}),
            Class::Misconfigured,
            "http_403",
            false,
        ),
        (404, Value::Null, Class::Misconfigured, "http_404", false),
        (
            400,
            rejection("error_insufficient_account_balance"),
            Class::Misconfigured,
            "error_insufficient_account_balance",
            false,
        ),
        (
            200,
            rejection("error_insufficient_prepaid_credits"),
            Class::Misconfigured,
            "error_insufficient_prepaid_credits",
            false,
        ),
        (
            400,
            rejection("error_unauthorized_module"),
            Class::Misconfigured,
            "error_unauthorized_module",
            false,
        ),
        (
            400,
            rejection("error_unsanitized_values"),
            Class::Inconclusive,
            "error_unsanitized_values",
            false,
        ),
        (
            400,
            rejection("error_of_next_year"),
            Class::Inconclusive,
            "error_of_next_year",
            true,
        ),
        (
            200,
            rejection("error_of_next_year"),
            Class::Inconclusive,
            "error_of_next_year",
            true,
        ),
        (429, json!({}), Class::Retryable, "http_429", false),
    ] {
        let server =
            ScriptedServer::responding(status, "retry-after: 60\r\n", &body.to_string()).await;
        let decentro = decentro(&server.origin, &json!({}));
        let response = verify(decentro.as_ref(), &good()).await.unwrap();
        assert_eq!(
            (response.class, response.failure, response.unlisted),
            (class, None, unlisted),
            "{status} {body}"
        );
        assert_eq!(response.code, code);
        let wait = (class == Class::Retryable).then_some(Duration::from_mins(1));
        assert_eq!(response.retry_after, wait);
    }
}

#[tokio::test]
async fn a_call_that_decentro_may_have_acted_on_is_lost() {
    let duplicate = rejection("error_duplicate_reference_id").to_string();
    let provider = rejection("error_provider_error").to_string();
    let without_outcome =
        json!({"api_status": "SUCCESS", "response_key": "success_of_next_year", "data": {}});
    for (status, body) in [
        (200, duplicate.as_str()),
        (400, &duplicate),
        (400, &provider),
        (200, &without_outcome.to_string()),
        (200, ""),
        (
            400,
            r#"{"response_key":"error_duplicate_reference_id","data":"none"}"#,
        ),
        (200, "{}"),
        (200, "null"),
        (200, "<html>"),
        (202, r#"{"data":{"account_status":"VALID"}}"#),
        (302, ""),
        (408, ""),
        (409, ""),
        (500, r#"{"data":{"account_status":"INVALID"}}"#),
        (500, &rejection("error_unsanitized_values").to_string()),
        (503, ""),
    ] {
        let server = ScriptedServer::responding(status, "", body).await;
        let decentro = decentro(&server.origin, &json!({}));
        let lost = verify(decentro.as_ref(), &good()).await;
        assert!(is_lost(&lost), "{status} {body}: {lost:?}");
    }
    for reaction in [Reaction::Close, Reaction::Reset] {
        let server = ScriptedServer::with_reactions(vec![reaction.clone()]).await;
        let decentro = decentro(&server.origin, &json!({}));
        let lost = verify(decentro.as_ref(), &good()).await;
        assert!(is_lost(&lost), "{reaction:?}: {lost:?}");
        assert_eq!(server.requests().len(), 1, "{reaction:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let decentro = decentro(CLOSED_PORT, &json!({}));
    let refused = verify(decentro.as_ref(), &good()).await;
    assert!(
        matches!(refused, Err(CallFailure::NotSent(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn never_seen_counts_only_in_decentros_own_words() {
    for status in [200, 400, 404] {
        let body = rejection("error_transaction_not_found").to_string();
        let server = ScriptedServer::responding(status, "", &body).await;
        let decentro = decentro(&server.origin, &json!({}));
        assert_eq!(lookup(decentro.as_ref(), None).await, Ok(None), "{status}");
    }
    // Taken for "never seen", the call would pay again.
    let mut success = rejection("error_transaction_not_found");
    success["api_status"] = "SUCCESS".into();
    for (status, body) in [
        (404, "<html>404</html>".to_owned()),
        (404, String::new()),
        (404, r#"{"message":"no Route matched"}"#.to_owned()),
        (
            404,
            r#"{"response_key":"error_transaction_not_found"}"#.to_owned(),
        ),
        (200, success.to_string()),
        (200, rejection("").to_string()),
        (200, rejection("error_account_not_found").to_string()),
        (401, rejection("error_transaction_not_found").to_string()),
        (500, rejection("error_transaction_not_found").to_string()),
    ] {
        let server = ScriptedServer::responding(status, "", &body).await;
        let decentro = decentro(&server.origin, &json!({}));
        let response = lookup(decentro.as_ref(), None).await;
        assert!(is_lost(&response), "{status} {body}: {response:?}");
    }
}

#[tokio::test]
async fn an_error_of_the_lookup_leaves_the_call_open() {
    for (status, body) in [
        (401, json!({})),
        (403, json!({})),
        (400, rejection("error_insufficient_account_balance")),
        (200, rejection("error_insufficient_account_balance")),
        (
            200,
            json!({"api_status": "SUCCESS", "response_key": "error_unauthorized_module"}),
        ),
        (
            403,
            json!({"api_status": "SUCCESS", "data": {"account_status": "VALID"}}),
        ),
        (503, json!({})),
    ] {
        let server = ScriptedServer::responding(status, "", &body.to_string()).await;
        let decentro = decentro(&server.origin, &json!({}));
        let response = lookup(decentro.as_ref(), None).await;
        assert!(is_lost(&response), "{status} {body}: {response:?}");
    }
}

#[tokio::test]
async fn a_lookup_returns_the_original_rejection() {
    let found = |key: &str| json!({"api_status": "SUCCESS", "response_key": "success_of_the_look", "request_response_key": key});
    let look_up = async |key: &str| {
        let server = ScriptedServer::responding(200, "", &found(key).to_string()).await;
        let decentro = decentro(&server.origin, &json!({}));
        lookup(decentro.as_ref(), None).await
    };
    let response = look_up("error_insufficient_account_balance").await;
    assert_eq!(response.unwrap().unwrap().class, Class::Misconfigured);
    for open in ["error_provider_error", "error_duplicate_reference_id", ""] {
        assert!(is_lost(&look_up(open).await), "{open}");
    }
    // Not found; the other members do not count.
    let mut failure = found("error_insufficient_account_balance");
    failure["api_status"] = "FAILURE".into();
    let server = ScriptedServer::responding(200, "", &failure.to_string()).await;
    let decentro = decentro(&server.origin, &json!({}));
    assert!(is_lost(&lookup(decentro.as_ref(), None).await));
}

#[tokio::test]
async fn a_call_that_is_not_found_is_repeated_at_decentro_only() {
    let late = decentro("http://127.0.0.1:9", &json!({})).late_calls(&good());
    // A second use of a `reference_id` is refused; another gateway does not know it.
    assert!(late.refuses_repeats && late.settles_after == SETTLING_TIME);
    assert_eq!(late.given_up_after, None);
}
