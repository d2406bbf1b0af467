//! Error replies: our own faults, calls that may be retried, and calls that Razorpay may have acted on.

use std::time::Duration;

use khata_domain::{CallFailure, Class};
use serde_json::json;

use super::{answered, razorpay};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{CLOSED_PORT, call, consent, good, is_lost, reference, upi};

fn error(code: &str, description: &str, reason: &str) -> String {
    json!({"error": {
        "code": code, "description": description, "source": "business", "step": "NA",
        "reason": reason, "metadata": {}, "field": null
    }})
    .to_string()
}

#[tokio::test]
async fn our_own_faults_are_misconfigured() {
    let bad = "BAD_REQUEST_ERROR";
    for (status, body, class, code) in [
        (
            401,
            error(bad, "Authentication failed", "NA"),
            Class::Misconfigured,
            bad,
        ),
        (403, String::new(), Class::Misconfigured, "http_403"),
        (
            400,
            error(
                bad,
                "Transactions from this IP are not allowed. Contact support for help.",
                "null",
            ),
            Class::Misconfigured,
            bad,
        ),
        (
            400,
            error(bad, "The requested URL was not found on the server.", "NA"),
            Class::Misconfigured,
            bad,
        ),
        (
            404,
            error(bad, "The requested URL was not found on the server.", "NA"),
            Class::Misconfigured,
            bad,
        ),
        (
            400,
            error(
                bad,
                "Your account does not have enough balance to carry out the payout operation.",
                "insufficient_funds",
            ),
            Class::Misconfigured,
            "insufficient_funds",
        ),
        (
            400,
            error(
                bad,
                "The account number format is invalid.",
                "input_validation_failed",
            ),
            Class::Inconclusive,
            "input_validation_failed",
        ),
    ] {
        let response = answered(status, "", &body, &good(), None).await.unwrap();
        assert_eq!(
            (response.class, response.code.as_str()),
            (class, code),
            "{status} {body}"
        );
        assert!(!response.unlisted, "{status} {body}");
    }
    let response = answered(418, "", "", &good(), None).await.unwrap();
    assert_eq!(
        (response.class, response.unlisted),
        (Class::Inconclusive, true)
    );
}

#[tokio::test]
async fn too_many_calls_are_retried_after_razorpays_delay() {
    for (headers, wait) in [("retry-after: 7\r\n", Some(7)), ("", None)] {
        let response = answered(429, headers, "", &good(), None).await.unwrap();
        assert_eq!(response.class, Class::Retryable);
        assert_eq!(response.retry_after, wait.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn a_call_that_razorpay_may_have_acted_on_is_lost() {
    let given = consent(true);
    let server_error = error("SERVER_ERROR", "We are facing some trouble", "server_error");
    let different = error(
        "BAD_REQUEST_ERROR",
        "Different request body sent for the same Idempotency Header",
        "null",
    );
    for (details, consent) in [(good(), None), (upi("asha@upi"), Some(&given))] {
        for (status, body) in [
            (500, &server_error),
            (502, &String::new()),
            (503, &String::new()),
            (409, &String::new()),
            (408, &String::new()),
            (302, &String::new()),
            (400, &different),
        ] {
            let response = answered(status, "", body, &details, consent).await;
            assert!(is_lost(&response), "{status}: {response:?}");
        }
    }
    for reaction in [
        Reaction::Close,
        Reaction::Reset,
        Reaction::Raw("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{".into()),
    ] {
        let server = ScriptedServer::with_reactions(vec![reaction.clone()]).await;
        let razorpay = razorpay(&server.origin, &json!({}));
        let (details, reference) = (good(), reference());
        let call = call(razorpay.as_ref(), &reference, &details, None);
        let broken = razorpay.verify(&call).await;
        assert!(is_lost(&broken), "{reaction:?}: {broken:?}");
        assert_eq!(server.requests().len(), 1, "{reaction:?}: sent once");
    }
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let razorpay = razorpay(CLOSED_PORT, &json!({}));
    let (details, reference) = (good(), reference());
    let call = call(razorpay.as_ref(), &reference, &details, None);
    let refused = razorpay.verify(&call).await;
    assert!(
        matches!(refused, Err(CallFailure::NotSent(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_error_reply_to_a_poll_leaves_the_call_open() {
    let unknown = error("BAD_REQUEST_ERROR", "The id provided does not exist", "NA");
    for (status, body) in [(400, unknown.as_str()), (401, ""), (404, ""), (500, "")] {
        let server = ScriptedServer::responding(status, "", body).await;
        let razorpay = razorpay(&server.origin, &json!({}));
        let (details, reference) = (good(), reference());
        let call = call(razorpay.as_ref(), &reference, &details, None);
        let polled = razorpay.lookup(&call, Some("fav_00000000000001")).await;
        assert!(
            is_lost(&polled),
            "{status}: never \"not seen\", which would pay again: {polled:?}"
        );
    }
}

#[tokio::test]
async fn a_rejection_of_the_repeated_call_leaves_the_first_one_lost() {
    let (details, reference) = (good(), reference());
    let repeat = async |status: u16, body: &str| {
        let server = ScriptedServer::responding(status, "", body).await;
        let razorpay = razorpay(&server.origin, &json!({}));
        let call = call(razorpay.as_ref(), &reference, &details, None);
        razorpay.verify_again(&call).await
    };
    let no_balance = error("BAD_REQUEST_ERROR", "…", "insufficient_funds");
    for (status, body) in [
        (401, ""),
        (403, ""),
        (404, ""),
        (418, ""),
        (429, ""),
        (503, ""),
        (400, &no_balance),
    ] {
        let response = repeat(status, body).await;
        assert!(is_lost(&response), "{status}: {response:?}");
    }
    let offline = razorpay("http://127.0.0.1:9", &json!({}));
    let call = call(offline.as_ref(), &reference, &details, None);
    assert!(is_lost(&offline.verify_again(&call).await));
    // A response about the validation counts, also if the validation failed.
    let validation = |status: &str, reason: &str| {
        json!({
            "id": "fav_00000000000001", "status": status, "status_details": {"reason": reason},
            "validation_results": {"account_status": null}
        })
        .to_string()
    };
    for (body, class) in [
        (validation("created", ""), Class::Pending),
        (validation("completed", ""), Class::Invalid),
        (validation("failed", "gateway_timeout"), Class::Retryable),
        (
            validation("failed", "a_reason_of_next_year"),
            Class::Inconclusive,
        ),
    ] {
        assert_eq!(repeat(200, &body).await.unwrap().class, class, "{body}");
    }
    // Razorpay must have rejected the same bytes the first time.
    let form = error(
        "BAD_REQUEST_ERROR",
        "The account number format is invalid.",
        "input_validation_failed",
    );
    assert_eq!(repeat(400, &form).await.unwrap().class, Class::Inconclusive);
}

#[tokio::test]
async fn a_rejected_lookup_leaves_the_call_open() {
    let vpa = upi("asha@upi");
    let retry_after = Some(Duration::from_secs(9));
    for (status, expected) in [
        (429, Some(CallFailure::Rejected { retry_after })),
        (401, None),
        (418, None),
    ] {
        let server = ScriptedServer::responding(status, "retry-after: 9\r\n", "{}").await;
        let razorpay = razorpay(&server.origin, &json!({}));
        let reference = reference();
        let found = razorpay
            .lookup(&call(razorpay.as_ref(), &reference, &vpa, None), None)
            .await;
        match expected {
            Some(expected) => assert_eq!(found, Err(expected)),
            None => assert!(is_lost(&found), "{status}: {found:?}"),
        }
    }
}
