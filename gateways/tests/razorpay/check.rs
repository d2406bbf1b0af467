//! The check of Razorpay's credentials, which concerns no payee.

use khata_gateways::Check;
use serde_json::json;

use super::{gateway_only, razorpay};
use crate::scripted::ScriptedServer;

#[tokio::test]
async fn only_an_unknown_id_accepts_the_credentials() {
    let error = |description: &str| {
        json!({"error": {"code": "BAD_REQUEST_ERROR", "description": description, "reason": "NA"}})
            .to_string()
    };
    let word = || "BAD_REQUEST_ERROR".to_owned();
    for (status, body, expected) in [
        (
            400,
            error("The id provided does not exist"),
            Check::Accepted("unknown_id".into()),
        ),
        (
            404,
            error("The id provided does not exist"),
            Check::Accepted("unknown_id".into()),
        ),
        (
            400,
            error("fav_00000000000000 is not a valid id"),
            Check::Accepted("unknown_id".into()),
        ),
        (401, error("Authentication failed"), Check::Refused(word())),
        (
            400,
            error("Transactions from this IP are not allowed."),
            Check::Refused(word()),
        ),
        (
            400,
            error("The requested URL was not found on the server."),
            Check::Refused(word()),
        ),
        (403, String::new(), Check::Refused("http_403".into())),
        (400, String::new(), Check::Unclear("http_400".into())),
        (500, String::new(), Check::Unclear("http_500".into())),
        (200, "{}".into(), Check::Unclear("http_200".into())),
    ] {
        let server = ScriptedServer::responding(status, "", &body).await;
        let checked = razorpay(&server.origin, &json!({})).check().await;
        assert_eq!(checked, Ok(expected), "{status} {body}");
        let (head, _) = server.request();
        assert!(head.starts_with("get /v1/fund_accounts/validations/fav_00000000000000 "));
    }
}

#[tokio::test]
async fn an_account_without_razorpayx_is_checked_at_the_payment_gateway() {
    let body =
        r#"{"error":{"code":"BAD_REQUEST_ERROR","description":"The id provided does not exist"}}"#;
    let server = ScriptedServer::responding(400, "", body).await;
    let checked = gateway_only(&server.origin, &json!({})).check().await;
    assert_eq!(checked, Ok(Check::Accepted("unknown_id".into())));
    assert!(
        server
            .request()
            .0
            .starts_with("get /v1/payments/pay_00000000000000 ")
    );
}
