//! Razorpay's replies, in both shapes.

use std::time::Duration;

use khata_domain::validation::FailureCode;
use khata_domain::{AccountType, CallFailure, Class, Details, GatewayResponse};
use serde_json::{Value, json};

use super::{answered, razorpay};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{call, consent, good, is_lost, reference, upi};

/// Returns a validation in the composite shape.
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

/// Returns the result of a poll that gets this reply, on this attempt.
async fn polled(
    details: &Details,
    attempt: i16,
    body: &Value,
) -> Result<Option<GatewayResponse>, CallFailure> {
    let server = ScriptedServer::responding(200, "", &body.to_string()).await;
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
async fn an_accepted_validation_is_pending_until_a_poll_returns_the_outcome() {
    let created = composite("created", &Value::Null, "").to_string();
    let completed = composite("completed", &json!("active"), "validation_completed").to_string();
    let server = ScriptedServer::with_reactions(vec![
        Reaction::Respond(200, "", created.clone()),
        Reaction::Respond(200, "", created),
        Reaction::Respond(200, "", completed),
    ])
    .await;
    let razorpay = razorpay(&server.origin, &json!({}));
    let (details, reference) = (good(), reference());
    let call = call(razorpay.as_ref(), &reference, &details, None);
    let accepted = razorpay.verify(&call).await.unwrap();
    assert_eq!(
        (accepted.class, accepted.code.as_str()),
        (Class::Pending, "created"),
        "whatever else the reply holds, a UTR for example"
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
        let mut body = composite("completed", &status, "validation_completed");
        if status.as_str().is_none_or(str::is_empty) {
            body["validation_results"]["registered_name"] = Value::Null;
        }
        for (details, failure) in [
            (good(), FailureCode::InvalidAccount),
            (upi("asha@upi"), FailureCode::InvalidVpa),
        ] {
            let response = outcome(&details, 1, &body).await;
            assert_eq!(response.class, class, "{status}");
            let expected = (class == Class::Invalid).then_some(failure);
            assert_eq!(response.failure, expected, "{status}");
            assert!(!response.unlisted);
        }
    }
    let mystery = composite("completed", &json!("mystery"), "validation_completed");
    let response = outcome(&good(), 1, &mystery).await;
    assert_eq!(
        (response.class, response.unlisted),
        (Class::Inconclusive, true)
    );
    assert_eq!(response.code, "mystery");
}

#[tokio::test]
async fn the_classic_shape_is_read() {
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
        "a technical failure, without a reason"
    );
}

#[tokio::test]
async fn the_reason_of_a_failed_validation_decides() {
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
            Some(FailureCode::AccountFrozen),
            None,
        ),
        (
            "invalid_ifsc_code",
            Class::Invalid,
            Some(FailureCode::InvalidIfsc),
            None,
        ),
        (
            "imps_not_allowed",
            Class::Inconclusive,
            Some(FailureCode::ImpsNotEnabled),
            None,
        ),
        ("insufficient_funds", Class::Misconfigured, None, None),
    ] {
        let response = outcome(&good(), 1, &composite("failed", &Value::Null, reason)).await;
        assert_eq!(
            (response.class, response.failure),
            (class, failure),
            "{reason}"
        );
        assert_eq!((response.code.as_str(), response.unlisted), (reason, false));
        assert_eq!(response.retry_after, rest, "{reason}");
    }
    let unknown_word = composite("failed", &Value::Null, "a_reason_of_next_year");
    let response = outcome(&good(), 1, &unknown_word).await;
    assert_eq!(
        (response.class, response.unlisted),
        (Class::Inconclusive, true)
    );
}

#[tokio::test]
async fn an_invalid_address_is_retried_once() {
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
async fn scores_are_read_as_text_or_number_and_empty_names_as_none() {
    for (score, read) in [
        (json!(100), Some(100)),
        (json!("85"), Some(85)),
        (json!("85.4"), Some(85)),
        (json!(""), None),
        (Value::Null, None),
    ] {
        let mut body = composite("completed", &json!("active"), "");
        body["validation_results"]["name_match_score"] = score.clone();
        let response = outcome(&good(), 1, &body).await;
        assert_eq!(response.name_match_score, read, "{score}");
    }
    for empty in [json!(""), json!(" "), Value::Null] {
        let mut body = composite("completed", &json!("active"), "");
        body["validation_results"]["registered_name"] = empty.clone();
        let response = outcome(&good(), 1, &body).await;
        assert_eq!(
            (response.class, response.name_at_bank),
            (Class::Valid, None),
            "{empty}"
        );
    }
}

#[tokio::test]
async fn a_reply_without_an_outcome_is_lost() {
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
        let response = answered(200, "", body, &good(), None).await;
        assert!(is_lost(&response), "{body}: {response:?}");
    }
    let unknown_word = composite("queued_for_next_year", &Value::Null, "").to_string();
    let response = answered(200, "", &unknown_word, &good(), None)
        .await
        .unwrap();
    assert_eq!(
        (response.class, response.unlisted),
        (Class::Inconclusive, true)
    );
}

#[tokio::test]
async fn a_lookup_of_an_address_returns_the_outcome() {
    let vpa = upi("asha@upi");
    for (body, class, failure, name) in [
        (
            r#"{"vpa":"asha@upi","success":true,"customer_name":"Asha Rao"}"#,
            Class::Valid,
            None,
            Some("Asha Rao"),
        ),
        (
            r#"{"vpa":"asha@upi","success":true,"customer_name":" "}"#,
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
        let response = answered(200, "", body, &vpa, None).await.unwrap();
        assert_eq!(
            (response.class, response.failure),
            (class, failure),
            "{body}"
        );
        let name_at_bank = response.name_at_bank.as_deref();
        assert_eq!(name_at_bank, name, "{body}");
    }
    for body in ["", "{}", r#"{"vpa":"asha@upi","success":null}"#] {
        assert!(
            is_lost(&answered(200, "", body, &vpa, None).await),
            "{body}"
        );
    }
    let unknown = r#"{"error":{"code":"BAD_REQUEST_ERROR","description":"Invalid VPA. Please enter a valid Virtual Payment Address"}}"#;
    let response = answered(400, "", unknown, &vpa, None).await.unwrap();
    assert_eq!(response.failure, Some(FailureCode::InvalidVpa));
}

#[tokio::test]
async fn the_account_type_is_returned_in_any_form_but_only_as_text() {
    for (word, account_type) in [
        (json!("savings"), Some(AccountType::Savings)),
        (json!("CURRENT"), Some(AccountType::Current)),
        (json!("nre"), Some(AccountType::Nre)),
        (json!("a type of next year"), Some(AccountType::Other)),
        (json!(""), None),
        (json!(7), None),
        (Value::Null, None),
    ] {
        let mut body = composite("completed", &json!("active"), "");
        body["validation_results"]["bank_account"]["account_type"] = word.clone();
        let response = outcome(&good(), 1, &body).await;
        assert_eq!(response.account_type, account_type, "{word}");
        assert_eq!(response.class, Class::Valid, "{word}");
    }
    let mut body = composite("completed", &json!("active"), "");
    body["validation_results"]["bank_account"] = json!("unexpected");
    assert_eq!(outcome(&good(), 1, &body).await.class, Class::Valid);
}
