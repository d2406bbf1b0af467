//! UMAP's tokens, fetched by a login.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use khata_domain::{CallFailure, Class, GatewayResponse};
use khata_gateways::{Check, Connector};
use serde_json::{Value, json};

use super::{ULID, credentials, setu_with};
use crate::scripted::{Reaction, ScriptedServer};
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

fn response(status: u16, body: &Value) -> Reaction {
    Reaction::Respond(status, "", body.to_string())
}

fn token(token: &str) -> Reaction {
    response(200, &json!({"access_token": token}))
}

fn valid() -> Reaction {
    response(200, &json!({"id": ULID, "status": "valid"}))
}

fn unauthorized() -> Reaction {
    response(401, &json!({"code": "unauthorized"}))
}

/// Returns the token of each request; a login has none.
fn tokens(server: &ScriptedServer) -> Vec<String> {
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
    let server = ScriptedServer::with_reactions(vec![token("one"), valid()]).await;
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
async fn concurrent_calls_share_one_login() {
    let server = ScriptedServer::with_reactions(vec![token("one"), valid()]).await;
    let setu = setu(&server.origin);
    let setu = setu.as_ref();
    let (a, b, c) = tokio::join!(verify(setu), verify(setu), verify(setu));
    for response in [a, b, c] {
        assert_eq!(response.unwrap().class, Class::Valid);
    }
    let logins = tokens(&server)
        .iter()
        .filter(|token| *token == "login")
        .count();
    assert_eq!(logins, 1);
}

#[tokio::test]
async fn a_rejected_token_is_renewed_once() {
    let server =
        ScriptedServer::with_reactions(vec![token("one"), unauthorized(), token("two"), valid()])
            .await;
    let renewed = setu(&server.origin);
    assert_eq!(verify(renewed.as_ref()).await.unwrap().class, Class::Valid);
    assert_eq!(tokens(&server), ["login", "one", "login", "two"]);
    // The new token is rejected too: the token is not the reason.
    let server = ScriptedServer::with_reactions(vec![
        token("one"),
        unauthorized(),
        token("two"),
        unauthorized(),
    ])
    .await;
    let response = verify(setu(&server.origin).as_ref()).await.unwrap();
    assert_eq!(
        (response.class, response.code.as_str()),
        (Class::Misconfigured, "unauthorized")
    );
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_rejected_login_is_misconfigured() {
    let refusal = json!({"success": false, "error": {"code": "invalid-api-key"}});
    for status in [400, 401, 403] {
        let server = ScriptedServer::with_reactions(vec![response(status, &refusal)]).await;
        let setu = setu(&server.origin);
        let refused = verify(setu.as_ref()).await.unwrap();
        assert_eq!(
            (refused.class, refused.code.as_str()),
            (Class::Misconfigured, "login_invalid-api-key")
        );
        assert_eq!(server.requests().len(), 1, "no payee is sent");
        let (details, reference) = (upi("asha@okhdfc"), reference());
        let call = call(setu.as_ref(), &reference, &details, None);
        let found = setu.lookup(&call, Some(ULID)).await;
        assert!(is_lost(&found), "{found:?}");
    }
}

#[tokio::test]
async fn after_a_failed_login_nothing_is_sent() {
    for reaction in [
        Reaction::Close,
        response(500, &json!({})),
        response(200, &json!({"token": "of another name"})),
        response(200, &json!({"access_token": ""})),
        response(200, &json!({"access_token": "a\r\nx-other: b"})),
    ] {
        let server = ScriptedServer::with_reactions(vec![reaction.clone()]).await;
        let failed = verify(setu(&server.origin).as_ref()).await;
        assert!(
            matches!(failed, Err(CallFailure::NotSent(_))),
            "{reaction:?}: {failed:?}"
        );
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_rate_limited_login_returns_the_delay() {
    let server = ScriptedServer::responding(429, "retry-after: 9\r\n", "{}").await;
    let setu = setu(&server.origin);
    let rejected = CallFailure::Rejected {
        retry_after: Some(Duration::from_secs(9)),
    };
    assert_eq!(verify(setu.as_ref()).await, Err(rejected.clone()));
    let (details, reference) = (upi("asha@okhdfc"), reference());
    let call = call(setu.as_ref(), &reference, &details, None);
    let found = setu.lookup(&call, Some(ULID)).await;
    assert_eq!(found, Err(rejected));
    assert_eq!(server.requests().len(), 2, "no payee is sent");
}

#[tokio::test]
async fn waiting_for_a_hanging_login_takes_no_longer_than_a_call() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    let setu = setu_with(&origin, &logging_in(), &json!({"call_timeout_ms": 8_000}));
    let setu = setu.as_ref();
    let started = Instant::now();
    let (a, b, c) = tokio::join!(verify(setu), verify(setu), verify(setu));
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(19), "{elapsed:?}");
    for response in [a, b, c] {
        assert!(response.is_err(), "{response:?}");
    }
}

#[tokio::test]
async fn a_check_includes_the_login() {
    let unknown = || response(404, &json!({"error": {"code": "not_found"}}));
    let server = ScriptedServer::with_reactions(vec![unknown(), token("one"), unknown()]).await;
    let checked = setu(&server.origin).check().await;
    assert_eq!(
        checked,
        Ok(Check::Accepted("not_found; umap: not_found".into()))
    );
    let server = ScriptedServer::with_reactions(vec![unknown(), response(401, &json!({}))]).await;
    let checked = setu(&server.origin).check().await;
    assert_eq!(checked, Ok(Check::Refused("umap: login_http_401".into())));
}
