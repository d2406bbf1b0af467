//! Tokens of payout calls.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use khata_domain::{CallFailure, Class, Gateway, GatewayResponse};
use khata_gateways::{ConfigError, Connector, ConnectorConfig, connect};
use serde_json::{Value, json};

use super::{field, parts, payu, token};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{call, good, is_lost, reference, upi};

fn exists() -> Reaction {
    let body = r#"{"status":0,"msg":null,"code":null,"data":{"accountExists":"YES"}}"#;
    Reaction::Respond(200, "", body.into())
}

async fn verify(payu: &dyn Connector) -> Result<GatewayResponse, CallFailure> {
    let (details, reference) = (good(), reference());
    payu.verify(&call(payu, &reference, &details, None)).await
}

/// Returns the path of each request; empty if the request was not read.
fn paths(server: &ScriptedServer) -> Vec<String> {
    let path = |request: &String| request.split(' ').nth(1).unwrap_or_default().to_owned();
    server.requests().iter().map(path).collect()
}

const TOKEN: &str = "/oauth/token";
const VERIFY: &str = "/payout/payment/verifyAccount";

#[tokio::test]
async fn a_token_is_fetched_once_and_reused() {
    let server = ScriptedServer::with_reactions(vec![token("t0ken", 7200), exists()]).await;
    let payu = payu(&server.origin, &json!({}));
    for _ in 0..3 {
        assert_eq!(verify(payu.as_ref()).await.unwrap().class, Class::Valid);
    }
    assert_eq!(paths(&server), [TOKEN, VERIFY, VERIFY, VERIFY]);
    let requests = server.requests();
    let (head, fields) = parts(&requests[0]);
    assert!(head[0].starts_with("POST "), "{head:?}");
    assert!(head.contains(&"content-type: application/x-www-form-urlencoded"));
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", "client"),
        ("client_secret", "s3cret"),
        ("scope", "create_payout_transactions"),
    ] {
        assert_eq!(field(&fields, name), Some(value), "{name}");
    }
    for request in &requests[1..] {
        let (head, _) = parts(request);
        assert!(head.contains(&"authorization: Bearer t0ken"), "{head:?}");
        assert!(head.contains(&"payoutmerchantid: 1111594"), "{head:?}");
    }
}

#[tokio::test]
async fn a_token_is_not_used_in_its_last_minute() {
    let server = ScriptedServer::with_reactions(vec![
        token("first", 60),
        exists(),
        token("second", 62),
        exists(),
        exists(),
    ])
    .await;
    let payu = payu(&server.origin, &json!({}));
    for _ in 0..3 {
        verify(payu.as_ref()).await.unwrap();
    }
    assert_eq!(paths(&server), [TOKEN, VERIFY, TOKEN, VERIFY, VERIFY]);
    assert!(server.requests()[4].contains("Bearer second"));
}

