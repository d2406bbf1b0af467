//! Whether a call was sent: a call that was not sent may be retried, any other must be recovered first.

use std::cell::Cell;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use khata_domain::attempt::{Attempt, AttemptState, NextAction};
use khata_domain::gateway::{NOT_RECEIVED, RESPONSE_LOST, SETTLING_TIME};
use khata_domain::{CallFailure, Class, Gateway, GatewayAccountId, GatewayResponse};
use khata_gateways::{Connector, OpenAttempt};
use serde_json::json;

use super::cashfree;
use crate::sandbox::Sandbox;
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{CLOSED_PORT, call, connector, consent, good, is_lost, reference, upi};

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
async fn a_hanging_call_is_lost_within_the_timeout_and_found_by_a_lookup() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({"call_timeout_ms": 1_000}));
    sandbox
        .behave(Gateway::Cashfree, json!({"hang_rate": 1.0}))
        .await;
    let (details, reference) = (good(), reference());
    let call = call(cashfree.as_ref(), &reference, &details, None);
    let started = Instant::now();
    let hung = cashfree.verify(&call).await;
    assert!(is_lost(&hung), "{hung:?}");
    // The default time-out is 10 s.
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    assert!(
        is_lost(&cashfree.lookup(&call, None).await),
        "not None: the gateway did not say so"
    );
    sandbox.behave(Gateway::Cashfree, json!({})).await;
    assert_eq!(
        sandbox.drops(&reference).await,
        1,
        "Cashfree performed the call"
    );
    let found = cashfree.lookup(&call, None).await.unwrap().unwrap();
    assert_eq!(found.class, Class::Valid);
    assert_eq!(sandbox.drops(&reference).await, 1);
}

#[tokio::test]
async fn a_server_error_is_lost_before_and_after_the_work() {
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
async fn a_refused_connection_is_not_sent() {
    let cashfree = cashfree(CLOSED_PORT, "secret", &json!({}));
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
async fn a_broken_connection_is_a_lost_response_and_the_request_is_sent_once() {
    for reaction in [Reaction::Close, Reaction::Reset] {
        let server = ScriptedServer::with_reactions(vec![reaction.clone()]).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let broken = verify(cashfree.as_ref()).await;
        assert!(is_lost(&broken), "{reaction:?}: {broken:?}");
        assert_eq!(server.requests().len(), 1, "{reaction:?}");
        assert!(is_lost(&lookup(cashfree.as_ref()).await), "{reaction:?}");
    }
}

#[tokio::test]
async fn a_request_on_a_broken_reused_connection_is_sent_once() {
    let valid = Reaction::Respond(
        200,
        "",
        r#"{"account_status_code":"ACCOUNT_IS_VALID"}"#.into(),
    );
    for reaction in [Reaction::Close, Reaction::Reset] {
        let server = ScriptedServer::with_reactions(vec![valid.clone(), reaction.clone()]).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        verify(cashfree.as_ref()).await.unwrap();
        let broken = verify(cashfree.as_ref()).await;
        assert!(is_lost(&broken), "{reaction:?}: {broken:?}");
        assert_eq!(server.requests().len(), 2, "{reaction:?}");
    }
}

#[tokio::test]
async fn a_malformed_reply_is_lost() {
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
        let server = ScriptedServer::responding(200, "", body).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let shown = &body[..body.len().min(20)];
        assert!(is_lost(&verify(cashfree.as_ref()).await), "{shown}");
        assert!(is_lost(&lookup(cashfree.as_ref()).await), "{shown}");
    }
}

#[tokio::test]
async fn a_truncated_reply_is_lost() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"account_status\":";
    let server = ScriptedServer::with_reactions(vec![Reaction::Raw(broken.into())]).await;
    let cashfree = cashfree(&server.origin, "secret", &json!({}));
    assert!(is_lost(&verify(cashfree.as_ref()).await));
    assert!(is_lost(&lookup(cashfree.as_ref()).await));
}

