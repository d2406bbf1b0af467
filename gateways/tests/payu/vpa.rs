//! Lookup of UPI addresses, and the two products of an account.

use std::time::Duration;

use khata_domain::routing::Ineligible;
use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, Gateway, GatewayResponse, Method};
use khata_gateways::ConfigError;
use serde_json::{Value, json};

use super::{field, parts, payu};
use crate::scripted::ScriptedServer;
use crate::support::{call, connector, consent, good, is_lost, reference, upi};

/// sha512 of `JPM7Fg|validateVPA|asha@upi|salt`, by coreutils' sha512sum.
const HASH: &str = "5fa91539c4933f616d21fd6a3ae5e43763941a4ad1106faca4c4acd64a46575c5d7493aa72d051c22eeb127669bfcd7ed1d5637b55c8c6405a4eb53be11bd868";

async fn answered(status: u16, body: &str) -> Result<GatewayResponse, CallFailure> {
    let server = ScriptedServer::responding(status, "", body).await;
    let payu = payu(&server.origin, &json!({}));
    let (details, reference) = (upi("asha@upi"), reference());
    payu.verify(&call(payu.as_ref(), &reference, &details, None))
        .await
}

#[tokio::test]
async fn the_command_is_signed_with_the_salt() {
    let server = ScriptedServer::responding(200, "", r#"{"isVPAValid":1}"#).await;
    let payu = payu(&server.origin, &json!({}));
    let (details, reference, given) = (upi("asha@upi"), reference(), consent(true));
    let call = call(payu.as_ref(), &reference, &details, Some(&given));
    assert_eq!(
        call.method,
        Method::VpaLookup,
        "PayU has no penny drop to an address"
    );
    payu.verify(&call).await.unwrap();
    payu.lookup(&call, None).await.unwrap().unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "a lookup is repeated");
    assert_eq!(requests[0], requests[1]);
    let (head, fields) = parts(&requests[0]);
    assert!(
        head[0].starts_with("POST /merchant/postservice.php?form=2 HTTP"),
        "{head:?}"
    );
    assert!(head.contains(&"content-type: application/x-www-form-urlencoded"));
    assert_eq!(fields.len(), 4);
    for (name, value) in [
        ("key", "JPM7Fg"),
        ("command", "validateVPA"),
        ("var1", "asha@upi"),
        ("hash", HASH),
    ] {
        assert_eq!(field(&fields, name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_lookup_returns_whether_the_address_exists() {
    for (body, class, failure, name) in [
        (
            json!({"status": "SUCCESS", "vpa": "asha@upi", "isVPAValid": 1, "payerAccountName": "ABC"}),
            Class::Valid,
            None,
            Some("ABC"),
        ),
        (
            json!({"status": "SUCCESS", "isVPAValid": "1", "payerAccountName": " "}),
            Class::Valid,
            None,
            None,
        ),
        (
            json!({"status": "SUCCESS", "isVPAValid": 1, "payerAccountName": ""}),
            Class::Valid,
            None,
            None,
        ),
        (
            json!({"status": "SUCCESS", "isVPAValid": 0, "isAutoPayVPAValid": 1, "payerAccountName": ""}),
            Class::Invalid,
            Some(FailureCode::InvalidVpa),
            None,
        ),
        (
            json!({"status": 0, "msg": "VPA is invalid", "isVPAValid": 0}),
            Class::Invalid,
            Some(FailureCode::InvalidVpa),
            None,
        ),
    ] {
        let response = answered(200, &body.to_string()).await.unwrap();
        assert_eq!(
            (response.class, response.failure),
            (class, failure),
            "{body}"
        );
        let name_at_bank = response.name_at_bank.as_deref();
        assert_eq!(name_at_bank, name, "{body}");
    }
    assert!(answered(200, r#"{"isVPAValid":2}"#).await.unwrap().unlisted);
}

#[tokio::test]
async fn our_own_faults_are_never_the_payees() {
    for body in [
        r#"{"status":0,"msg":"Invalid Hash."}"#,
        r#"{"status":0,"msg":"Invalid key"}"#,
    ] {
        let response = answered(200, body).await.unwrap();
        assert_eq!(
            (response.class, response.code.as_str()),
            (Class::Misconfigured, "command_refused")
        );
    }
    for (status, class) in [
        (401, Class::Misconfigured),
        (403, Class::Misconfigured),
        (429, Class::Retryable),
    ] {
        assert_eq!(answered(status, "").await.unwrap().class, class, "{status}");
    }
    for (status, body) in [
        (500, ""),
        (200, ""),
        (200, "{}"),
        (200, r#"{"status":0,"msg":"Try again"}"#),
    ] {
        assert!(is_lost(&answered(status, body).await), "{status} {body}");
    }
}

#[tokio::test]
async fn a_rejected_lookup_leaves_the_call_open() {
    let server = ScriptedServer::responding(429, "retry-after: 9\r\n", "").await;
    let payu = payu(&server.origin, &json!({}));
    let (details, reference) = (upi("asha@upi"), reference());
    let call = call(payu.as_ref(), &reference, &details, None);
    let retry_after = Some(Duration::from_secs(9));
    assert_eq!(
        payu.lookup(&call, None).await,
        Err(CallFailure::Rejected { retry_after })
    );
}

#[test]
fn each_product_needs_its_own_credentials() {
    let made = |credentials: &Value, settings: &Value| {
        connector(Gateway::Payu, "http://127.0.0.1:9", credentials, settings)
    };
    let payouts = json!({"client_id": "a", "client_secret": "b", "payout_merchant_id": "c"});
    let service = json!({"key": "d", "salt": "e"});
    let none = json!({});
    let only_payouts = made(&payouts, &none).unwrap();
    assert_eq!(
        only_payouts.eligible_method(&good(), None),
        Ok(Method::PennyDrop)
    );
    assert_eq!(
        only_payouts.eligible_method(&upi("asha@upi"), None),
        Err(Ineligible::Kind)
    );
    let only_service = made(&service, &none).unwrap();
    assert_eq!(
        only_service.eligible_method(&good(), None),
        Err(Ineligible::Kind)
    );
    assert_eq!(
        only_service.eligible_method(&upi("asha@upi"), None),
        Ok(Method::VpaLookup)
    );
    for credentials in [
        json!({}),
        json!({"client_id": "a", "client_secret": "b"}),
        json!({"key": "d"}),
        json!({"client_id": "a", "key": "d", "salt": "e"}),
        json!({"key": "d", "salt": "e", "other": "f"}),
        json!({"client_id": "a", "client_secret": "b", "payout_merchant_id": "c\r\nx: y"}),
    ] {
        let refused = made(&credentials, &none).err();
        assert!(
            matches!(refused, Some(ConfigError::Credentials(_))),
            "{credentials}"
        );
    }
    let settings = json!({"methods": ["VPA_LOOKUP"]});
    assert!(made(&service, &settings).is_ok());
    let refused = made(&payouts, &settings).err();
    assert!(
        matches!(refused, Some(ConfigError::Settings(_))),
        "{refused:?}"
    );
}
