//! Whether Setu accepts our credentials, found out without validating anybody.

use khata_domain::CallFailure;
use khata_gateways::Check;
use serde_json::json;

use super::{credentials, setu, setu_with};
use crate::scripted::{Deed, Scripted};

#[tokio::test]
async fn only_setus_own_not_found_means_that_it_knows_us() {
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
        let server = Scripted::answering(status, "", body).await;
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
async fn where_there_is_umap_both_must_accept() {
    let unknown = || Deed::GatewayResponse(404, "", r#"{"code":"not-found"}"#.into());
    let refused = || Deed::GatewayResponse(401, "", r#"{"code":"unauthorized"}"#.into());
    let failed = || Deed::GatewayResponse(500, "", String::new());
    for (deeds, expected) in [
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
        let server = Scripted::doing(deeds).await;
        let checked = setu(&server.origin, &json!({})).check().await;
        assert_eq!(checked, Ok(expected));
    }
}

#[tokio::test]
async fn a_gateway_that_says_nothing_is_neither_good_nor_bad() {
    let nobody = setu("http://127.0.0.1:9", &json!({}));
    assert!(matches!(nobody.check().await, Err(CallFailure::NotSent(_))));
    let server = Scripted::doing(vec![Deed::Close]).await;
    let checked = setu(&server.origin, &json!({})).check().await;
    assert!(matches!(checked, Err(CallFailure::ResponseLost(_))));
}