#[tokio::test]
async fn concurrent_calls_fetch_one_token() {
    let server = ScriptedServer::with_reactions(vec![token("t0ken", 7200), exists()]).await;
    let payu = payu(&server.origin, &json!({}));
    let payu = payu.as_ref();
    let (a, b, c, d) = tokio::join!(verify(payu), verify(payu), verify(payu), verify(payu));
    for response in [a, b, c, d] {
        assert_eq!(response.unwrap().class, Class::Valid);
    }
    let fetched = paths(&server).iter().filter(|path| *path == TOKEN).count();
    assert_eq!((fetched, server.requests().len()), (1, 5));
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    let unknown = Reaction::Respond(401, "", r#"{"error":"invalid_token"}"#.into());
    let server = ScriptedServer::with_reactions(vec![
        token("old", 7200),
        unknown.clone(),
        token("new", 7200),
        exists(),
    ])
    .await;
    let payu_that_renews = payu(&server.origin, &json!({}));
    let response = verify(payu_that_renews.as_ref()).await.unwrap();
    assert_eq!(response.class, Class::Valid);
    assert_eq!(paths(&server), [TOKEN, VERIFY, TOKEN, VERIFY]);
    let requests = server.requests();
    assert!(requests[1].contains("Bearer old") && requests[3].contains("Bearer new"));
    let (first, second) = (parts(&requests[1]).1, parts(&requests[3]).1);
    assert_eq!(first, second, "the same call, with the same reference");

    let server = ScriptedServer::with_reactions(vec![
        token("old", 7200),
        unknown.clone(),
        token("new", 7200),
        unknown,
    ])
    .await;
    let payu = payu(&server.origin, &json!({}));
    let response = verify(payu.as_ref()).await.unwrap();
    assert_eq!(
        (response.class, response.code.as_str()),
        (Class::Misconfigured, "http_401")
    );
    assert_eq!(server.requests().len(), 4, "once, and no more");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let refused = r#"{"error":"invalid_client"}"#;
    for (status, body, class, code) in [
        (401, refused, Class::Misconfigured, "invalid_client"),
        (400, "", Class::Misconfigured, "token_http_400"),
        (403, "", Class::Misconfigured, "token_http_403"),
        (429, "", Class::Retryable, "token_http_429"),
    ] {
        let server = ScriptedServer::responding(status, "retry-after: 9\r\n", body).await;
        let response = verify(payu(&server.origin, &json!({})).as_ref())
            .await
            .unwrap();
        assert_eq!(
            (response.class, response.code.as_str()),
            (class, code),
            "{status}"
        );
        let wait = (status == 429).then_some(Duration::from_secs(9));
        assert_eq!(response.retry_after, wait);
        assert_eq!(paths(&server), [TOKEN]);
    }
    let server = ScriptedServer::responding(429, "retry-after: 9\r\n", "").await;
    let payu_there = payu(&server.origin, &json!({}));
    let (details, reference) = (good(), reference());
    let call = call(payu_there.as_ref(), &reference, &details, None);
    let retry_after = Some(Duration::from_secs(9));
    assert_eq!(
        payu_there.lookup(&call, None).await,
        Err(CallFailure::Rejected { retry_after })
    );
    // Not lost: the penny test was not sent.
    let failures = [
        Reaction::Respond(503, "", String::new()),
        Reaction::Respond(200, "", "{}".into()),
        Reaction::Respond(
            200,
            "",
            r#"{"access_token":"a\nb","expires_in":7200}"#.into(),
        ),
        Reaction::Close,
        Reaction::Reset,
    ];
    for reaction in failures {
        let server = ScriptedServer::with_reactions(vec![reaction.clone()]).await;
        let failed = verify(payu(&server.origin, &json!({})).as_ref()).await;
        assert!(
            matches!(failed, Err(CallFailure::NotSent(_))),
            "{reaction:?}: {failed:?}"
        );
        assert_eq!(server.requests().len(), 1, "{reaction:?}");
    }
}

#[tokio::test]
async fn waiting_for_a_token_takes_no_longer_than_a_call() {
    // Accepts connections and never replies.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", silent.local_addr().unwrap());
    let payu = payu(&origin, &json!({"call_timeout_ms": 8_000}));
    let payu = payu.as_ref();
    let started = Instant::now();
    // The second call waits for the first one's token, and not as long again for its own.
    let (first, second) = tokio::join!(verify(payu), verify(payu));
    for failed in [first, second] {
        assert!(matches!(failed, Err(CallFailure::NotSent(_))), "{failed:?}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn each_of_payus_addresses_can_be_set() {
    let accounts = ScriptedServer::with_reactions(vec![token("t0ken", 7200)]).await;
    let payouts = ScriptedServer::with_reactions(vec![exists()]).await;
    let info = ScriptedServer::responding(200, "", r#"{"isVPAValid":1}"#).await;
    let settings = json!({
        "accounts_url": format!("{}/", accounts.origin), "payout_url": payouts.origin,
        "info_url": info.origin
    });
    let credentials = json!({
        "client_id": "a", "client_secret": "b", "payout_merchant_id": "c", "key": "d", "salt": "e"
    })
    .to_string();
    let made = |settings: &Value, sandbox_mode| {
        let config = ConnectorConfig {
            base_url: None,
            credentials: Some(credentials.as_bytes()),
            settings,
            http: &khata_gateways::client().unwrap(),
            sandbox_mode,
            longest_call: Duration::from_secs(14),
        };
        connect(Gateway::Payu, &config)
    };
    let payu = made(&settings, true).unwrap();
    verify(payu.as_ref()).await.unwrap();
    let (details, reference) = (upi("asha@upi"), reference());
    let call = call(payu.as_ref(), &reference, &details, None);
    payu.verify(&call).await.unwrap();
    assert_eq!(paths(&accounts), [TOKEN]);
    assert_eq!(paths(&payouts), [VERIFY]);
    assert_eq!(paths(&info), ["/merchant/postservice.php?form=2"]);
    let refused = made(&settings, false).err();
    let problem = "payout_url must begin with https://".to_owned();
    assert_eq!(refused, Some(ConfigError::Settings(problem)));
    assert!(made(&json!({}), false).is_ok());
}

#[tokio::test]
async fn a_call_that_breaks_after_the_token_fetch_is_lost() {
    for reaction in [Reaction::Close, Reaction::Reset] {
        let server =
            ScriptedServer::with_reactions(vec![token("t0ken", 7200), reaction.clone()]).await;
        let broken = verify(payu(&server.origin, &json!({})).as_ref()).await;
        assert!(is_lost(&broken), "{reaction:?}: {broken:?}");
        assert_eq!(server.requests().len(), 2, "{reaction:?}: sent once");
    }
}
