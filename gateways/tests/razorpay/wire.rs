//! Requests to Razorpay, and the choice of the method.

use std::time::Duration;

use data_encoding::BASE64;
use khata_domain::routing::Ineligible;
use khata_domain::{Consent, Details, Gateway, Method, Recovery};
use khata_gateways::ConfigError;
use serde_json::{Value, json};

use super::{gateway_only, razorpay};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{bank, call, connector, consent, good, reference, upi};

/// Returns the request that validates these details: its head, its JSON, and our reference.
async fn sent(
    settings: &Value,
    details: &Details,
    consent: Option<&Consent>,
) -> (String, Value, String) {
    let server = ScriptedServer::responding(200, "", "{}").await;
    let razorpay = razorpay(&server.origin, settings);
    let reference = reference();
    let _ = razorpay
        .verify(&call(razorpay.as_ref(), &reference, details, consent))
        .await;
    let (head, body) = server.request();
    (head, body, reference)
}

fn basic() -> String {
    let encoded = BASE64.encode("rzp_live_key:s3cret".as_bytes());
    format!("authorization: Basic {encoded}").to_lowercase()
}

#[tokio::test]
async fn a_bank_account_is_validated_by_the_composite_call() {
    let (head, body, reference) = sent(&json!({}), &good(), None).await;
    assert!(
        head.starts_with("post /v1/fund_accounts/validations http/1.1"),
        "{head}"
    );
    for line in [
        basic(),
        "content-type: application/json".into(),
        format!("x-payout-idempotency: {reference}"),
    ] {
        assert!(head.contains(&line), "{line}: {head}");
    }
    assert_eq!(
        body,
        json!({
            "source_account_number": "7878780080316316",
            "validation_type": "pennydrop",
            "reference_id": reference,
            "fund_account": {
                "account_type": "bank_account",
                "bank_account": {"name": "Asha Rao", "ifsc": "HDFC0000001", "account_number": "00011020001772"},
                "contact": {"name": "Asha Rao"}
            }
        })
    );
    let penniless = json!({"methods": ["PENNILESS", "PENNY_DROP"]});
    let (_, body, _) = sent(&penniless, &good(), None).await;
    assert_eq!(body["validation_type"], "penniless");
}

#[tokio::test]
async fn an_address_gets_a_penny_drop_only_with_consent() {
    let given = consent(true);
    let (head, body, reference) = sent(&json!({}), &upi("asha@upi"), Some(&given)).await;
    assert!(head.starts_with("post /v1/fund_accounts/validations "));
    assert!(head.contains(&format!("x-payout-idempotency: {reference}")));
    assert_eq!(body["validation_type"], "pennydrop");
    assert_eq!(
        body["fund_account"],
        json!({"account_type": "vpa", "vpa": {"address": "asha@upi"}, "contact": {"name": "Beneficiary"}})
    );
    let refused = consent(false);
    for consent in [None, Some(&refused)] {
        let (head, body, _) = sent(&json!({}), &upi("asha@upi"), consent).await;
        assert!(
            head.starts_with("post /v1/payments/validate/vpa "),
            "{head}"
        );
        assert!(head.contains(&basic()));
        assert_eq!(body, json!({"vpa": "asha@upi"}));
    }
}

#[tokio::test]
async fn names_are_sent_in_razorpays_form() {
    let long = "Asha Venkata Subramaniam Lakshmi Narasimha Krishnamurthy Rao";
    for (name, holder, contact) in [
        (Some("S.V. Rao"), Some("S V Rao"), "S V Rao"),
        (
            Some(long),
            Some(long),
            "Asha Venkata Subramaniam Lakshmi Narasimha Krishna",
        ),
        (Some("आशा राव"), None, "Beneficiary"),
        (Some("Al"), None, "Beneficiary"),
        (None, None, "Beneficiary"),
    ] {
        let details = bank("00011020001772", "HDFC0000001", name);
        let (_, body, _) = sent(&json!({}), &details, None).await;
        let account = &body["fund_account"];
        assert_eq!(account["bank_account"]["name"].as_str(), holder, "{name:?}");
        assert_eq!(account["contact"]["name"], contact, "{name:?}");
        let length = account["contact"]["name"].as_str().unwrap().len();
        assert!((3..=50).contains(&length), "{name:?}");
    }
}

#[tokio::test]
async fn a_repeated_call_is_the_same_bytes_under_the_same_key() {
    let server =
        ScriptedServer::with_reactions(vec![Reaction::Respond(503, "", String::new())]).await;
    let given = consent(true);
    for (details, consent) in [(good(), None), (upi("asha@upi"), Some(&given))] {
        let reference = reference();
        let before = server.requests().len();
        for moment in [0, 1100] {
            // Another worker, a second later.
            tokio::time::sleep(Duration::from_millis(moment)).await;
            let razorpay = razorpay(&server.origin, &json!({}));
            assert_eq!(
                razorpay.recovery(&details, Method::PennyDrop),
                Recovery::Resubmit
            );
            let call = call(razorpay.as_ref(), &reference, &details, consent);
            razorpay.verify(&call).await.unwrap_err();
        }
        let requests = &server.requests()[before..];
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0], requests[1]);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b" _-".contains(&b);
        assert!((4..=36).contains(&reference.len()) && reference.bytes().all(allowed));
    }
}

