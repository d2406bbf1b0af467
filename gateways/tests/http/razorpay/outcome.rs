//! How Razorpay's answers are read: both shapes, and the traps in them.

use std::time::Duration;

use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, Details, GatewayResponse};
use serde_json::{Value, json};

use super::{answered, razorpay};
use crate::scripted::{Deed, Scripted};
use crate::support::{call, consent, good, is_lost, reference, upi};

/// A validation in the composite shape.
fn composite(status: &str, account_status: &Value, reason: &str) -> Value {
    json!({
        "id": "fav_00000000000001", "entity": "fund_account.validation", "status": status,
        "utr": "123456789012", "reference_id": "112233",
        "validation_results": {
            "account_status": account_status, "registered_name": "Gaurav Kumar", "details": "…",
            "name_match_score": 100, "validated_account_type": "bank_account",
            "bank_account": {"bank_routing_code": "ICIC0000047", "account_number": null}
        },
        "status_details": {"description": "…", "source": "beneficiary_bank", "reason": reason},
        "fund_account": {"account_type": "bank_account"}, "notes": []
    })
}

/// How a poll that is answered so is read, on which attempt.
async fn polled(
    details: &Details,
    attempt: i16,
    body: &Value,
) -> Result<Option<GatewayResponse>, CallFailure> {
    let server = Scripted::answering(200, "", &body.to_string()).await;
    let razorpay = razorpay(&server.origin, &json!({}));
    let (reference, given) = (reference(), consent(true));
    let mut call = call(razorpay.as_ref(), &reference, details, Some(&given));
    call.attempt = attempt;
    razorpay.lookup(&call, Some("fav_00000000000001")).await
}

async fn outcome(details: &Details, attempt: i16, body: &Value) -> GatewayResponse {
    polled(details, attempt, body).await.unwrap().unwrap()
}

#[tokio::test]
async fn accepted_is_pending_and_the_poll_tells_the_outcome() {
    let created = composite("created", &Value::Null, "").to_string();
    let completed = composite("completed", &json!("active"), "validation_completed").to_string();
    let server = Scripted::doing(vec![
        Deed::GatewayResponse(200, "", created.clone()),
        Deed::GatewayResponse(200, "", created),
        Deed::GatewayResponse(200, "", completed),
    ])
    .await;
    let razorpay = razorpay(&server.origin, &json!({}));
    let (details, reference) = (good(), reference());
    let call = call(razorpay.as_ref(), &reference, &details, None);
    let accepted = razorpay.verify(&call).await.unwrap();
    assert_eq!(
        (accepted.class, accepted.code.as_str()),
        (Class::Pending, "created"),
        "whatever else it holds, a UTR for example"
    );
    let id = accepted.gateway_reference.as_deref();
    assert_eq!(id, Some("fav_00000000000001"));
    let pending = razorpay.lookup(&call, id).await.unwrap().unwrap();
    assert_eq!(pending.class, Class::Pending);
    let valid = razorpay.lookup(&call, id).await.unwrap().unwrap();
    assert_eq!((valid.class, valid.code.as_str()), (Class::Valid, "active"));
    assert_eq!(valid.name_at_bank.unwrap().as_str(), "Gaurav Kumar");
    assert_eq!(valid.utr.as_deref(), Some("123456789012"));
    assert_eq!(valid.name_match_score, Some(100));
}

#[tokio::test]
async fn completed_is_not_valid() {
    for (status, class) in [
        (json!("active"), Class::Valid),
        (json!("valid"), Class::Valid),
        (json!("invalid"), Class::Invalid),
        (json!("inactive"), Class::Invalid),
        (json!(""), Class::Invalid),
        (Value::Null, Class::Invalid),
    ] {
        let body = composite("completed", &status, "validation_completed");
        for (details, failure) in [
            (good(), FailureCode::InvalidAccount),
            (upi("asha@upi"), FailureCode::InvalidVpa),
        ] {
            let answer = outcome(&details, 1, &body).await;
            assert_eq!(answer.class, class, "{status}");
            let expected = (class == Class::Invalid).then_some(failure);
            assert_eq!(answer.failure, expected, "{status}");
            assert!(!answer.unlisted);
        }
    }
    let mystery = composite("completed", &json!("mystery"), "validation_completed");
    let answer = outcome(&good(), 1, &mystery).await;
    assert_eq!((answer.class, answer.unlisted), (Class::Inconclusive, true));
    assert_eq!(answer.code, "mystery");
}

#[tokio::test]
async fn the_classic_shape_is_read_too() {
    let classic = |status: &str, account_status: Value| {
        json!({
            "id": "fav_00000000000001", "entity": "fund_account.validation", "status": status,
            "amount": 100, "currency": "INR", "utr": null,
            "results": {"account_status": account_status, "registered_name": "Gaurav Kumar"}
        })
    };
    let valid = outcome(&good(), 1, &classic("completed", json!("active"))).await;
    assert_eq!(valid.class, Class::Valid);
    assert_eq!(valid.name_at_bank.unwrap().as_str(), "Gaurav Kumar");
    let invalid = outcome(&good(), 1, &classic("completed", json!("invalid"))).await;
    assert_eq!(invalid.class, Class::Invalid);
    let failed = outcome(&good(), 1, &classic("failed", Value::Null)).await;
    assert_eq!(
        (failed.class, failed.code.as_str(), failed.unlisted),
        (Class::Retryable, "failed", false),
        "a technical end, without a reason"
    );
}