#[tokio::test]
async fn a_proxys_not_found_is_not_never_seen() {
    // A proxy's page, a wrong base URL: taken for "never seen", the call would pay again.
    for body in ["<html>404</html>", "", r#"{"message":"no Route matched"}"#] {
        let server = ScriptedServer::responding(404, "", body).await;
        let cashfree = cashfree(&server.origin, "secret", &json!({}));
        let response = lookup(cashfree.as_ref()).await;
        assert!(is_lost(&response), "{body:?}: {response:?}");
    }
}

#[tokio::test]
async fn an_error_text_holds_nothing_of_the_payee() {
    let server = ScriptedServer::responding(200, "", r#"{"bank_account":"00011020001772","#).await;
    for base in [server.origin.clone(), CLOSED_PORT.to_owned()] {
        let cashfree = cashfree(&base, "secret", &json!({}));
        for text in [
            verify(cashfree.as_ref()).await.unwrap_err().to_string(),
            lookup(cashfree.as_ref()).await.unwrap_err().to_string(),
        ] {
            for personal in ["00011020001772", "Asha", "HDFC0000001", "kh0", "secret"] {
                assert!(!text.contains(personal), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_is_not_found_may_still_arrive() {
    let late = |settings, details: &_| {
        let cashfree = cashfree("http://127.0.0.1:9", "secret", &settings);
        cashfree.late_calls(details)
    };
    let seconds = Duration::from_secs;
    for (settings, settles_after, given_up_after) in [
        (json!({}), SETTLING_TIME, None),
        (json!({"settle_s": 90}), SETTLING_TIME, None),
        (json!({"settle_s": 600}), seconds(600), None),
        // A call made again before would be a second, unflagged rupee.
        (json!({"settle_s": 89}), SETTLING_TIME, Some(seconds(89))),
        (json!({"settle_s": 0}), SETTLING_TIME, Some(seconds(0))),
    ] {
        let found = late(settings.clone(), &good());
        assert_eq!(
            (found.settles_after, found.given_up_after),
            (settles_after, given_up_after),
            "{settings}"
        );
        assert!(!found.refuses_repeats, "Cashfree documents none");
    }
    // Cashfree refuses a `verification_id` that was used; another gateway does not know it.
    let upi = late(json!({}), &upi("success@upi"));
    assert!(upi.refuses_repeats && upi.settles_after == SETTLING_TIME);
    let endless = json!({"settle_s": u64::MAX});
    let (origin, credentials) = (
        "http://127.0.0.1:9",
        json!({"client_id": "a", "client_secret": "b"}),
    );
    assert!(connector(Gateway::Cashfree, origin, &credentials, &endless).is_err());
}

/// A worker may be paused before it reads the response of a lookup.
#[tokio::test]
async fn a_lookup_that_is_read_after_the_settling_time_proves_no_more_than_when_it_was_made() {
    let server = ScriptedServer::responding(404, "", r#"{"code":"user_id_not_found"}"#).await;
    let cashfree = cashfree(&server.origin, "secret", &json!({}));
    let (details, sent_at) = (good(), Utc::now());
    for (called_after, code) in [(89, RESPONSE_LOST), (90, NOT_RECEIVED)] {
        let reference = reference();
        let call = call(cashfree.as_ref(), &reference, &details, None);
        let mut open = OpenAttempt {
            attempt: Attempt {
                number: 1,
                gateway_account: GatewayAccountId::new(),
                method: call.method,
                reference: reference.clone(),
                state: AttemptState::Unknown,
                class: None,
                code: None,
                failure: None,
                gateway_reference: None,
                polls: 0,
                started_at: sent_at,
                sent_at,
            },
            details: &details,
            consent: None,
            deadline_at: sent_at + TimeDelta::hours(48),
            setbacks: 0,
            reason: None,
            alternative: false,
            recovered_until: None,
        };
        // The driver reads the clock before the lookup, and a minute later for the decision.
        let minutes = Cell::new(0);
        let now = || {
            let minute = TimeDelta::minutes(minutes.replace(1));
            sent_at + TimeDelta::seconds(called_after) + minute
        };
        let never = |_: &GatewayResponse| false;
        open.advance(cashfree.as_ref(), NextAction::Poll, now, 0.5, never)
            .await;
        assert_eq!(open.attempt.code.as_deref(), Some(code), "{called_after} s");
    }
}
