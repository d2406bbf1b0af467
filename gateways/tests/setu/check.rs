//! The check of Setu's credentials, which concerns no payee.

use khata_domain::CallFailure;
use khata_gateways::Check;
use serde_json::json;

use super::{credentials, setu, setu_with};
use crate::scripted::{Reaction, ScriptedServer};

#[tokio::test]
async fn only_setus_own_not_found_accepts_the_credentials() {
    let mut bank_only = credentials();
    bank_only.as_object_mut().unwrap().remove("umap");
    for (status, body, expected) in [
        (
            404,
            r#"{"error":{"code":"not_found","detail":"…"}}"#,
            Check::Accepted("not_found".into()),
        ),
        (404, "<html>", Check::Unclear("http_404".into())),
        (
            404,
            r#"{"message":"no Route matched"}"#,
            Check::Unclear("http_404".into()),
        ),
        (
            401,
            r#"{"error":{"code":"unauthorized"}}"#,
            Check::Refused("unauthorized".into()),
        ),
        (403, "", Check::Refused("http_403".into())),
        (429, "", Check::Unclear("http_429".into())),
        (
            500,
            r#"{"error":{"code":"internal_server_error"}}"#,
            Check::Unclear("internal_server_error".into()),
        ),
        (200, "<html>", Check::Unclear("http_200".into())),
    ] {
        let server = ScriptedServer::responding(status, "", body).await;
        let checked = setu_with(&server.origin, &bank_only, &json!({}))
            .check()
            .await;
        assert_eq!(checked, Ok(expected), "{status} {body}");
        let (head, _) = server.request();
        assert!(head.starts_with("get /api/verify/ban/async/"), "{head}");
        assert!(head.contains("x-client-secret: s3cret"), "{head}");
    }
}

#[tokio::test]
async fn both_services_must_accept_the_credentials() {
    let unknown = || Reaction::Respond(404, "", r#"{"code":"not-found"}"#.into());
    let refused = || Reaction::Respond(401, "", r#"{"code":"unauthorized"}"#.into());
    let failed = || Reaction::Respond(500, "", String::new());
    for (reactions, expected) in [
        (
            vec![unknown()],
            Check::Accepted("not-found; umap: not-found".into()),
        ),
        (
            vec![unknown(), refused()],
            Check::Refused("umap: unauthorized".into()),
        ),
        (
            vec![unknown(), failed()],
            Check::Unclear("umap: http_500".into()),
        ),
        (
            vec![refused(), unknown()],
            Check::Refused("unauthorized".into()),
        ),
    ] {
        let server = ScriptedServer::with_reactions(reactions).await;
        let checked = setu(&server.origin, &json!({})).check().await;
        assert_eq!(checked, Ok(expected));
    }
}

#[tokio::test]
async fn a_check_without_a_response_is_a_failure() {
    let offline = setu("http://127.0.0.1:9", &json!({}));
    assert!(matches!(
        offline.check().await,
        Err(CallFailure::NotSent(_))
    ));
    let server = ScriptedServer::with_reactions(vec![Reaction::Close]).await;
    let checked = setu(&server.origin, &json!({})).check().await;
    assert!(matches!(checked, Err(CallFailure::ResponseLost(_))));
}
