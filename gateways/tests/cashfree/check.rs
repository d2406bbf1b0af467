//! The check of Cashfree's credentials, which concerns no payee.

use khata_domain::{CallFailure, Gateway};
use khata_gateways::Check;
use serde_json::json;

use super::cashfree;
use crate::sandbox::Sandbox;
use crate::scripted::{Reaction, ScriptedServer};

#[tokio::test]
async fn a_check_separates_good_and_bad_credentials_and_pays_nothing() {
    let sandbox = Sandbox::start();
    for settings in [json!({}), json!({"bank_flow": "sync"})] {
        let checked = sandbox.cashfree(&settings).check().await;
        assert_eq!(checked, Ok(Check::Accepted("user_id_not_found".into())));
    }
    let checked = sandbox.cashfree_with_secret("wrong").check().await;
    assert_eq!(checked, Ok(Check::Refused("authentication_failed".into())));
    sandbox
        .behave(Gateway::Cashfree, json!({"error_rate": 1.0}))
        .await;
    let checked = sandbox.cashfree(&json!({})).check().await;
    assert_eq!(checked, Ok(Check::Unclear("internal_error".into())));
    assert_eq!(sandbox.all_drops().await, 0);
}

#[tokio::test]
async fn only_cashfrees_own_not_found_accepts_the_credentials() {
    for (status, body, expected) in [
        (
            404,
            r#"{"code":"user_id_not_found"}"#,
            Check::Accepted("user_id_not_found".into()),
        ),
        (404, "<html>", Check::Unclear("http_404".into())),
        (
            404,
            r#"{"code":"route_unknown"}"#,
            Check::Unclear("route_unknown".into()),
        ),
        (
            403,
            r#"{"code":"ip_validation_failed"}"#,
            Check::Refused("ip_validation_failed".into()),
        ),
        (401, "", Check::Refused("http_401".into())),
        (429, "", Check::Unclear("http_429".into())),
        (200, "{}", Check::Unclear("http_200".into())),
        (307, "", Check::Unclear("http_307".into())),
    ] {
        let server = ScriptedServer::responding(status, "", body).await;
        let checked = cashfree(&server.origin, "secret", &json!({})).check().await;
        assert_eq!(checked, Ok(expected), "{status} {body}");
        let (head, _) = server.request();
        assert!(head.starts_with("get /verification/bank-account?user_id="));
        assert!(head.contains("x-client-secret: secret"), "{head}");
    }
}

#[tokio::test]
async fn each_check_looks_up_a_new_reference() {
    let server = ScriptedServer::responding(404, "", r#"{"code":"user_id_not_found"}"#).await;
    let cashfree = cashfree(&server.origin, "secret", &json!({}));
    for _ in 0..2 {
        cashfree.check().await.unwrap();
    }
    let requests = server.requests();
    let lines: Vec<_> = requests.iter().map(|head| head.lines().next()).collect();
    assert!(lines.len() == 2 && lines[0] != lines[1], "{lines:?}");
    for line in lines {
        let id = line.unwrap().split(['=', ' ']).nth(2).unwrap();
        let valid = id.len() <= 40 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        assert!(valid, "{id}: 40 letters, digits and underscores at most");
    }
}

#[tokio::test]
async fn a_check_without_a_response_is_a_failure() {
    let offline = cashfree("http://127.0.0.1:9", "secret", &json!({}));
    assert!(matches!(
        offline.check().await,
        Err(CallFailure::NotSent(_))
    ));
    let server = ScriptedServer::with_reactions(vec![Reaction::Close]).await;
    let checked = cashfree(&server.origin, "secret", &json!({})).check().await;
    assert!(matches!(checked, Err(CallFailure::ResponseLost(_))));
}
