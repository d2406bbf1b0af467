//! "Was it sent?": what reached nobody may be sent again, what may have reached somebody is recovered first.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use khata_domain::{CallFailure, Class, Gateway, GatewayResponse};
use khata_gateways::Connector;
use serde_json::json;

use super::cashfree;
use crate::sandbox::Sandbox;
use crate::scripted::{Deed, Scripted};
use crate::support::{call, consent, good, is_lost, reference, upi};

async fn verify(connector: &dyn Connector) -> Result<GatewayResponse, CallFailure> {
    let (details, reference) = (good(), reference());
    connector
        .verify(&call(connector, &reference, &details, None))
        .await
}

async fn lookup(connector: &dyn Connector) -> Result<Option<GatewayResponse>, CallFailure> {
    let (details, reference) = (good(), reference());
    connector
        .lookup(&call(connector, &reference, &details, None), None)
        .await
}

#[tokio::test]
async fn a_call_that_hangs_is_lost_in_time_and_found_again() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({"call_timeout_ms": 300}));
    sandbox
        .behave(Gateway::Cashfree, json!({"hang_rate": 1.0}))
        .await;
    let (details, reference) = (good(), reference());
    let call = call(cashfree.as_ref(), &reference, &details, None);
    let asked = Instant::now();
    let hung = cashfree.verify(&call).await;
    assert!(is_lost(&hung), "{hung:?}");
    assert!(
        asked.elapsed() < Duration::from_millis(900),
        "{:?}",
        asked.elapsed()
    );
    assert!(
        is_lost(&cashfree.lookup(&call, None).await),
        "not None: nobody said that"
    );
    sandbox.behave(Gateway::Cashfree, json!({})).await;
    assert_eq!(sandbox.drops(&reference).await, 1, "it was performed");
    let found = cashfree.lookup(&call, None).await.unwrap().unwrap();
    assert_eq!(found.class, Class::Valid);
    assert_eq!(sandbox.drops(&reference).await, 1);
}

#[tokio::test]
async fn a_server_error_is_lost_whether_it_came_before_or_after_the_work() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    sandbox
        .behave(Gateway::Cashfree, json!({"error_rate": 1.0}))
        .await;
    let (bank, upi, given) = (good(), upi("success@upi"), consent(true));
    for _ in 0..6 {
        for (details, consent) in [(&bank, None), (&upi, Some(&given)), (&upi, None)] {
            let reference = reference();
            let call = call(cashfree.as_ref(), &reference, details, consent);
            let failed = cashfree.verify(&call).await;
            assert!(is_lost(&failed), "{failed:?}");
            assert!(is_lost(&cashfree.lookup(&call, None).await));
        }
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let cashfree = cashfree(&format!("http://{closed}"), "secret", &json!({}));
    let refused = verify(cashfree.as_ref()).await;
    assert!(
        matches!(refused, Err(CallFailure::NotSent(_))),
        "{refused:?}"
    );
    let refused = lookup(cashfree.as_ref()).await;
    assert!(
        matches!(refused, Err(CallFailure::NotSent(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_connection_that_ends_after_the_request_is_lost_and_the_request_not_sent_twice() {
    for deed in [Deed::Close, Deed::Reset] {
        let server = Scripted::doing(vec![deed.clone()]).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let broken = verify(cashfree.as_ref()).await;
        assert!(is_lost(&broken), "{deed:?}: {broken:?}");
        assert_eq!(server.requests().len(), 1, "{deed:?}");
        assert!(is_lost(&lookup(cashfree.as_ref()).await), "{deed:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_under_a_request_does_not_send_it_twice() {
    let valid = Deed::GatewayResponse(
        200,
        "",
        r#"{"account_status_code":"ACCOUNT_IS_VALID"}"#.into(),
    );
    for deed in [Deed::Close, Deed::Reset] {
        let server = Scripted::doing(vec![valid.clone(), deed.clone()]).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        verify(cashfree.as_ref()).await.unwrap();
        let broken = verify(cashfree.as_ref()).await;
        assert!(is_lost(&broken), "{deed:?}: {broken:?}");
        assert_eq!(server.requests().len(), 2, "{deed:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_lost() {
    let long = "x".repeat(300 * 1024);
    for body in [
        "",
        "{",
        "<html>",
        "null",
        "[]",
        "{}",
        r#"{"account_status":""}"#,
        &long,
    ] {
        let server = Scripted::answering(200, "", body).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let shown = &body[..body.len().min(20)];
        assert!(is_lost(&verify(cashfree.as_ref()).await), "{shown}");
        assert!(is_lost(&lookup(cashfree.as_ref()).await), "{shown}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_lost() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"account_status\":";
    let server = Scripted::doing(vec![Deed::Raw(broken.into())]).await;
    let cashfree = cashfree(&server.origin, "secret", &json!({}));
    assert!(is_lost(&verify(cashfree.as_ref()).await));
    assert!(is_lost(&lookup(cashfree.as_ref()).await));
}

#[tokio::test]
async fn a_not_found_that_is_not_cashfrees_own_word_is_not_taken_for_never_seen() {
    // A proxy's page, a wrong base URL: to believe it would be to pay again.
    for body in ["<html>404</html>", "", r#"{"message":"no Route matched"}"#] {
        let server = Scripted::answering(404, "", body).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let answer = lookup(cashfree.as_ref()).await;
        assert!(is_lost(&answer), "{body:?}: {answer:?}");
    }
}

#[tokio::test]
async fn what_went_wrong_is_told_without_anything_of_the_payee() {
    let server = Scripted::answering(200, "", r#"{"bank_account":"00011020001772","#).await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for base in [server.origin.clone(), format!("http://{closed}")] {
        let cashfree = cashfree(&base, "secret", &json!({}));
        for told in [
            verify(cashfree.as_ref()).await.unwrap_err().to_string(),
            lookup(cashfree.as_ref()).await.unwrap_err().to_string(),
        ] {
            for personal in ["00011020001772", "Asha", "HDFC0000001", "kh0", "secret"] {
                assert!(!told.contains(personal), "{told}");
            }
        }
    }
}
