//! The check of Decentro's credentials, which concerns no payee.

use khata_domain::CallFailure;
use khata_gateways::{Check, WebhookError};
use serde_json::json;

use super::{decentro, rejection};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::webhook_received;

#[tokio::test]
async fn only_decentros_own_not_found_accepts_the_credentials() {
    for (status, body, expected) in [
        (
            404,
            rejection("error_transaction_not_found").to_string(),
            Check::Accepted("error_transaction_not_found".into()),
        ),
        (404, "<html>".to_owned(), Check::Unclear("http_404".into())),
        (401, String::new(), Check::Refused("http_401".into())),
        (403, String::new(), Check::Refused("http_403".into())),
        (
            400,
            rejection("error_unauthorized_module").to_string(),
            Check::Refused("error_unauthorized_module".into()),
        ),
        (429, String::new(), Check::Unclear("http_429".into())),
        (503, String::new(), Check::Unclear("http_503".into())),
        (200, "{}".to_owned(), Check::Unclear("http_200".into())),
    ] {
        let server = ScriptedServer::responding(status, "", &body).await;
        let checked = decentro(&server.origin, &json!({})).check().await;
        assert_eq!(checked, Ok(expected), "{status} {body}");
        let (head, _) = server.request();
        assert!(
            head.starts_with("get /v3/banking/account_validation/status?reference_id="),
            "{head}"
        );
        assert!(head.contains("client_secret: s3cret"), "{head}");
    }
}

#[tokio::test]
async fn a_check_without_a_response_is_a_failure() {
    let offline = decentro("http://127.0.0.1:9", &json!({}));
    assert!(matches!(
        offline.check().await,
        Err(CallFailure::NotSent(_))
    ));
    let server = ScriptedServer::with_reactions(vec![Reaction::Close]).await;
    let checked = decentro(&server.origin, &json!({})).check().await;
    assert!(matches!(checked, Err(CallFailure::ResponseLost(_))));
}

#[tokio::test]
async fn webhooks_are_not_supported() {
    let decentro = decentro("http://127.0.0.1:9", &json!({}));
    assert_eq!(
        webhook_received(decentro.as_ref(), &[], "{}"),
        Err(WebhookError::NotSupported)
    );
    assert!(!decentro.webhook_names_gateway_reference());
}
