//! The penny test and its lookup.

use std::time::Duration;

use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, GatewayResponse, Method, Recovery};
use serde_json::{Value, json};

use super::{field, parts, payu, responding, token};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{bank, call, good, is_lost, reference};

/// Returns the connector's response to a call that gets this reply.
async fn answered(
    status: u16,
    headers: &'static str,
    body: &str,
) -> Result<GatewayResponse, CallFailure> {
    let server = responding(status, headers, body).await;
    let payu = payu(&server.origin, &json!({}));
    let (details, reference) = (good(), reference());
    payu.verify(&call(payu.as_ref(), &reference, &details, None))
        .await
}

fn verified(exists: &str, name: &str, score: &Value, error: &str) -> String {
    json!({"status": 0, "msg": null, "code": null, "data": {
        "accountExists": exists, "beneficiaryName": name, "nameMatch": score, "status": "Success",
        "error": error
    }})
    .to_string()
}

#[tokio::test]
async fn an_account_is_sent_with_our_reference() {
    let server = responding(200, "", &verified("YES", "", &Value::Null, "")).await;
    let payu = payu(&server.origin, &json!({}));
    for (name, sent, matching) in [
        (Some("S.V. Rao & Sons"), Some("S V Rao Sons"), "true"),
        (Some("आशा राव"), None, "false"),
        (None, None, "false"),
    ] {
        let details = bank("00011020001772", "HDFC0000001", name);
        let reference = reference();
        let call = call(payu.as_ref(), &reference, &details, None);
        payu.verify(&call).await.unwrap();
        let requests = server.requests();
        let (head, fields) = parts(requests.last().unwrap());
        assert!(
            head[0].starts_with("POST /payout/payment/verifyAccount HTTP"),
            "{head:?}"
        );
        assert!(head.contains(&"content-type: application/x-www-form-urlencoded"));
        for (name, value) in [
            ("accountNumber", Some("00011020001772")),
            ("ifscCode", Some("HDFC0000001")),
            ("merchantRefId", Some(reference.as_str())),
            ("validateIfsc", Some("true")),
            ("beneName", sent),
            ("nameMatching", Some(matching)),
            ("purpose", Some("Verification")),
        ] {
            assert_eq!(field(&fields, name), value, "{name}");
        }
    }
}

#[tokio::test]
async fn every_word_about_the_account_has_its_class() {
    let score = json!(59.451_219_512_195_13);
    let valid = answered(200, "", &verified("YES", "Ankush Pokarana", &score, ""))
        .await
        .unwrap();
    assert_eq!((valid.class, valid.code.as_str()), (Class::Valid, "YES"));
    assert_eq!(valid.name_at_bank.unwrap().as_str(), "Ankush Pokarana");
    assert_eq!(valid.name_match_score, Some(59));
    let sentence = "Invalid Benificiary MMID/Mobile Number";
    let invalid = answered(200, "", &verified("No", "", &Value::Null, sentence))
        .await
        .unwrap();
    assert_eq!(
        (invalid.class, invalid.failure),
        (Class::Invalid, Some(FailureCode::InvalidAccount))
    );
    let pending = verified("VERIFICATION_PENDING", "Ankush Pokarana", &Value::Null, "");
    let pending = answered(200, "", &pending).await.unwrap();
    assert_eq!(
        (pending.class, pending.name_at_bank),
        (Class::Pending, None),
        "no bank has confirmed the name"
    );
    let unknown_word = answered(200, "", &verified("MAYBE", "", &Value::Null, ""))
        .await
        .unwrap();
    assert_eq!(
        (unknown_word.class, unknown_word.unlisted),
        (Class::Inconclusive, true)
    );
    let unnamed = answered(200, "", &verified("YES", " ", &Value::Null, ""))
        .await
        .unwrap();
    assert_eq!(unnamed.name_at_bank, None);
}