#[tokio::test]
async fn a_call_is_looked_up_by_razorpays_id() {
    let server = ScriptedServer::responding(200, "", "{}").await;
    let razorpay = razorpay(&server.origin, &json!({}));
    let (details, reference) = (good(), reference());
    let call = call(razorpay.as_ref(), &reference, &details, None);
    let _ = razorpay.lookup(&call, Some("fav_00000000000001")).await;
    let (head, _) = server.request();
    assert!(head.starts_with("get /v1/fund_accounts/validations/fav_00000000000001 "));
    assert!(head.contains(&basic()));
    for id in [None, Some(""), Some("../payouts"), Some("fav_1?x=1")] {
        let result = razorpay.lookup(&call, id).await;
        assert!(result.is_err(), "{id:?}: {result:?}");
    }
    assert_eq!(server.requests().len(), 1, "no other id was sent");
}

#[test]
fn the_first_allowed_method_that_suits_is_eligible() {
    let given = consent(true);
    let vpa = upi("asha@upi");
    let eligible = |settings: &Value, details: &Details, consent: Option<&Consent>| {
        razorpay("http://127.0.0.1:9", settings).eligible_method(details, consent)
    };
    let all = json!({});
    assert_eq!(eligible(&all, &good(), None), Ok(Method::PennyDrop));
    assert_eq!(eligible(&all, &vpa, Some(&given)), Ok(Method::PennyDrop));
    assert_eq!(eligible(&all, &vpa, None), Ok(Method::VpaLookup));
    let some = json!({"methods": ["PENNILESS", "VPA_LOOKUP"]});
    assert_eq!(eligible(&some, &good(), None), Ok(Method::Penniless));
    assert_eq!(eligible(&some, &vpa, Some(&given)), Ok(Method::VpaLookup));
    let drop_only = json!({"methods": ["PENNY_DROP"]});
    assert_eq!(eligible(&drop_only, &vpa, None), Err(Ineligible::Kind));
    let long = upi(&format!("{}@upi", "a".repeat(97)));
    assert_eq!(eligible(&all, &long, None), Err(Ineligible::Limits));
    let longest = upi(&format!("{}@upi", "a".repeat(96)));
    assert_eq!(eligible(&all, &longest, None), Ok(Method::VpaLookup));
}

#[test]
fn without_a_source_account_there_is_only_the_lookup() {
    let razorpay = gateway_only("http://127.0.0.1:9", &json!({}));
    let given = consent(true);
    assert_eq!(
        razorpay.eligible_method(&good(), None),
        Err(Ineligible::Kind)
    );
    assert_eq!(
        razorpay.eligible_method(&upi("asha@upi"), Some(&given)),
        Ok(Method::VpaLookup)
    );
    let credentials = json!({"key_id": "a", "key_secret": "b"});
    let made = |credentials: &Value, settings: Value| {
        connector(
            Gateway::Razorpay,
            "http://127.0.0.1:9",
            credentials,
            &settings,
        )
    };
    let source = json!({"source_account_number": "7878780080316316"});
    assert!(made(&credentials, source).is_ok());
    for settings in [
        json!({"methods": ["PENNY_DROP"]}),
        json!({"source_account_number": ""}),
        json!({"source_account_number": "7878 7800"}),
        json!({"source_acount_number": "7878780080316316"}),
    ] {
        let refused = made(&credentials, settings.clone()).err();
        assert!(
            matches!(refused, Some(ConfigError::Settings(_))),
            "{settings}: {refused:?}"
        );
    }
    for credentials in [
        json!({}),
        json!({"key_id": "a"}),
        json!({"key_id": "a:b", "key_secret": "c"}),
        json!({"key_id": "a", "key_secret": "b\r\nx: y"}),
        json!({"key_id": "a", "key_secret": "आशा"}),
        json!({"key_id": "a", "key_secret": "b", "webhook_secret": "c"}),
    ] {
        let refused = made(&credentials, json!({})).err();
        assert!(
            matches!(refused, Some(ConfigError::Credentials(_))),
            "{credentials}"
        );
    }
}

#[test]
fn razorpays_rate_limit_applies_until_another_is_set() {
    let pace = |settings: Value| {
        let razorpay = razorpay("http://127.0.0.1:9", &settings);
        razorpay
            .policy()
            .traffic
            .calls_per_minute
            .map(std::num::NonZero::get)
    };
    assert_eq!(pace(json!({})), Some(300));
    assert_eq!(pace(json!({"calls_per_minute": 60})), Some(60));
}
