//! Responses that contradict themselves, or cannot be read where they decide: never ACTIVE, never FAILURE, and no second rupee
//! while a lookup is possible and the merchant has patience.
#![allow(
    clippy::needless_pass_by_value,
    reason = "the values are written where they are passed"
)]

use chrono::TimeDelta;
use khata_domain::validation::Outcome;
use khata_domain::{Class, Details, Gateway};
use khata_gateways::Connector;
use serde_json::{Value, json};

use crate::conformance::story::{Action, Attempt};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{call, connector, good, is_lost, reference, upi};

pub(crate) fn ok(body: impl ToString) -> Reaction {
    Reaction::Respond(200, "", body.to_string())
}

pub(crate) async fn connect(
    gateway: Gateway,
    credentials: Value,
    settings: Value,
    reactions: Vec<Reaction>,
) -> (Box<dyn Connector>, ScriptedServer) {
    let server = ScriptedServer::with_reactions(reactions).await;
    let connector = connector(gateway, &server.origin, &credentials, &settings).unwrap();
    (connector, server)
}

/// Makes an attempt whose replies contradict themselves until the last one, which is valid.
async fn valid_in_the_end(
    gateway: Gateway,
    credentials: Value,
    settings: Value,
    reference: &str,
    replies: Vec<Reaction>,
) {
    let count = replies.len();
    let (connector, server) = connect(gateway, credentials, settings, replies).await;
    let connector = connector.as_ref();
    let details = good();
    let mut attempt = Attempt::new(&call(connector, reference, &details, None));
    attempt.set_patience(TimeDelta::hours(1));
    attempt.verify(connector).await;
    for _ in 1..count {
        if server.requests().len() < count {
            attempt.go_on(connector).await;
        }
    }
    let story = attempt.story(1);
    assert_eq!(server.requests().len(), count, "{gateway}: {story:?}");
    assert_eq!(
        story.action,
        Action::Complete(Outcome::Valid, None),
        "{gateway}: {story:?}"
    );
    for action in &story.meantime {
        let stays_open = matches!(action, Action::Look(_) | Action::Recover(_));
        assert!(stays_open, "{gateway}: {story:?}");
    }
}

/// Returns the credentials of an account at each gateway.
pub(crate) fn credentials(gateway: Gateway) -> Value {
    match gateway {
        Gateway::Razorpay => json!({"key_id": "a", "key_secret": "b"}),
        Gateway::Payu => json!({
            "client_id": "a", "client_secret": "b", "payout_merchant_id": "1", "key": "a", "salt": "b"
        }),
        Gateway::Setu => json!({
            "client_id": "a", "client_secret": "b", "product_instance_id": "c",
            "umap": {"merchant_id": "M", "token": "t"}
        }),
        _ => json!({"client_id": "a", "client_secret": "b"}),
    }
}

#[tokio::test]
async fn cashfree_is_looked_up_again() {
    let received = json!({"reference_id": 34, "account_status": "RECEIVED", "account_status_code": "VALIDATION_IN_PROGRESS"});
    let status = |status: &str, code: &str| {
        ok(json!({"reference_id": 34, "account_status": status, "account_status_code": code}))
    };
    let two_statuses = r#"{"account_status":"INVALID","account_status":"VALID"}"#;
    valid_in_the_end(
        Gateway::Cashfree,
        credentials(Gateway::Cashfree),
        json!({}),
        &reference(),
        vec![
            ok(received),
            status("VALID", "INVALID_ACCOUNT_FAIL"),
            status("INVALID", "ACCOUNT_IS_VALID"),
            ok(two_statuses),
            status("RECEIVED", "INVALID_ACCOUNT_FAIL"),
            status("VALID", "ACCOUNT_IS_VALID"),
        ],
    )
    .await;
    let contradictory = status("VALID", "INVALID_ACCOUNT_FAIL");
    let replies = vec![contradictory, status("VALID", "ACCOUNT_IS_VALID")];
    let credentials = credentials(Gateway::Cashfree);
    valid_in_the_end(
        Gateway::Cashfree,
        credentials,
        json!({}),
        &reference(),
        replies,
    )
    .await;
}