#[tokio::test]
async fn every_error_code_has_its_class() {
    for (code, class, failure, unlisted) in [
        (json!(1002), Class::Pending, None, false),
        (
            json!("1004"),
            Class::Invalid,
            Some(FailureCode::InvalidAccount),
            false,
        ),
        (
            json!([1005]),
            Class::Invalid,
            Some(FailureCode::InvalidIfsc),
            false,
        ),
        (
            json!(1022),
            Class::Invalid,
            Some(FailureCode::InvalidIfsc),
            false,
        ),
        (json!(1025), Class::Misconfigured, None, false),
        (json!(1015), Class::Inconclusive, None, false),
        (json!(9999), Class::Inconclusive, None, true),
        (Value::Null, Class::Inconclusive, None, true),
    ] {
        let body = json!({"status": 1, "msg": "…", "code": code, "data": null}).to_string();
        for status in [200, 400] {
            if status == 400 && code.is_null() {
                continue;
            }
            let response = answered(status, "", &body).await.unwrap();
            assert_eq!(
                (response.class, response.failure),
                (class, failure),
                "{status} {code}"
            );
            assert_eq!(response.unlisted, unlisted, "{status} {code}");
        }
    }
    let empty = r#"{"status":1,"msg":"Insufficient balance in your account","code":null}"#;
    let response = answered(200, "", empty).await.unwrap();
    assert_eq!(
        (response.class, response.code.as_str()),
        (Class::Misconfigured, "status_1")
    );
}

#[tokio::test]
async fn a_rejection_differs_from_a_call_that_payu_may_have_acted_on() {
    for (status, class) in [
        (403, Class::Misconfigured),
        (404, Class::Misconfigured),
        (400, Class::Inconclusive),
    ] {
        assert_eq!(
            answered(status, "", "").await.unwrap().class,
            class,
            "{status}"
        );
    }
    let busy = answered(429, "retry-after: 7\r\n", "").await.unwrap();
    assert_eq!(busy.class, Class::Retryable);
    assert_eq!(busy.retry_after, Some(Duration::from_secs(7)));
    assert!(answered(418, "", "").await.unwrap().unlisted);
    for status in [302, 408, 409, 500, 502] {
        let response = answered(status, "", "").await;
        assert!(is_lost(&response), "{status}: {response:?}");
    }
    for body in [
        "",
        "{",
        "{}",
        "null",
        r#"{"status":0}"#,
        r#"{"status":0,"data":{}}"#,
        r#"{"status":0,"data":{"accountExists":""}}"#,
    ] {
        let response = answered(200, "", body).await;
        assert!(is_lost(&response), "{body}: {response:?}");
    }
}

/// Returns a list of transfers: reference, status, sentence.
fn listed(transfers: &[(&str, &str, &str)]) -> String {
    let details: Vec<_> = transfers
        .iter()
        .map(|(reference, status, sentence)| {
            json!({
                "txnId": 71870, "batchId": null, "merchantRefId": reference, "purpose": "Verification",
                "amount": 1.0, "txnStatus": status, "txnSubStatus": null,
                "payuTransactionRefNo": "PAYOUT1661147773462lrSLcvHSc1K", "msg": sentence,
                "responseCode": null, "transferType": "IMPS", "bankTransactionRefNo": "404223241811",
                "nameWithBank": "Ankush Pokarana", "nameMatch": 59.4
            })
        })
        .collect();
    json!({"status": 0, "msg": null, "code": null, "data": {
        "noOfPages": 1, "totalElements": details.len(), "transactionDetails": details
    }})
    .to_string()
}

/// Returns the result of a lookup that gets this reply.
async fn found(body: impl Fn(&str) -> String) -> Result<Option<GatewayResponse>, CallFailure> {
    let (details, reference) = (good(), reference());
    let server = responding(200, "", &body(&reference)).await;
    let payu = payu(&server.origin, &json!({}));
    let call = call(payu.as_ref(), &reference, &details, None);
    let found = payu.lookup(&call, None).await;
    let requests = server.requests();
    let (head, fields) = parts(&requests[1]);
    assert!(
        head[0].starts_with("POST /payout/payment/listTransactions HTTP"),
        "{head:?}"
    );
    assert_eq!(field(&fields, "merchantRefId"), Some(reference.as_str()));
    found
}