#[tokio::test]
async fn failed_is_a_technical_end_and_its_reason_tells_the_rest() {
    let half_an_hour = Some(Duration::from_mins(30));
    for (reason, class, failure, rest) in [
        ("gateway_timeout", Class::Retryable, None, half_an_hour),
        (
            "beneficiary_psp_offline",
            Class::Retryable,
            None,
            half_an_hour,
        ),
        (
            "bank_account_frozen",
            Class::Invalid,
            Some(FailureCode::AccountBlocked),
            None,
        ),
        (
            "invalid_ifsc_code",
            Class::Invalid,
            Some(FailureCode::InvalidIfsc),
            None,
        ),
        ("imps_not_allowed", Class::Inconclusive, None, None),
        ("insufficient_funds", Class::Misconfigured, None, None),
    ] {
        let answer = outcome(&good(), 1, &composite("failed", &Value::Null, reason)).await;
        assert_eq!((answer.class, answer.failure), (class, failure), "{reason}");
        assert_eq!((answer.code.as_str(), answer.unlisted), (reason, false));
        assert_eq!(answer.retry_after, rest, "{reason}");
    }
    let unheard_of = composite("failed", &Value::Null, "a_reason_of_next_year");
    let answer = outcome(&good(), 1, &unheard_of).await;
    assert_eq!((answer.class, answer.unlisted), (Class::Inconclusive, true));
}

#[tokio::test]
async fn an_invalid_address_is_asked_about_once_more() {
    let body = composite("failed", &Value::Null, "beneficiary_vpa_invalid");
    let vpa = upi("asha@upi");
    let first = outcome(&vpa, 1, &body).await;
    assert_eq!((first.class, first.retry_after), (Class::Retryable, None));
    let second = outcome(&vpa, 2, &body).await;
    assert_eq!(
        (second.class, second.failure),
        (Class::Invalid, Some(FailureCode::InvalidVpa))
    );
}

#[tokio::test]
async fn scores_and_names_are_read_as_they_come() {
    for (score, read) in [
        (json!(100), Some(100)),
        (json!("85"), Some(85)),
        (json!("85.4"), Some(85)),
        (json!(""), None),
        (Value::Null, None),
    ] {
        let mut body = composite("completed", &json!("active"), "");
        body["validation_results"]["name_match_score"] = score.clone();
        let answer = outcome(&good(), 1, &body).await;
        assert_eq!(answer.name_match_score, read, "{score}");
    }
    for placeholder in [json!("NA"), json!(""), json!(" verified "), Value::Null] {
        let mut body = composite("completed", &json!("active"), "");
        body["validation_results"]["registered_name"] = placeholder.clone();
        let answer = outcome(&good(), 1, &body).await;
        assert_eq!(
            (answer.class, answer.name_at_bank),
            (Class::Valid, None),
            "{placeholder}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_says_nothing_is_lost() {
    let mut no_results = composite("completed", &Value::Null, "");
    no_results
        .as_object_mut()
        .unwrap()
        .remove("validation_results");
    let mut no_id = composite("created", &Value::Null, "");
    no_id["id"] = json!("fav/../payouts");
    for body in [
        "",
        "{",
        "{}",
        "null",
        &no_results.to_string(),
        &no_id.to_string(),
    ] {
        let answer = answered(200, "", body, &good(), None).await;
        assert!(is_lost(&answer), "{body}: {answer:?}");
    }
    let unheard_of = composite("queued_for_next_year", &Value::Null, "").to_string();
    let answer = answered(200, "", &unheard_of, &good(), None).await.unwrap();
    assert_eq!((answer.class, answer.unlisted), (Class::Inconclusive, true));
}

#[tokio::test]
async fn a_look_at_an_address_is_answered_at_once() {
    let vpa = upi("asha@upi");
    for (body, class, failure, name) in [
        (
            r#"{"vpa":"asha@upi","success":true,"customer_name":"Asha Rao"}"#,
            Class::Valid,
            None,
            Some("Asha Rao"),
        ),
        (
            r#"{"vpa":"asha@upi","success":true,"customer_name":"NA"}"#,
            Class::Valid,
            None,
            None,
        ),
        (
            r#"{"vpa":"asha@upi","success":false,"customer_name":null}"#,
            Class::Invalid,
            Some(FailureCode::InvalidVpa),
            None,
        ),
    ] {
        let answer = answered(200, "", body, &vpa, None).await.unwrap();
        assert_eq!((answer.class, answer.failure), (class, failure), "{body}");
        let told = answer.name_at_bank.as_ref().map(|name| name.as_str());
        assert_eq!(told, name, "{body}");
    }
    for body in ["", "{}", r#"{"vpa":"asha@upi","success":null}"#] {
        assert!(
            is_lost(&answered(200, "", body, &vpa, None).await),
            "{body}"
        );
    }
    let unknown = r#"{"error":{"code":"BAD_REQUEST_ERROR","description":"Invalid VPA. Please enter a valid Virtual Payment Address"}}"#;
    let answer = answered(400, "", unknown, &vpa, None).await.unwrap();
    assert_eq!(answer.failure, Some(FailureCode::InvalidVpa));
}
