//! UMAP's tokens, where they are fetched.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use khata_domain::{CallFailure, Class, GatewayResponse};
use khata_gateways::{Check, Connector};
use serde_json::{Value, json};

use super::{ULID, credentials, setu_with};
use crate::scripted::{Deed, Scripted};
use crate::support::{call, is_lost, reference, upi};

fn logging_in() -> Value {
    let mut credentials = credentials();
    credentials["umap"] =
        json!({"merchant_id": ULID, "client_id": "umap-client", "client_secret": "umap-s3cret"});
    credentials
}

fn setu(origin: &str) -> Box<dyn Connector> {
    setu_with(origin, &logging_in(), &json!({}))
}

async fn verify(setu: &dyn Connector) -> Result<GatewayResponse, CallFailure> {
    let (details, reference) = (upi("asha@okhdfc"), reference());
    setu.verify(&call(setu, &reference, &details, None)).await
}

fn answer(status: u16, body: &Value) -> Deed {
    Deed::GatewayResponse(status, "", body.to_string())
}

fn token(token: &str) -> Deed {
    answer(200, &json!({"access_token": token}))
}

fn valid() -> Deed {
    answer(200, &json!({"id": ULID, "status": "valid"}))
}

fn spurned() -> Deed {
    answer(401, &json!({"code": "unauthorized"}))
}

/// Which token each request came with; a login comes with none.
fn tokens(server: &Scripted) -> Vec<String> {
    let of = |request: &String| {
        request
            .lines()
            .find_map(|line| line.strip_prefix("authorization: Bearer "))
            .unwrap_or("login")
            .to_owned()
    };
    server.requests().iter().map(of).collect()
}

#[tokio::test]
async fn a_token_is_fetched_as_documented_and_used_again() {
    let server = Scripted::doing(vec![token("one"), valid()]).await;
    let setu = setu(&server.origin);
    for _ in 0..3 {
        assert_eq!(verify(setu.as_ref()).await.unwrap().class, Class::Valid);
    }
    assert_eq!(tokens(&server), ["login", "one", "one", "one"]);
    let login = &server.requests()[0];
    let (head, body) = login.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /umap/v1/users/login HTTP/1.1"),
        "{head}"
    );
    assert!(head.contains("client: bridge"), "{head}");
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap(),
        json!({"clientID": "umap-client", "secret": "umap-s3cret", "grant_type": "client_credentials"})
    );
}

#[tokio::test]
async fn calls_at_the_same_time_share_one_login() {
    let server = Scripted::doing(vec![token("one"), valid()]).await;
    let setu = setu(&server.origin);
    let setu = setu.as_ref();
    let (a, b, c) = tokio::join!(verify(setu), verify(setu), verify(setu));
    for answer in [a, b, c] {
        assert_eq!(answer.unwrap().class, Class::Valid);
    }
    let logins = tokens(&server)
        .iter()
        .filter(|token| *token == "login")
        .count();
    assert_eq!(logins, 1);
}

#[tokio::test]
async fn a_token_that_is_good_no_longer_is_renewed_once() {
    let server = Scripted::doing(vec![token("one"), spurned(), token("two"), valid()]).await;
    let renewed = setu(&server.origin);
    assert_eq!(verify(renewed.as_ref()).await.unwrap().class, Class::Valid);
    assert_eq!(tokens(&server), ["login", "one", "login", "two"]);
    // A new one is not taken either: it is not the token.
    let server = Scripted::doing(vec![token("one"), spurned(), token("two"), spurned()]).await;
    let answer = verify(setu(&server.origin).as_ref()).await.unwrap();
    assert_eq!(
        (answer.class, answer.code.as_str()),
        (Class::Misconfigured, "unauthorized")
    );
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_login_that_is_refused_is_our_fault() {
    let refusal = json!({"success": false, "error": {"code": "invalid-api-key"}});
    for status in [400, 401, 403] {
        let server = Scripted::doing(vec![answer(status, &refusal)]).await;
        let setu = setu(&server.origin);
        let refused = verify(setu.as_ref()).await.unwrap();
        assert_eq!(
            (refused.class, refused.code.as_str()),
            (Class::Misconfigured, "login_invalid-api-key")
        );
        assert_eq!(server.requests().len(), 1, "nobody was asked about");
        let (details, reference) = (upi("asha@okhdfc"), reference());
        let call = call(setu.as_ref(), &reference, &details, None);
        let looked = setu.lookup(&call, Some(ULID)).await;
        assert!(is_lost(&looked), "{looked:?}");
    }
}

#[tokio::test]
async fn a_login_that_fails_has_sent_nothing() {
    for deed in [
        Deed::Close,
        answer(500, &json!({})),
        answer(200, &json!({"token": "of another name"})),
        answer(200, &json!({"access_token": ""})),
        answer(200, &json!({"access_token": "a\r\nx-other: b"})),
    ] {
        let server = Scripted::doing(vec![deed.clone()]).await;
        let failed = verify(setu(&server.origin).as_ref()).await;
        assert!(
            matches!(failed, Err(CallFailure::NotSent(_))),
            "{deed:?}: {failed:?}"
        );
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_login_that_is_one_too_many_tells_for_how_long() {
    let server = Scripted::answering(429, "retry-after: 9\r\n", "{}").await;
    let setu = setu(&server.origin);
    let turned_away = CallFailure::Rejected {
        retry_after: Some(Duration::from_secs(9)),
    };
    assert_eq!(verify(setu.as_ref()).await, Err(turned_away.clone()));
    let (details, reference) = (upi("asha@okhdfc"), reference());
    let call = call(setu.as_ref(), &reference, &details, None);
    let looked = setu.lookup(&call, Some(ULID)).await;
    assert_eq!(looked, Err(turned_away));
    assert_eq!(server.requests().len(), 2, "nobody was asked about");
}

#[tokio::test]
async fn whoever_waits_for_a_login_that_hangs_waits_no_longer_than_a_call() {
    let nobody_answers = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", nobody_answers.local_addr().unwrap());
    let setu = setu_with(&origin, &logging_in(), &json!({"call_timeout_ms": 500}));
    let setu = setu.as_ref();
    let asked = Instant::now();
    let (a, b, c) = tokio::join!(verify(setu), verify(setu), verify(setu));
    let took = asked.elapsed();
    assert!(took < Duration::from_millis(1_200), "{took:?}");
    for answer in [a, b, c] {
        assert!(answer.is_err(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_check_tries_the_login_too() {
    let unknown = || answer(404, &json!({"error": {"code": "not_found"}}));
    let server = Scripted::doing(vec![unknown(), token("one"), unknown()]).await;
    let checked = setu(&server.origin).check().await;
    assert_eq!(
        checked,
        Ok(Check::Accepted("not_found; umap: not_found".into()))
    );
    let server = Scripted::doing(vec![unknown(), answer(401, &json!({}))]).await;
    let checked = setu(&server.origin).check().await;
    assert_eq!(checked, Ok(Check::Refused("umap: login_http_401".into())));
}
