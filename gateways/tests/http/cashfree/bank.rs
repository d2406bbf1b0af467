//! Bank accounts: Cashfree's published test data, row by row, and both of its flows.

use std::time::Duration;

use khata_domain::routing::Ineligible;
use khata_domain::validation::FailureCode;
use khata_domain::{Class, Method, Recovery};
use serde_json::json;

use crate::sandbox::Sandbox;
use crate::support::{bank, call, consent, good, reference};

const PENDING: Duration = Duration::from_millis(60);

/// Account, IFSC, what comes of it in the end; the last two columns of the contract's table.
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
    // Not published: whatever is not is valid.
    ("026291800001191", "AABF0008032", Class::Valid, None),
    ("ABC123456789", "HDFC0ABCDEF", Class::Valid, None),
];

/// Those that are pending first.
const LATER: [(&str, &str, Class, Option<FailureCode>); 3] = [
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
async fn every_published_account_has_its_outcome_at_once_in_the_synchronous_flow() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({"bank_flow": "sync"}));
    for (number, ifsc, class, failure) in PUBLISHED {
        let (details, reference) = (bank(number, ifsc, None), reference());
        let call = call(cashfree.as_ref(), &reference, &details, None);
        let answer = cashfree.verify(&call).await.unwrap();
        assert_eq!(
            (answer.class, answer.failure),
            (class, failure),
            "{number} {ifsc}"
        );
        assert_eq!(answer.utr.is_some(), class == Class::Valid);
        assert!(answer.gateway_reference.is_some());
        assert!(!answer.code.is_empty());
    }
}

#[tokio::test]
async fn in_the_asynchronous_flow_every_outcome_is_found_under_our_reference() {
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
        assert_eq!(sandbox.drops(&reference).await, 1, "looking moves nothing");
    }
}

#[tokio::test]
async fn what_is_pending_first_is_told_when_its_time_has_come() {
    let sandbox = Sandbox::start();
    for flow in ["sync", "async"] {
        let cashfree = sandbox.cashfree(&json!({"bank_flow": flow}));
        for (number, ifsc, class, failure) in LATER {
            let (details, reference) = (bank(number, ifsc, None), reference());
            let call = call(cashfree.as_ref(), &reference, &details, None);
            let accepted = cashfree.verify(&call).await.unwrap();
            assert_eq!(accepted.class, Class::Pending, "{flow} {number}");
            let theirs = accepted.gateway_reference.as_deref();
            let early = cashfree.lookup(&call, theirs).await.unwrap().unwrap();
            assert_eq!(early.class, Class::Pending, "{flow} {number}");
            tokio::time::sleep(PENDING * 2).await;
            let late = cashfree.lookup(&call, theirs).await.unwrap().unwrap();
            assert_eq!(
                (late.class, late.failure),
                (class, failure),
                "{flow} {number}"
            );
        }
    }
}

#[tokio::test]
async fn the_holders_name_and_its_score_are_told() {
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
        let answer = cashfree.verify(&call).await.unwrap();
        assert_eq!(answer.name_at_bank.unwrap().as_str(), "JOHN DOE");
        assert_eq!(answer.name_match_score, Some(score), "{name}");
    }
    let (details, reference) = (good(), reference());
    let call = call(cashfree.as_ref(), &reference, &details, None);
    let answer = cashfree.verify(&call).await.unwrap();
    assert_eq!(answer.name_at_bank.unwrap().as_str(), "ASHA RAO");
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
async fn an_account_number_outside_cashfrees_limits_is_not_taken() {
    let sandbox = Sandbox::start();
    let cashfree = sandbox.cashfree(&json!({}));
    let fit = |number: &str| {
        cashfree.eligible_method(&bank(number, "HDFC0000001", None), Some(&consent(true)))
    };
    assert_eq!(fit("12345"), Err(Ineligible::Limits));
    assert_eq!(fit("123456"), Ok(Method::PennyDrop));
    assert_eq!(fit(&"9".repeat(35)), Ok(Method::PennyDrop));
    // What fits is taken indeed.
    for number in ["123456", &"9".repeat(35)] {
        let (details, reference) = (bank(number, "HDFC0000001", None), reference());
        let call = call(cashfree.as_ref(), &reference, &details, None);
        assert_eq!(cashfree.verify(&call).await.unwrap().class, Class::Pending);
    }
}
