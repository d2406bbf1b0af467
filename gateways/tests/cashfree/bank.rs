//! Bank accounts: Cashfree's published test data, in both flows.

use std::time::Duration;

use khata_domain::routing::Ineligible;
use khata_domain::validation::FailureCode;
use khata_domain::{Class, Method, Recovery};
use serde_json::json;

use crate::sandbox::Sandbox;
use crate::support::{bank, call, consent, good, reference};

/// Time for which an account is pending: far longer than two calls take on a busy machine.
const PENDING: Duration = Duration::from_secs(3);

/// Account, IFSC, final class and failure; the last two columns of Cashfree's table.
const PUBLISHED: [(&str, &str, Class, Option<FailureCode>); 14] = [
    ("026291800001191", "YESB0000262", Class::Valid, None),
    ("00011020001772", "HDFC0000001", Class::Valid, None),
    ("1233943142", "ICIC0000009", Class::Valid, None),
    ("388108022658", "ICIC0000009", Class::Valid, None),
    ("000890289871772", "SCBL0036078", Class::Valid, None),
    ("000100289877623", "SBIN0008752", Class::Valid, None),
    (
        "026291800001190",
        "YESB0000262",
        Class::Invalid,
        Some(FailureCode::InvalidAccount),
    ),
    (
        "234005000876",
        "ICIC0000007",
        Class::Invalid,
        Some(FailureCode::InvalidAccount),
    ),
    (
        "2640101002729",
        "CNRR0002640",
        Class::Invalid,
        Some(FailureCode::InvalidIfsc),
    ),
    (
        "1234567890",
        "ICIC0000001",
        Class::Invalid,
        Some(FailureCode::InvalidIfsc),
    ),
    (
        "7766667989884",
        "RATN0000070",
        Class::Invalid,
        Some(FailureCode::AccountBlocked),
    ),
    (
        "7766667755761",
        "ICIC0000001",
        Class::Invalid,
        Some(FailureCode::NreAccount),
    ),
    // Not published: every other account is valid.
    ("026291800001191", "AABF0008032", Class::Valid, None),
    ("ABC123456789", "HDFC0ABCDEF", Class::Valid, None),
];

/// Accounts that are pending first.
const PENDING_FIRST: [(&str, &str, Class, Option<FailureCode>); 3] = [
    ("00224412311300", "YESB0000001", Class::Valid, None),
    (
        "7766666351000",
        "YESB0000001",
        Class::Invalid,
        Some(FailureCode::InvalidAccount),
    ),
    ("007711000031", "HDFC0000077", Class::Pending, None),
];

#[tokio::test]
async fn every_published_account_has_its_outcome_in_the_synchronous_flow() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({"bank_flow": "sync"}));
    for (number, ifsc, class, failure) in PUBLISHED {
        let (details, reference) = (bank(number, ifsc, None), reference());
        let call = call(cashfree.as_ref(), &reference, &details, None);
        let response = cashfree.verify(&call).await.unwrap();
        assert_eq!(
            (response.class, response.failure),
            (class, failure),
            "{number} {ifsc}"
        );
        assert_eq!(response.utr.is_some(), class == Class::Valid);
        assert!(response.gateway_reference.is_some());
        assert!(!response.code.is_empty());
    }
}

#[tokio::test]
async fn every_published_account_is_found_by_our_reference_in_the_asynchronous_flow() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    for (number, ifsc, class, failure) in PUBLISHED {
        let (details, reference) = (bank(number, ifsc, None), reference());
        let call = call(cashfree.as_ref(), &reference, &details, None);
        let accepted = cashfree.verify(&call).await.unwrap();
        assert_eq!((accepted.class, accepted.failure), (Class::Pending, None));
        assert_eq!(accepted.code, "VALIDATION_IN_PROGRESS");
        let found = cashfree.lookup(&call, None).await.unwrap().unwrap();
        assert_eq!(
            (found.class, found.failure),
            (class, failure),
            "{number} {ifsc}"
        );
        assert_eq!(found.gateway_reference, accepted.gateway_reference);
        assert_eq!(
            sandbox.drops(&reference).await,
            1,
            "a lookup moves no money"
        );
    }
}