#[tokio::test]
async fn a_call_is_looked_up_by_our_reference() {
    let valid = found(|ours| listed(&[("another", "FAILED", ""), (ours, "SUCCESS", "")])).await;
    let valid = valid.unwrap().unwrap();
    assert_eq!(
        (valid.class, valid.code.as_str()),
        (Class::Valid, "SUCCESS")
    );
    assert_eq!(valid.utr.as_deref(), Some("404223241811"));
    assert_eq!(valid.name_at_bank.unwrap().as_str(), "Ankush Pokarana");
    assert_eq!(valid.name_match_score, Some(59));
    let reference = valid.gateway_reference.as_deref();
    assert_eq!(reference, Some("PAYOUT1661147773462lrSLcvHSc1K"));
    for (status, sentence, class) in [
        ("IN_PROGRESS", "", Class::Pending),
        ("QUEUED", "", Class::Pending),
        ("FAILED", "Internal Error", Class::Inconclusive),
        (
            "FAILED",
            "Invalid Benificiary MMID/Mobile Number",
            Class::Invalid,
        ),
        ("REVERSED", "", Class::Inconclusive),
    ] {
        let response = found(|ours| listed(&[(ours, status, sentence)])).await;
        assert_eq!(
            response.unwrap().unwrap().class,
            class,
            "{status} {sentence}"
        );
    }
    let unknown_word = found(|ours| listed(&[(ours, "MAYBE", "")])).await;
    assert!(unknown_word.unwrap().unwrap().unlisted);
}

#[tokio::test]
async fn a_list_without_the_transfer_is_not_never_seen() {
    let empty = found(|_| listed(&[])).await;
    assert!(
        is_lost(&empty),
        "PayU: to be considered unidentified or pending: {empty:?}"
    );
    assert!(is_lost(
        &found(|_| listed(&[("another", "SUCCESS", "")])).await
    ));
    for body in ["", "{}", r#"{"status":1,"code":1004}"#] {
        assert!(is_lost(&found(|_| body.to_owned()).await), "{body}");
    }
}

#[tokio::test]
async fn a_repeated_call_is_a_duplicate_and_is_looked_up() {
    let (details, reference) = (good(), reference());
    let duplicate = r#"{"status":1,"msg":"Duplicate merchant ref id","code":1002,"data":null}"#;
    let server = ScriptedServer::with_reactions(vec![
        token("t0ken", 7200),
        Reaction::Close,
        Reaction::Respond(200, "", duplicate.into()),
        Reaction::Respond(200, "", listed(&[(&reference, "SUCCESS", "")])),
    ])
    .await;
    let payu = payu(&server.origin, &json!({}));
    assert_eq!(
        payu.recovery(&details, Method::PennyDrop),
        Recovery::Resubmit
    );
    let call = call(payu.as_ref(), &reference, &details, None);
    assert!(is_lost(&payu.verify(&call).await));
    let again = payu.verify_again(&call).await.unwrap();
    assert_eq!((again.class, again.code.as_str()), (Class::Pending, "1002"));
    let found = payu.lookup(&call, None).await.unwrap().unwrap();
    assert_eq!(found.class, Class::Valid);
    let requests = server.requests();
    let (first, second) = (parts(&requests[1]).1, parts(&requests[2]).1);
    assert_eq!(first, second, "never with another reference");
}

#[tokio::test]
async fn a_rejection_of_the_repeated_call_leaves_the_first_one_lost() {
    let (details, reference) = (good(), reference());
    let no_token = Reaction::Respond(401, "", r#"{"error":"invalid_client"}"#.into());
    let busy = Reaction::Respond(429, "", String::new());
    for reactions in [vec![no_token], vec![token("t0ken", 7200), busy]] {
        let server = ScriptedServer::with_reactions(reactions.clone()).await;
        let payu = payu(&server.origin, &json!({}));
        let call = call(payu.as_ref(), &reference, &details, None);
        let again = payu.verify_again(&call).await;
        assert!(is_lost(&again), "{reactions:?}: {again:?}");
    }
    let offline = payu("http://127.0.0.1:9", &json!({}));
    let call = call(offline.as_ref(), &reference, &details, None);
    assert!(is_lost(&offline.verify_again(&call).await));
}
