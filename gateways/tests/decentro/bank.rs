//! Requests to Decentro, and the status of the account in its replies.

use khata_domain::routing::Ineligible;
use khata_domain::validation::FailureCode;
use khata_domain::{Class, Details, GatewayResponse, Method, Recovery};
use khata_gateways::Connector;
use serde_json::{Value, json};

use super::{TXN, account_reply, decentro, lookup, verify};
use crate::scripted::{Reaction, ScriptedServer};
use crate::support::{bank, call, consent, good, reference, upi};

/// Returns the request that validates these details: its head, its JSON and the reference.
async fn sent(settings: &Value, details: &Details) -> (String, Value, String) {
    let server = ScriptedServer::responding(200, "", &account_reply("VALID").to_string()).await;
    let decentro = decentro(&server.origin, settings);
    let reference = reference();
    let call = call(decentro.as_ref(), &reference, details, None);
    decentro.verify(&call).await.unwrap();
    let (head, body) = server.request();
    (head, body, reference)
}

async fn verify_reply(status: u16, body: &Value) -> GatewayResponse {
    let server = ScriptedServer::responding(status, "", &body.to_string()).await;
    let decentro = decentro(&server.origin, &json!({}));
    verify(decentro.as_ref(), &good()).await.unwrap()
}

#[tokio::test]
async fn an_account_is_sent_as_documented() {
    let settings = json!({"consumer_urn": "abc123", "purpose_message": "Payout check"});
    let (head, body, reference) = sent(&settings, &good()).await;
    assert!(
        head.starts_with("post /v3/banking/money_transfer/validate_bank_account http/1.1"),
        "{head}"
    );
    for line in [
        "client_id: a-client",
        "client_secret: s3cret",
        "content-type: application/json",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(
        body,
        json!({
            "reference_id": reference, "purpose_message": "Payout check", "consumer_urn": "abc123",
            "validation_type": "pennydrop", "perform_name_match": false,
            "beneficiary_details": {"account_number": "00011020001772", "ifsc": "HDFC0000001", "name": "Asha Rao"}
        })
    );
}

#[tokio::test]
async fn the_settings_choose_the_method() {
    for (settings, method, sent_as) in [
        (json!({}), Method::PennyDrop, "pennydrop"),
        (
            json!({"methods": ["PENNY_DROP"]}),
            Method::PennyDrop,
            "pennydrop",
        ),
        (
            json!({"methods": ["PENNILESS"]}),
            Method::Penniless,
            "penniless",
        ),
        (
            json!({"methods": ["PENNILESS", "PENNY_DROP"]}),
            Method::Penniless,
            "penniless",
        ),
        (json!({"hybrid": true}), Method::PennyDrop, "hybrid"),
    ] {
        let decentro = decentro("http://127.0.0.1:9", &settings);
        assert_eq!(
            decentro.eligible_method(&good(), None),
            Ok(method),
            "{settings}"
        );
        assert_eq!(
            decentro.recovery(&good(), method),
            Recovery::Lookup,
            "{settings}"
        );
        let (_, body, _) = sent(&settings, &good()).await;
        assert_eq!(body["validation_type"], sent_as, "{settings}");
        assert_eq!(method.moves_money(), sent_as != "penniless");
    }
}

#[tokio::test]
async fn upi_addresses_are_ineligible() {
    let decentro = decentro("http://127.0.0.1:9", &json!({}));
    for consent in [None, Some(&consent(true))] {
        assert_eq!(
            decentro.eligible_method(&upi("asha@okhdfc"), consent),
            Err(Ineligible::Kind)
        );
    }
}

#[tokio::test]
async fn a_name_is_sent_in_plain_form_or_left_out() {
    for (name, sent_as) in [
        (Some("S.V. O'Neil (Rao)"), Some("S V ONeil Rao")),
        (Some("आशा राव"), None),
        (None, None),
    ] {
        let details = bank("00011020001772", "HDFC0000001", name);
        let (_, body, _) = sent(&json!({}), &details).await;
        let name = &body["beneficiary_details"]["name"];
        assert_eq!(name.as_str(), sent_as);
        assert_eq!(
            body["beneficiary_details"]["account_number"],
            "00011020001772"
        );
    }
}

#[tokio::test]
async fn the_status_of_the_account_decides_and_not_of_the_call() {
    for (status, class, failure, unlisted) in [
        ("VALID", Class::Valid, None, false),
        (
            "INVALID",
            Class::Invalid,
            Some(FailureCode::InvalidAccount),
            false,
        ),
        ("NRE", Class::Invalid, Some(FailureCode::NreAccount), false),
        ("INCONCLUSIVE", Class::Inconclusive, None, false),
        ("valid", Class::Valid, None, false),
        ("DORMANT", Class::Inconclusive, None, true),
    ] {
        for (http, api_status) in [(200, "SUCCESS"), (200, "FAILURE"), (400, "FAILURE")] {
            let mut body = account_reply(status);
            body["api_status"] = api_status.into();
            let response = verify_reply(http, &body).await;
            assert_eq!(
                (response.class, response.failure, response.unlisted),
                (class, failure, unlisted),
                "{status} {api_status}"
            );
            assert_eq!(response.code, status);
            assert_eq!(response.gateway_reference.as_deref(), Some(TXN));
        }
    }
}

#[tokio::test]
async fn the_name_and_the_utr_are_returned_if_present() {
    let response = verify_reply(200, &account_reply("VALID")).await;
    assert_eq!(response.name_at_bank.unwrap().as_str(), "ASHA RAO");
    assert_eq!(response.utr, None);
    for name in [json!(""), json!(" "), Value::Null] {
        let mut body = account_reply("VALID");
        body["data"]["beneficiary_name"] = name;
        body["data"]["bank_reference_number"] = json!(307_316_973_027_u64);
        let response = verify_reply(200, &body).await;
        assert_eq!(response.name_at_bank, None);
        assert_eq!(response.utr.as_deref(), Some("307316973027"));
    }
    let mut body = account_reply("VALID");
    body["data"]
        .as_object_mut()
        .unwrap()
        .remove("beneficiary_name");
    assert_eq!(verify_reply(200, &body).await.name_at_bank, None);
}

#[tokio::test]
async fn a_pending_outcome_is_polled_by_decentros_id() {
    let pending =
        json!({"decentro_txn_id": TXN, "api_status": "PENDING", "response_key": "success_pending"});
    let mut done = account_reply("INVALID");
    done["decentro_txn_id"] = "of the look".into();
    let mut done_within_data = done.clone();
    done["request_decentro_txn_id"] = TXN.into();
    done_within_data["data"]["request_decentro_txn_id"] = TXN.into();
    let server = ScriptedServer::with_reactions(
        [&pending, &pending, &done, &done_within_data]
            .map(|body| Reaction::Respond(200, "", body.to_string()))
            .into(),
    )
    .await;
    let decentro = decentro(&server.origin, &json!({}));
    let accepted = verify(decentro.as_ref(), &good()).await.unwrap();
    assert_eq!(accepted.class, Class::Pending);
    let gateway_reference = accepted.gateway_reference.as_deref();
    assert_eq!(gateway_reference, Some(TXN));
    for (class, expected) in [
        (Class::Pending, None),
        (Class::Invalid, Some(TXN)),
        (Class::Invalid, Some(TXN)),
    ] {
        let response = lookup(decentro.as_ref(), gateway_reference)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(response.class, class);
        assert_eq!(
            response.gateway_reference.as_deref(),
            expected,
            "never of the lookup"
        );
    }
    for request in &server.requests()[1..] {
        let line =
            format!("GET /v3/banking/account_validation/status?decentro_txn_id={TXN} HTTP/1.1");
        assert!(request.starts_with(&line), "{request}");
        assert!(request.contains("client_secret: s3cret"));
    }
}

#[tokio::test]
async fn a_lost_call_is_found_by_our_reference() {
    let server = ScriptedServer::responding(200, "", &account_reply("VALID").to_string()).await;
    let decentro = decentro(&server.origin, &json!({}));
    let connector: &dyn Connector = decentro.as_ref();
    let (details, reference) = (good(), reference());
    let found = connector
        .lookup(&call(connector, &reference, &details, None), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.class, Class::Valid);
    assert_eq!(found.name_at_bank.unwrap().as_str(), "ASHA RAO");
    let (head, _) = server.request();
    let line =
        format!("get /v3/banking/account_validation/status?reference_id={reference} http/1.1");
    assert!(head.starts_with(&line), "{head}");
}
