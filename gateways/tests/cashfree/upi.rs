//! UPI addresses: by penny drop with the payee's consent, by lookup without.

use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, Method, Recovery};
use serde_json::json;

use crate::sandbox::Sandbox;
use crate::support::{call, consent, reference, upi};

#[tokio::test]
async fn a_rupee_is_dropped_only_with_consent() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    let details = upi("9164326296@upi");
    let (given, refused) = (consent(true), consent(false));
    for (consent, method, drops) in [
        (Some(&given), Method::PennyDrop, 1),
        (Some(&refused), Method::VpaLookup, 0),
        (None, Method::VpaLookup, 0),
    ] {
        let reference = reference();
        let call = call(cashfree.as_ref(), &reference, &details, consent);
        assert_eq!(call.method, method);
        let response = cashfree.verify(&call).await.unwrap();
        assert_eq!(
            (response.class, response.failure),
            (Class::Valid, None),
            "{method}"
        );
        assert_eq!(response.utr.is_some(), drops == 1, "a penny drop has a UTR");
        assert!(response.name_at_bank.is_some() && response.gateway_reference.is_some());
        assert_eq!(sandbox.drops(&reference).await, drops, "{method}");
    }
}

#[tokio::test]
async fn every_published_address_has_its_outcome() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    let given = consent(true);
    for (vpa, class, failure) in [
        ("success@upi", Class::Valid, None),
        (
            "incorrect@upi",
            Class::Invalid,
            Some(FailureCode::InvalidVpa),
        ),
        ("invalid@upi", Class::Invalid, Some(FailureCode::InvalidVpa)),
        ("asha.rao-1_2@okhdfcbank", Class::Valid, None),
    ] {
        let details = upi(vpa);
        for consent in [None, Some(&given)] {
            let reference = reference();
            let call = call(cashfree.as_ref(), &reference, &details, consent);
            let response = cashfree.verify(&call).await.unwrap();
            assert_eq!(
                (response.class, response.failure),
                (class, failure),
                "{vpa}"
            );
            let found = cashfree.lookup(&call, None).await.unwrap().unwrap();
            assert_eq!(
                (found.class, found.failure),
                (class, failure),
                "{vpa}, looked up"
            );
        }
    }
}

#[tokio::test]
async fn a_call_that_cashfree_has_never_seen_is_none() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    let (details, reference) = (upi("success@upi"), reference());
    let call = call(cashfree.as_ref(), &reference, &details, None);
    assert_eq!(cashfree.lookup(&call, None).await, Ok(None));
}

#[tokio::test]
async fn a_repeated_call_pays_once_and_is_looked_up() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    let (details, reference, given) = (upi("success@upi"), reference(), consent(true));
    let call = call(cashfree.as_ref(), &reference, &details, Some(&given));
    let first = cashfree.verify(&call).await.unwrap();
    let again = cashfree.verify(&call).await;
    assert!(
        matches!(again, Err(CallFailure::ResponseLost(_))),
        "{again:?}"
    );
    assert_eq!(cashfree.lookup(&call, None).await.unwrap(), Some(first));
    assert_eq!(sandbox.drops(&reference).await, 1);
}

#[tokio::test]
async fn a_lost_upi_call_can_be_looked_up_in_either_flow() {
    let sandbox = Sandbox::start();
    for flow in ["sync", "async"] {
        let cashfree = sandbox.cashfree(&json!({"bank_flow": flow}));
        assert_eq!(
            cashfree.recovery(&upi("success@upi"), Method::PennyDrop),
            Recovery::Lookup,
            "{flow}"
        );
    }
}
