//! Error answers: what is our own fault, what may be asked again, and what may have been acted upon.

use std::net::TcpListener;
use std::time::Duration;

use khata_domain::{CallFailure, Class};
use serde_json::json;

use super::{answered, razorpay};
use crate::scripted::{Deed, Scripted};
use crate::support::{call, consent, good, is_lost, reference, upi};

fn error(code: &str, description: &str, reason: &str) -> String {
    json!({"error": {
        "code": code, "description": description, "source": "business", "step": "NA",
        "reason": reason, "metadata": {}, "field": null
    }})
    .to_string()
}

#[tokio::test]
async fn our_own_faults_are_told_from_everybody_elses() {
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
        let answer = answered(status, "", &body, &good(), None).await.unwrap();
        assert_eq!(
            (answer.class, answer.code.as_str()),
            (class, code),
            "{status} {body}"
        );
        assert!(!answer.unlisted, "{status} {body}");
    }
    let answer = answered(418, "", "", &good(), None).await.unwrap();
    assert_eq!((answer.class, answer.unlisted), (Class::Inconclusive, true));
}

#[tokio::test]
async fn too_many_calls_are_made_again_when_razorpay_says() {
    for (headers, wait) in [("retry-after: 7\r\n", Some(7)), ("", None)] {
        let answer = answered(429, headers, "", &good(), None).await.unwrap();
        assert_eq!(answer.class, Class::Retryable);
        assert_eq!(answer.retry_after, wait.map(Duration::from_secs));
    }
}

#[tokio::test]
async fn what_may_have_been_acted_upon_is_lost() {
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
            let answer = answered(status, "", body, &details, consent).await;
            assert!(is_lost(&answer), "{status}: {answer:?}");
        }
    }
    for deed in [
        Deed::Close,
        Deed::Reset,
        Deed::Raw("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{".into()),
    ] {
        let server = Scripted::doing(vec![deed.clone()]).await;
        let razorpay = razorpay(&server.origin, &json!({}));
        let (details, reference) = (good(), reference());
        let call = call(razorpay.as_ref(), &reference, &details, None);
        let broken = razorpay.verify(&call).await;
        assert!(is_lost(&broken), "{deed:?}: {broken:?}");
        assert_eq!(server.requests().len(), 1, "{deed:?}: sent once");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let razorpay = razorpay(&format!("http://{closed}"), &json!({}));
    let (details, reference) = (good(), reference());
    let call = call(razorpay.as_ref(), &reference, &details, None);
    let refused = razorpay.verify(&call).await;
    assert!(
        matches!(refused, Err(CallFailure::NotSent(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_error_to_a_poll_says_nothing_about_the_validation() {
    let unknown = error("BAD_REQUEST_ERROR", "The id provided does not exist", "NA");
    for (status, body) in [(400, unknown.as_str()), (401, ""), (404, ""), (500, "")] {
        let server = Scripted::answering(status, "", body).await;
        let razorpay = razorpay(&server.origin, &json!({}));
        let (details, reference) = (good(), reference());
        let call = call(razorpay.as_ref(), &reference, &details, None);
        let asked = razorpay.lookup(&call, Some("fav_00000000000001")).await;
        assert!(
            is_lost(&asked),
            "{status}: never «not seen», which would pay again: {asked:?}"
        );
    }
}

#[tokio::test]
async fn what_turns_a_call_away_that_is_made_again_says_nothing_about_the_first() {
    let (details, reference) = (good(), reference());
    let again = async |status: u16, body: &str| {
        let server = Scripted::answering(status, "", body).await;
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
        let answer = again(status, body).await;
        assert!(is_lost(&answer), "{status}: {answer:?}");
    }
    let nobody = razorpay("http://127.0.0.1:9", &json!({}));
    let call = call(nobody.as_ref(), &reference, &details, None);
    assert!(is_lost(&nobody.verify_again(&call).await));
    // What it says of the validation is heard, also that it failed.
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
        assert_eq!(again(200, &body).await.unwrap().class, class, "{body}");
    }
    // The same bytes were as unacceptable the first time.
    let form = error(
        "BAD_REQUEST_ERROR",
        "The account number format is invalid.",
        "input_validation_failed",
    );
    assert_eq!(again(400, &form).await.unwrap().class, Class::Inconclusive);
}

#[tokio::test]
async fn a_look_at_an_address_that_is_turned_away_tells_nothing_of_it() {
    let vpa = upi("asha@upi");
    let retry_after = Some(Duration::from_secs(9));
    for (status, expected) in [
        (429, Some(CallFailure::Rejected { retry_after })),
        (401, None),
        (418, None),
    ] {
        let server = Scripted::answering(status, "retry-after: 9\r\n", "{}").await;
        let razorpay = razorpay(&server.origin, &json!({}));
        let reference = reference();
        let looked = razorpay
            .lookup(&call(razorpay.as_ref(), &reference, &vpa, None), None)
            .await;
        match expected {
            Some(expected) => assert_eq!(looked, Err(expected)),
            None => assert!(is_lost(&looked), "{status}: {looked:?}"),
        }
    }
}
