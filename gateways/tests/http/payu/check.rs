//! Whether PayU accepts our credentials, found out without validating anybody.

use khata_domain::{CallFailure, Gateway};
use khata_gateways::{Check, Connector};
use serde_json::{Value, json};

use super::{field, parts, payu, token};
use crate::scripted::{Deed, Scripted};
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
async fn payouts_tells_about_the_merchants_own_account() {
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
        let server = Scripted::doing(vec![
            token("t0ken", 7200),
            Deed::GatewayResponse(status, "", body.into()),
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
    let server = Scripted::answering(401, "", r#"{"error":"invalid_client"}"#).await;
    let checked = payouts(&server.origin).check().await;
    assert_eq!(checked, Ok(Check::Refused("invalid_client".into())));
    let nobody = payouts("http://127.0.0.1:9").check().await;
    assert!(matches!(nobody, Err(CallFailure::NotSent(_))));
}

#[tokio::test]
async fn the_payment_gateway_is_asked_after_a_payment_that_nobody_made() {
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
        let server = Scripted::answering(status, "", body).await;
        let service = of(&server.origin, &json!({"key": "JPM7Fg", "salt": "salt"}));
        assert_eq!(service.check().await, Ok(expected), "{status} {body}");
        let requests = server.requests();
        let (_, fields) = parts(&requests[0]);
        assert_eq!(field(&fields, "command"), Some("verify_payment"));
    }
}

#[tokio::test]
async fn an_account_with_both_products_is_accepted_by_both_or_not_at_all() {
    let both = |last: &str| {
        let deeds = [ACCOUNT, last].map(|body| Deed::GatewayResponse(200, "", body.into()));
        std::iter::once(token("t0ken", 7200)).chain(deeds).collect()
    };
    let server = Scripted::doing(both(NO_PAYMENT)).await;
    let checked = payu(&server.origin, &json!({})).check().await;
    assert_eq!(checked, Ok(Check::Accepted("no_such_payment".into())));
    let server = Scripted::doing(both(r#"{"status":0,"msg":"Invalid Hash."}"#)).await;
    let checked = payu(&server.origin, &json!({})).check().await;
    assert_eq!(checked, Ok(Check::Refused("command_refused".into())));
    let server = Scripted::answering(401, "", "").await;
    let checked = payu(&server.origin, &json!({})).check().await;
    assert_eq!(checked, Ok(Check::Refused("token_http_401".into())));
}
