//! The public keys of webhook endpoints, without an API key.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use khata_e2e::client::text;
use khata_e2e::{Api, HttpReply, Setup, TIMEOUT, TestStack, eventually};
use reqwest::Method;
use serde_json::{Value, json};

async fn keys_of(api: &Api, endpoint: &str) -> Result<HttpReply> {
    let path = format!("/.well-known/webhooks/{endpoint}/jwks.json");
    api.send(api.bare(Method::GET, &path)).await
}

async fn post(api: &Api, path: &str, form: &[(&str, &str)]) -> Result<Value> {
    let reply = api.send(api.call(Method::POST, path).form(form)).await?;
    Ok(reply.expect_status(200)?.json())
}

/// The member `x` of the public key that a reply shows as `whpk_…`.
fn x_of(shown: &Value) -> String {
    let key = text(shown, "/public_key").strip_prefix("whpk_").unwrap();
    URL_SAFE_NO_PAD.encode(STANDARD.decode(key).unwrap())
}

/// Waits until the endpoint has these public keys: the API serves a change within five seconds.
async fn has_keys(api: &Api, endpoint: &str, expected: &[&str]) -> Result<()> {
    eventually(TIMEOUT, &format!("{} keys", expected.len()), async || {
        let reply = keys_of(api, endpoint).await?;
        let keys = reply.json()["keys"].as_array().cloned();
        let keys = keys.unwrap_or_default();
        let found: Vec<&str> = keys.iter().map(|key| text(key, "/x")).collect();
        anyhow::Ok((found == expected).then_some(()))
    })
    .await
}

#[tokio::test]
async fn the_public_keys_are_served_without_a_key_while_a_key_pair_is_replaced() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let url = ("url", "https://hooks.example.com/khata");
    let added = post(api, "/webhook-endpoints", &[url, ("signature", "v1a")]).await?;
    let (id, first) = (text(&added, "/id"), x_of(&added));
    let reply = keys_of(api, id).await?.expect_status(200)?;
    assert_eq!(
        reply.header("content-type"),
        Some("application/jwk-set+json")
    );
    assert_eq!(reply.header("cache-control"), Some("public, max-age=300"));
    let document = reply.json();
    let kid = text(&document, "/keys/0/kid");
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": first, "kid": kid, "use": "sig", "alg": "EdDSA" });
    assert_eq!(document, json!({ "keys": [key] }), "and nothing else");

    let rotate = format!("/webhook-endpoints/{id}/rotate-secret");
    let rotated = post(api, &rotate, &[("signature", "v1a")]).await?;
    let second = x_of(&rotated);
    assert_eq!(rotated.get("secret"), None, "the secret stays");
    assert!(
        rotated["previous_public_key_until"].is_string(),
        "{rotated}"
    );
    has_keys(api, id, &[&second, &first]).await?;
    let at_once = [("signature", "v1a"), ("previous_secret_hours", "0")];
    let rotated = post(api, &rotate, &at_once).await?;
    assert_eq!(rotated["previous_public_key_until"], Value::Null);
    has_keys(api, id, &[&x_of(&rotated)]).await?;
    let path = format!("/webhook-endpoints/{id}");
    assert_eq!(
        post(api, &path, &[("signature", "v1")]).await?["public_key"],
        Value::Null
    );
    has_keys(api, id, &[]).await?;

    // An endpoint without public keys, a deleted one and one that never was get the same reply.
    let plain = post(api, "/webhook-endpoints", &[url]).await?;
    let deleted = post(api, "/webhook-endpoints", &[url, ("signature", "v1a")]).await?;
    let deleted = text(&deleted, "/id");
    post(api, &format!("/webhook-endpoints/{deleted}/delete"), &[]).await?;
    let mut replies = Vec::new();
    for id in [
        text(&plain, "/id"),
        deleted,
        "whe_01k82u7s7aeqraoh1tia1a3hc8",
        "x",
    ] {
        let reply = keys_of(api, id).await?.expect_status(404)?;
        let mut error = reply.json();
        error["error_info"]["request_id"] = Value::Null;
        replies.push(error);
    }
    assert!(
        replies.iter().all(|reply| *reply == replies[0]),
        "{replies:?}"
    );
    Ok(())
}