#[tokio::test]
async fn a_pending_outcome_is_final_later() {
    let sandbox = Sandbox::start_with_pending(PENDING);
    let flows = ["sync", "async"].map(|flow| sandbox.cashfree(&json!({"bank_flow": flow})));
    let mut sent = Vec::new();
    for cashfree in &flows {
        for (number, ifsc, class, failure) in PENDING_FIRST {
            let (details, reference) = (bank(number, ifsc, None), reference());
            let call = call(cashfree.as_ref(), &reference, &details, None);
            let accepted = cashfree.verify(&call).await.unwrap();
            assert_eq!(accepted.class, Class::Pending, "{number}");
            let id = accepted.gateway_reference;
            let pending = cashfree.lookup(&call, id.as_deref()).await;
            assert_eq!(pending.unwrap().unwrap().class, Class::Pending, "{number}");
            sent.push((cashfree, details, reference, id, (class, failure)));
        }
    }
    tokio::time::sleep(PENDING).await;
    for (cashfree, details, reference, id, outcome) in sent {
        let call = call(cashfree.as_ref(), &reference, &details, None);
        let decided = cashfree.lookup(&call, id.as_deref()).await;
        let decided = decided.unwrap().unwrap();
        assert_eq!((decided.class, decided.failure), outcome, "{details:?}");
    }
}

#[tokio::test]
async fn the_name_at_bank_and_its_score_are_returned() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({"bank_flow": "sync"}));
    let names = [
        ("john doe", 100),
        ("john d", 85),
        ("j doe", 70),
        ("jane d", 38),
    ];
    for (name, score) in names {
        let (details, reference) = (
            bank("026291800001191", "YESB0000262", Some(name)),
            reference(),
        );
        let call = call(cashfree.as_ref(), &reference, &details, None);
        let response = cashfree.verify(&call).await.unwrap();
        assert_eq!(response.name_at_bank.unwrap().as_str(), "JOHN DOE");
        assert_eq!(response.name_match_score, Some(score), "{name}");
    }
    let (details, reference) = (good(), reference());
    let call = call(cashfree.as_ref(), &reference, &details, None);
    let response = cashfree.verify(&call).await.unwrap();
    assert_eq!(response.name_at_bank.unwrap().as_str(), "ASHA RAO");
}

#[tokio::test]
async fn a_reference_that_cashfree_has_never_seen_is_none() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    let (details, seen, never) = (good(), reference(), reference());
    let seen = call(cashfree.as_ref(), &seen, &details, None);
    cashfree.verify(&seen).await.unwrap();
    let never = call(cashfree.as_ref(), &never, &details, None);
    assert_eq!(cashfree.lookup(&never, None).await, Ok(None));
    assert!(cashfree.lookup(&seen, None).await.unwrap().is_some());
}

#[tokio::test]
async fn only_the_asynchronous_flow_can_recover_a_lost_bank_call() {
    let sandbox = Sandbox::start();
    for (settings, recovery) in [
        (json!({}), Recovery::Lookup),
        (json!({"bank_flow": "async"}), Recovery::Lookup),
        (json!({"bank_flow": "sync"}), Recovery::None),
    ] {
        assert_eq!(
            sandbox
                .cashfree(&settings)
                .recovery(&good(), Method::PennyDrop),
            recovery,
            "{settings}"
        );
    }
}

#[tokio::test]
async fn an_account_number_outside_cashfrees_limits_is_ineligible() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    let eligible = |number: &str| {
        cashfree.eligible_method(&bank(number, "HDFC0000001", None), Some(&consent(true)))
    };
    assert_eq!(eligible("12345"), Err(Ineligible::Limits));
    assert_eq!(eligible("123456"), Ok(Method::PennyDrop));
    assert_eq!(eligible(&"9".repeat(35)), Ok(Method::PennyDrop));
    // Cashfree accepts what is eligible.
    for number in ["123456", &"9".repeat(35)] {
        let (details, reference) = (bank(number, "HDFC0000001", None), reference());
        let call = call(cashfree.as_ref(), &reference, &details, None);
        assert_eq!(cashfree.verify(&call).await.unwrap().class, Class::Pending);
    }
}
