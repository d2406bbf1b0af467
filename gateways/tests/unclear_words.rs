//! Words that cannot be read, or contradict each other, and accepted calls that the gateway does not know: what Khata makes of them.

use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, Details, Gateway, GatewayResponse};
use serde_json::{Value, json};

use crate::contradictions::{connect, credentials, in_the_end, ok};
use crate::scripted::Reaction;
use crate::support::{call, good, is_lost, reference, upi};

/// Returns the response to a synchronous call of Cashfree's with this body.
async fn cashfree_sync(status: u16, body: &str) -> Result<GatewayResponse, CallFailure> {
    let (connector, _server) = connect(
        Gateway::Cashfree,
        credentials(Gateway::Cashfree),
        json!({"bank_flow": "sync"}),
        vec![Reaction::Respond(status, "", body.to_owned())],
    )
    .await;
    let (details, reference) = (good(), reference());
    let call = call(connector.as_ref(), &reference, &details, None);
    connector.verify(&call).await
}

#[tokio::test]
async fn a_synchronous_call_at_cashfree_is_looked_up_by_the_id_in_its_reply() {
    for body in [
        r#"{"reference_id":34,"account_status":"VALID","account_status_code":"INVALID_ACCOUNT_FAIL"}"#,
        r#"{"reference_id":34,"account_status":{}}"#,
        r#"{"reference_id":34,"account_status":7}"#,
        r#"{"reference_id":34}"#,
    ] {
        let response = cashfree_sync(200, body).await.unwrap();
        let id = response.gateway_reference.as_deref();
        assert_eq!((response.class, id), (Class::Pending, Some("34")), "{body}");
    }
    // Without the id a lookup would ask for a user_id that the call did not send, and poll in vain until the deadline.
    for (status, body) in [
        (200, r#"{"account_status":"RECEIVED","reference_id":{}}"#),
        (
            200,
            r#"{"account_status":"RECEIVED","reference_id":1,"reference_id":2}"#,
        ),
        (422, r#"{"code":"verification_already_under_process"}"#),
    ] {
        let response = cashfree_sync(status, body).await;
        assert!(is_lost(&response), "{body}: {response:?}");
    }
    let valid = r#"{"account_status":"VALID","reference_id":{}}"#;
    assert_eq!(cashfree_sync(200, valid).await.unwrap().class, Class::Valid);
}

/// Returns the response to a call with this body.
async fn answered(
    gateway: Gateway,
    settings: &Value,
    details: &Details,
    body: &str,
) -> Result<GatewayResponse, CallFailure> {
    let replies = vec![ok(body)];
    let (connector, _server) =
        connect(gateway, credentials(gateway), settings.clone(), replies).await;
    let reference = reference();
    let call = call(connector.as_ref(), &reference, details, None);
    connector.verify(&call).await
}

#[tokio::test]
async fn a_word_that_says_no_or_cannot_be_read_never_makes_an_account_valid() {
    let (bank, vpa) = (good(), upi("asha@upi"));
    let drops = json!({"source_account_number": "1"});
    let sync = json!({"bank_flow": "sync"});
    let penniless = json!({"methods": ["PENNILESS"]});
    let none = json!({});
    for (gateway, settings, details, body) in [
        (
            Gateway::Razorpay,
            &drops,
            &bank,
            r#"{"id":"fav_1","status":"completed","validation_results":{"account_status":"active"},"status_details":{"reason":"validation_completed","reason":"bank_account_invalid"}}"#,
        ),
        (
            Gateway::Setu,
            &penniless,
            &bank,
            r#"{"status":"SUCCESS","message":"Invalid bank details","message":"ok"}"#,
        ),
        (
            Gateway::Setu,
            &penniless,
            &bank,
            r#"{"status":"SUCCESS","message":{"text":"Invalid bank details"}}"#,
        ),
        (
            Gateway::Setu,
            &sync,
            &bank,
            r#"{"id":"1","verification":false,"code":"BAV00"}"#,
        ),
        (
            Gateway::Setu,
            &sync,
            &bank,
            r#"{"id":"1","verification":"failure","code":"BAV00"}"#,
        ),
        (
            Gateway::Cashfree,
            &none,
            &bank,
            r#"{"account_status":false,"account_status_code":"ACCOUNT_IS_VALID"}"#,
        ),
        (
            Gateway::Cashfree,
            &none,
            &bank,
            r#"{"account_status":"NOT_VALID","account_status_code":"ACCOUNT_IS_VALID"}"#,
        ),
        (
            Gateway::Cashfree,
            &none,
            &bank,
            r#"{"account_status":"VALID","accountStatus":"INVALID"}"#,
        ),
        (
            Gateway::Cashfree,
            &none,
            &bank,
            r#"{"account_status":"INVALID","accountStatus":"VALID"}"#,
        ),
        (
            Gateway::Payu,
            &none,
            &vpa,
            r#"{"status":"SUCCESS","status":"FAILURE","isVPAValid":1}"#,
        ),
        // A bare word, which no JSON text holds, is not null, by which Razorpay says that there is no such account.
        (
            Gateway::Razorpay,
            &drops,
            &bank,
            r#"{"id":"fav_1","status":"completed","validation_results":{"account_status":active}}"#,
        ),
        (
            Gateway::Razorpay,
            &drops,
            &bank,
            r#"{"id":"fav_1","status":"completed","validation_results":{"account_status":NaN}}"#,
        ),
    ] {
        let response = answered(gateway, settings, details, body).await;
        let is_final = response
            .as_ref()
            .is_ok_and(|response| response.class.is_final());
        assert!(!is_final, "{gateway} {body}: {response:?}");
    }
}

#[tokio::test]
async fn a_number_or_boolean_in_the_place_of_a_word_is_looked_up() {
    let (bank, none) = (good(), json!({}));
    let drops = json!({"source_account_number": "1"});
    for (gateway, settings, body) in [
        (
            Gateway::Cashfree,
            &none,
            r#"{"reference_id":34,"account_status":7}"#,
        ),
        (Gateway::Razorpay, &drops, r#"{"id":"fav_1","status":7}"#),
        (
            Gateway::Razorpay,
            &drops,
            r#"{"id":"fav_1","status":"completed","validation_results":{"account_status":true}}"#,
        ),
        (
            Gateway::Decentro,
            &none,
            r#"{"decentro_txn_id":"D","api_status":"SUCCESS","data":{"account_status":true}}"#,
        ),
    ] {
        let response = answered(gateway, settings, &bank, body).await;
        assert!(is_lost(&response), "{gateway} {body}: {response:?}");
    }
    for body in [
        r#"{"id":"x","code":200}"#,
        r#"{"id":"x","code":"A_CODE_OF_NEXT_YEAR"}"#,
    ] {
        let accepted = answered(Gateway::Setu, &json!({}), &bank, body)
            .await
            .unwrap();
        let id = accepted.gateway_reference.as_deref();
        assert_eq!((accepted.class, id), (Class::Pending, Some("x")), "{body}");
    }
}

#[tokio::test]
async fn padding_costs_nothing() {
    for word in [r"VALID\u0000\u0000", r"\u200bVALID", r"\ufeffVALID"] {
        let body = format!(r#"{{"reference_id":34,"\ud83d":1,"account_status":"{word}"}}"#);
        let response = answered(Gateway::Cashfree, &json!({}), &good(), &body).await;
        assert_eq!(response.unwrap().class, Class::Valid, "{word}");
    }
}

#[tokio::test]
async fn an_error_beside_razorpays_lookup_of_an_address_counts_if_it_says_something() {
    let vpa = upi("asha@upi");
    for (body, class, failure) in [
        (r#"{"success":true,"error":[]}"#, Class::Valid, None),
        (r#"{"success":true,"error":{}}"#, Class::Valid, None),
        (r#"{"success":true,"error":false}"#, Class::Valid, None),
        (r#"{"success":true,"error":"NA"}"#, Class::Valid, None),
        (
            r#"{"success":true,"error":{"code":null}}"#,
            Class::Valid,
            None,
        ),
        (
            r#"{"success":false,"error":{}}"#,
            Class::Invalid,
            Some(FailureCode::InvalidVpa),
        ),
        (
            r#"{"success":false,"error":{"code":"BAD_REQUEST_ERROR","reason":"invalid_vpa"}}"#,
            Class::Invalid,
            Some(FailureCode::InvalidVpa),
        ),
        (
            r#"{"success":false,"error":{"code":"GATEWAY_ERROR","reason":"server_error","description":"PSP is down"}}"#,
            Class::Inconclusive,
            None,
        ),
    ] {
        let response = answered(Gateway::Razorpay, &json!({}), &vpa, body)
            .await
            .unwrap();
        assert_eq!(
            (response.class, response.failure),
            (class, failure),
            "{body}"
        );
    }
}

#[tokio::test]
async fn razorpays_invalid_account_has_the_most_exact_reason_and_no_holder() {
    let drops = json!({"source_account_number": "1"});
    let body = |results: &str, reason: &str| {
        format!(
            r#"{{"id":"fav_1","status":"completed","validation_results":{results},"status_details":{{"reason":"{reason}"}}}}"#
        )
    };
    for name in [r#""NA""#, r#""null""#, "false", "[]", "{}", "7", r#""""#] {
        let results = format!(r#"{{"account_status":null,"registered_name":{name}}}"#);
        let response = answered(Gateway::Razorpay, &drops, &good(), &body(&results, "")).await;
        assert_eq!(response.unwrap().class, Class::Invalid, "{name}");
    }
    for (reason, failure) in [
        ("bank_account_closed", FailureCode::AccountClosed),
        ("bank_account_frozen", FailureCode::AccountFrozen),
        ("invalid_ifsc_code", FailureCode::InvalidIfsc),
        ("validation_completed", FailureCode::InvalidAccount),
    ] {
        let body = body(r#"{"account_status":"invalid"}"#, reason);
        let response = answered(Gateway::Razorpay, &drops, &good(), &body).await;
        assert_eq!(response.unwrap().failure, Some(failure), "{reason}");
    }
}

#[tokio::test]
async fn an_accepted_call_that_its_gateway_does_not_know_leads_to_another_gateway() {
    let received = json!({"reference_id": 34, "account_status": "RECEIVED"});
    let created = json!({"id": "fav_1", "status": "created"});
    let pending = json!({"decentro_txn_id": "D", "api_status": "PENDING"});
    let accepted = json!({"status": 0, "data": {"accountExists": "VERIFICATION_PENDING"}});
    let unknown = |status, body: &str| Reaction::Respond(status, "", body.to_owned());
    for (gateway, settings, replies) in [
        (
            Gateway::Cashfree,
            json!({}),
            vec![
                ok(&received),
                unknown(404, r#"{"code":"user_id_not_found"}"#),
            ],
        ),
        (
            Gateway::Cashfree,
            json!({"bank_flow": "sync"}),
            vec![
                ok(&received),
                unknown(404, r#"{"code":"reference_id_not_found"}"#),
            ],
        ),
        (
            Gateway::Razorpay,
            json!({"source_account_number": "1"}),
            vec![
                ok(created),
                unknown(
                    400,
                    r#"{"error":{"description":"The id provided does not exist"}}"#,
                ),
            ],
        ),
        (
            Gateway::Setu,
            json!({}),
            vec![
                ok(r#"{"id":"1"}"#),
                unknown(404, r#"{"error":{"code":"not_found"}}"#),
            ],
        ),
        (
            Gateway::Decentro,
            json!({}),
            vec![
                ok(pending),
                unknown(
                    404,
                    r#"{"api_status":"FAILURE","response_key":"error_transaction_not_found"}"#,
                ),
            ],
        ),
        (
            Gateway::Payu,
            json!({}),
            vec![
                ok(json!({"access_token": "t", "expires_in": "7200"})),
                ok(accepted),
                ok(json!({"status": 0, "data": {"transactionDetails": []}})),
            ],
        ),
    ] {
        let (is_lost, calls) = in_the_end(gateway, settings, replies).await;
        assert!(is_lost, "{gateway}: the next attempt is flagged");
        assert!((3..=8).contains(&calls), "{gateway}: {calls} calls");
    }
}