#[tokio::test]
async fn razorpay_is_looked_up_again() {
    let entity = |status: &str, results: Value, reason: &str| {
        ok(json!({
            "id": "fav_1", "status": status, "validation_results": results,
            "status_details": {"reason": reason}
        }))
    };
    let results = |status: Value| json!({"account_status": status, "registered_name": "ASHA RAO"});
    let both = json!({
        "id": "fav_1", "status": "completed", "results": {"account_status": "invalid"},
        "validation_results": {"account_status": "active"}
    });
    valid_in_the_end(
        Gateway::Razorpay,
        credentials(Gateway::Razorpay),
        json!({"source_account_number": "1"}),
        &reference(),
        vec![
            entity("created", Value::Null, ""),
            ok(both),
            entity("completed", results(Value::Null), "validation_completed"),
            entity(
                "completed",
                results(json!("active")),
                "bank_account_invalid",
            ),
            entity("failed", results(json!("active")), "bank_account_invalid"),
            ok(r#"{"id":"fav_1","status":"completed","status":"failed"}"#),
            entity(
                "completed",
                results(json!("active")),
                "validation_completed",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn setu_is_looked_up_again() {
    let status = |verification: &str, code: &str| {
        ok(json!({"id": "1", "verification": verification, "code": code}))
    };
    valid_in_the_end(
        Gateway::Setu,
        credentials(Gateway::Setu),
        json!({}),
        &reference(),
        vec![
            status("success", "BAVM1"),
            status("success", "BAVM1"),
            status("failed", "BAV00"),
            status("success", "BAV91"),
            ok(r#"{"id":"1","code":"BAV00","code":"BAVM1"}"#),
            status("success", "BAV00"),
        ],
    )
    .await;
}

#[tokio::test]
async fn decentro_is_looked_up_again() {
    let two = r#"{"decentro_txn_id":"D","api_status":"SUCCESS","data":{"account_status":"VALID","account_status":"INVALID"}}"#;
    let valid = json!({"decentro_txn_id": "D", "api_status": "SUCCESS", "data": {"account_status": "VALID"}});
    let mut credentials = credentials(Gateway::Decentro);
    credentials["client_id"] = "c".into();
    let replies = vec![ok(two), ok(two), ok(valid)];
    valid_in_the_end(
        Gateway::Decentro,
        credentials,
        json!({}),
        &reference(),
        replies,
    )
    .await;
}

#[tokio::test]
async fn payu_is_looked_up_again() {
    let reference = reference();
    let verified = |exists: &str, error: &str, code: Value| {
        ok(json!({"status": 0, "code": code, "data": {"accountExists": exists, "error": error}}))
    };
    let listed = |status: &str, sentence: &str| {
        ok(json!({"status": 0, "data": {"transactionDetails": [
            {"merchantRefId": reference, "txnStatus": status, "msg": sentence}
        ]}}))
    };
    let no_such_account = "Invalid Benificiary MMID/Mobile Number";
    valid_in_the_end(
        Gateway::Payu,
        credentials(Gateway::Payu),
        json!({}),
        &reference,
        vec![
            ok(json!({"access_token": "t", "expires_in": "7200"})),
            verified("YES", no_such_account, Value::Null),
            verified("YES", "", json!(1004)),
            ok(json!({"status": 1, "code": 1002, "msg": "Duplicate"})),
            listed("SUCCESS", no_such_account),
            listed("SUCCESS", ""),
        ],
    )
    .await;
}

/// Makes an attempt whose replies are these, the last one for ever, and returns whether it ends lost, and after how many calls.
pub(crate) async fn in_the_end(
    gateway: Gateway,
    settings: Value,
    replies: Vec<Reaction>,
) -> (bool, usize) {
    let (connector, server) = connect(gateway, credentials(gateway), settings, replies).await;
    let (connector, details, reference) = (connector.as_ref(), good(), reference());
    let mut attempt = Attempt::new(&call(connector, &reference, &details, None));
    attempt.verify(connector).await;
    for _ in 0..20 {
        if attempt.is_lost() {
            break;
        }
        attempt.go_on(connector).await;
    }
    let story = attempt.story(1);
    assert_eq!(story.action, Action::Elsewhere, "{gateway}: {story:?}");
    (attempt.is_lost(), server.requests().len())
}

#[tokio::test]
async fn a_contradiction_that_never_ends_leads_to_another_gateway_as_a_possible_double_drop() {
    let cashfree = |status: &str, code: &str| {
        ok(json!({"reference_id": 34, "account_status": status, "account_status_code": code}))
    };
    let razorpay = |status: &str, account: &str| {
        ok(
            json!({"id": "fav_1", "status": status, "validation_results": {"account_status": account},
            "status_details": {"reason": "bank_account_invalid"}}),
        )
    };
    let setu =
        |verification: &str| ok(json!({"id": "1", "verification": verification, "code": "BAVM1"}));
    for (gateway, settings, replies) in [
        (
            Gateway::Cashfree,
            json!({}),
            vec![
                cashfree("RECEIVED", "VALIDATION_IN_PROGRESS"),
                cashfree("VALID", "INVALID_ACCOUNT_FAIL"),
            ],
        ),
        (
            Gateway::Cashfree,
            json!({"bank_flow": "sync"}),
            vec![cashfree("VALID", "INVALID_ACCOUNT_FAIL")],
        ),
        (
            Gateway::Razorpay,
            json!({"source_account_number": "1"}),
            vec![razorpay("created", ""), razorpay("completed", "active")],
        ),
        // The contradictory response to a call that is made again under its key.
        (
            Gateway::Razorpay,
            json!({"source_account_number": "1"}),
            vec![razorpay("completed", "active")],
        ),
        (
            Gateway::Setu,
            json!({}),
            vec![setu("pending"), setu("success")],
        ),
    ] {
        let (is_lost, calls) = in_the_end(gateway, settings, replies).await;
        assert!(is_lost, "{gateway}");
        assert!((3..=8).contains(&calls), "{gateway}: {calls} calls");
    }
}

/// Without a lookup, a contradictory response stays inconclusive; a lookup that moves no money is made again.
#[tokio::test]
async fn without_a_lookup_the_response_is_inconclusive_or_the_call_is_repeated_for_nothing() {
    let sync = json!({"id": "1", "verification": "success", "code": "BAVM1"});
    let settings = json!({"bank_flow": "sync"});
    let (setu, _server) = connect(
        Gateway::Setu,
        credentials(Gateway::Setu),
        settings,
        vec![ok(sync)],
    )
    .await;
    let (details, reference) = (good(), reference());
    let setu_call = call(setu.as_ref(), &reference, &details, None);
    let response = setu.verify(&setu_call).await.unwrap();
    assert_eq!(
        (response.class, response.unlisted),
        (Class::Inconclusive, true)
    );
    let vpa: Details = upi("asha@upi");
    for (gateway, settings, details, body) in [
        (
            Gateway::Cashfree,
            json!({}),
            &vpa,
            r#"{"status":"VALID","status":"INVALID"}"#,
        ),
        (
            Gateway::Razorpay,
            json!({}),
            &vpa,
            r#"{"success":true,"success":false}"#,
        ),
        (
            Gateway::Razorpay,
            json!({}),
            &vpa,
            r#"{"success":true,"error":{"code":"X"}}"#,
        ),
        (
            Gateway::Setu,
            json!({}),
            &vpa,
            r#"{"id":"1","status":"valid","status":"invalid"}"#,
        ),
        (
            Gateway::Setu,
            json!({"methods": ["PENNILESS"]}),
            &details,
            r#"{"status":"ERROR","message":"Invalid bank details","data":{"bankAccountName":"ASHA RAO"}}"#,
        ),
        (
            Gateway::Payu,
            json!({}),
            &vpa,
            r#"{"isVPAValid":1,"isVPAValid":0}"#,
        ),
        (
            Gateway::Payu,
            json!({}),
            &vpa,
            r#"{"status":"FAILURE","isVPAValid":1}"#,
        ),
    ] {
        let credentials = credentials(gateway);
        let (connector, _server) = connect(gateway, credentials, settings, vec![ok(body)]).await;
        let call = call(connector.as_ref(), &reference, details, None);
        let response = connector.verify(&call).await;
        assert!(is_lost(&response), "{gateway} {body}: {response:?}");
    }
}
