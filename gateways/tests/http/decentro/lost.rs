//! Calls that were turned away, and calls of which nobody can tell.

use std::net::TcpListener;
use std::time::Duration;

use khata_domain::{CallFailure, Class};
use serde_json::{Value, json};

use super::{decentro, lookup, refusal, verify};
use crate::scripted::{Deed, Scripted};
use crate::support::{good, is_lost};

#[tokio::test]
async fn a_refusal_has_the_class_of_its_key_or_status() {
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
            refusal("error_insufficient_account_balance"),
            Class::Misconfigured,
            "error_insufficient_account_balance",
            false,
        ),
        (
            200,
            refusal("error_insufficient_prepaid_credits"),
            Class::Misconfigured,
            "error_insufficient_prepaid_credits",
            false,
        ),
        (
            400,
            refusal("error_unauthorized_module"),
            Class::Misconfigured,
            "error_unauthorized_module",
            false,
        ),
        (
            400,
            refusal("error_unsanitized_values"),
            Class::Inconclusive,
            "error_unsanitized_values",
            false,
        ),
        (
            400,
            refusal("error_of_next_year"),
            Class::Inconclusive,
            "error_of_next_year",
            true,
        ),
        (
            200,
            refusal("error_of_next_year"),
            Class::Inconclusive,
            "error_of_next_year",
            true,
        ),
        (429, json!({}), Class::Retryable, "http_429", false),
    ] {
        let server = Scripted::answering(status, "retry-after: 60\r\n", &body.to_string()).await;
        let decentro = decentro(&server.origin, &json!({}));
        let answer = verify(decentro.as_ref(), &good()).await.unwrap();
        assert_eq!(
            (answer.class, answer.failure, answer.unlisted),
            (class, None, unlisted),
            "{status} {body}"
        );
        assert_eq!(answer.code, code);
        let wait = (class == Class::Retryable).then_some(Duration::from_mins(1));
        assert_eq!(answer.retry_after, wait);
    }
}

#[tokio::test]
async fn a_call_that_may_have_been_acted_upon_is_lost() {
    let duplicate = refusal("error_duplicate_reference_id").to_string();
    let provider = refusal("error_provider_error").to_string();
    let unsaid =
        json!({"api_status": "SUCCESS", "response_key": "success_of_next_year", "data": {}});
    for (status, body) in [
        (200, duplicate.as_str()),
        (400, &duplicate),
        (400, &provider),
        (200, &unsaid.to_string()),
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
        (500, &refusal("error_unsanitized_values").to_string()),
        (503, ""),
    ] {
        let server = Scripted::answering(status, "", body).await;
        let decentro = decentro(&server.origin, &json!({}));
        let lost = verify(decentro.as_ref(), &good()).await;
        assert!(is_lost(&lost), "{status} {body}: {lost:?}");
    }
    for deed in [Deed::Close, Deed::Reset] {
        let server = Scripted::doing(vec![deed.clone()]).await;
        let decentro = decentro(&server.origin, &json!({}));
        let lost = verify(decentro.as_ref(), &good()).await;
        assert!(is_lost(&lost), "{deed:?}: {lost:?}");
        assert_eq!(server.requests().len(), 1, "{deed:?}");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let decentro = decentro(&format!("http://{closed}"), &json!({}));
    let refused = verify(decentro.as_ref(), &good()).await;
    assert!(
        matches!(refused, Err(CallFailure::NotSent(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn never_seen_is_believed_only_in_decentros_own_words() {
    for status in [200, 400, 404] {
        let body = refusal("error_transaction_not_found").to_string();
        let server = Scripted::answering(status, "", &body).await;
        let decentro = decentro(&server.origin, &json!({}));
        assert_eq!(lookup(decentro.as_ref(), None).await, Ok(None), "{status}");
    }
    // To believe any of these would be to pay again.
    let mut success = refusal("error_transaction_not_found");
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
        (200, refusal("").to_string()),
        (200, refusal("error_account_not_found").to_string()),
        (401, refusal("error_transaction_not_found").to_string()),
        (500, refusal("error_transaction_not_found").to_string()),
    ] {
        let server = Scripted::answering(status, "", &body).await;
        let decentro = decentro(&server.origin, &json!({}));
        let answer = lookup(decentro.as_ref(), None).await;
        assert!(is_lost(&answer), "{status} {body}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_said_of_the_look_tells_nothing_of_the_call() {
    for (status, body) in [
        (401, json!({})),
        (403, json!({})),
        (400, refusal("error_insufficient_account_balance")),
        (200, refusal("error_insufficient_account_balance")),
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
        let server = Scripted::answering(status, "", &body.to_string()).await;
        let decentro = decentro(&server.origin, &json!({}));
        let answer = lookup(decentro.as_ref(), None).await;
        assert!(is_lost(&answer), "{status} {body}: {answer:?}");
    }
}

#[tokio::test]
async fn what_a_look_says_of_the_call_it_found_is_as_good_as_its_answer() {
    let found = |key: &str| json!({"api_status": "SUCCESS", "response_key": "success_of_the_look", "request_response_key": key});
    let looked = async |key: &str| {
        let server = Scripted::answering(200, "", &found(key).to_string()).await;
        let decentro = decentro(&server.origin, &json!({}));
        lookup(decentro.as_ref(), None).await
    };
    let answer = looked("error_insufficient_account_balance").await;
    assert_eq!(answer.unwrap().unwrap().class, Class::Misconfigured);
    for open in ["error_provider_error", "error_duplicate_reference_id", ""] {
        assert!(is_lost(&looked(open).await), "{open}");
    }
    // Not found, whatever else is told.
    let mut failure = found("error_insufficient_account_balance");
    failure["api_status"] = "FAILURE".into();
    let server = Scripted::answering(200, "", &failure.to_string()).await;
    let decentro = decentro(&server.origin, &json!({}));
    assert!(is_lost(&lookup(decentro.as_ref(), None).await));
}
