//! The check of PayU's credentials, which concerns no payee.

use khata_domain::{CallFailure, Gateway};
use khata_gateways::{Check, Connector};
use serde_json::{Value, json};

use super::{field, parts, payu, token};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::connector;

fn of(origin: &str, credentials: &Value) -> Box<dyn Connector> {
    connector(Gateway::Payu, origin, credentials, &json!({})).unwrap()
}

fn payouts(origin: &str) -> Box<dyn Connector> {
    let credentials =
        json!({"client_id": "client", "client_secret": "s3cret", "payout_merchant_id": "1111594"});
    of(origin, &credentials)
}

const ACCOUNT: &str =
    r#"{"status":0,"msg":null,"code":null,"data":{"payoutMerchantId":1111594,"balance":94003}}"#;
const NO_PAYMENT: &str =
    r#"{"status":0,"msg":"0 out of 1 Transactions Fetched Successfully","transaction_details":{}}"#;

#[tokio::test]
async fn payouts_is_checked_with_the_merchants_own_account() {
    for (status, body, expected) in [
        (200, ACCOUNT, Check::Accepted("account_detail".into())),
        (200, "{}", Check::Unclear("http_200".into())),
        (
            200,
            r#"{"status":1,"msg":"no"}"#,
            Check::Unclear("http_200".into()),
        ),
        (403, "", Check::Refused("http_403".into())),
        (404, "", Check::Unclear("http_404".into())),
        (500, "", Check::Unclear("http_500".into())),
    ] {
        let server = ScriptedServer::with_reactions(vec![
            token("t0ken", 7200),
            Reaction::Respond(status, "", body.into()),
        ])
        .await;
        let checked = payouts(&server.origin).check().await;
        assert_eq!(checked, Ok(expected), "{status} {body}");
        let requests = server.requests();
        let (head, _) = parts(&requests[1]);
        assert!(
            head[0].starts_with("GET /payout/merchant/getAccountDetail HTTP"),
            "{head:?}"
        );
        assert!(head.contains(&"payoutmerchantid: 1111594"));
    }
    let server = ScriptedServer::responding(401, "", r#"{"error":"invalid_client"}"#).await;
    let checked = payouts(&server.origin).check().await;
    assert_eq!(checked, Ok(Check::Refused("invalid_client".into())));
    let offline = payouts("http://127.0.0.1:9").check().await;
    assert!(matches!(offline, Err(CallFailure::NotSent(_))));
}

#[tokio::test]
async fn the_payment_gateway_is_checked_with_an_unknown_payment() {
    for (status, body, expected) in [
        (200, NO_PAYMENT, Check::Accepted("no_such_payment".into())),
        (
            200,
            r#"{"status":0,"msg":"Invalid Hash."}"#,
            Check::Refused("command_refused".into()),
        ),
        (200, "<html>", Check::Unclear("http_200".into())),
        (403, "", Check::Refused("http_403".into())),
        (500, "", Check::Unclear("http_500".into())),
    ] {
        let server = ScriptedServer::responding(status, "", body).await;
        let service = of(&server.origin, &json!({"key": "JPM7Fg", "salt": "salt"}));
        assert_eq!(service.check().await, Ok(expected), "{status} {body}");
        let requests = server.requests();
        let (_, fields) = parts(&requests[0]);
        assert_eq!(field(&fields, "command"), Some("verify_payment"));
    }
}

#[tokio::test]
async fn both_products_must_accept_the_credentials() {
    let both = |last: &str| {
        let reactions = [ACCOUNT, last].map(|body| Reaction::Respond(200, "", body.into()));
        std::iter::once(token("t0ken", 7200))
            .chain(reactions)
            .collect()
    };
    let server = ScriptedServer::with_reactions(both(NO_PAYMENT)).await;
    let checked = payu(&server.origin, &json!({})).check().await;
    assert_eq!(checked, Ok(Check::Accepted("no_such_payment".into())));
    let server =
        ScriptedServer::with_reactions(both(r#"{"status":0,"msg":"Invalid Hash."}"#)).await;
    let checked = payu(&server.origin, &json!({})).check().await;
    assert_eq!(checked, Ok(Check::Refused("command_refused".into())));
    let server = ScriptedServer::responding(401, "", "").await;
    let checked = payu(&server.origin, &json!({})).check().await;
    assert_eq!(checked, Ok(Check::Refused("token_http_401".into())));
}
