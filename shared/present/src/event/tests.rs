mod states;

use khata_crypto::KeyringFile;
use khata_domain::{AccountStatus, Details};
use serde_json::{Value, json};

use super::*;
use states::{
    EVENTS, NAME, NAME_AT_BANK, NUMBER, ORDER, State, UTR, active, bank, deleted, event_of,
    failure, id, keyring, later, merchant, upi,
};

fn rendered(keyring: &Keyring, of: &AccountEvent, row: AccountRow, payload: Payload) -> String {
    let body = event(keyring, merchant(), of, row, payload).unwrap();
    String::from_utf8(body).unwrap()
}

/// The account that an event of the state shows.
fn account(keyring: &Keyring, details: &Details, state: State, payload: Payload) -> Value {
    let then = state(keyring, details);
    let body = rendered(keyring, &event_of(Name::Active, &then), then, payload);
    let mut body: Value = serde_json::from_str(&body).unwrap();
    body["content"]["customer_account"].take()
}

#[test]
fn a_full_event_holds_the_account_of_the_reply_at_that_time() {
    let keyring = keyring();
    for details in [
        bank(),
        upi("asha.rao@okaxis"),
        upi("026291@hdfc0000001.ifsc.npci"),
    ] {
        for (name, state) in EVENTS {
            let then = state(&keyring, &details);
            let event = event_of(name, &then);
            let now = later(&keyring, &details, &then);
            let reply = account::stored(&keyring, merchant(), then).unwrap();
            let reply = serde_json::to_string(&reply).unwrap();
            assert_eq!(
                rendered(&keyring, &event, now, Payload::Full),
                format!(
                    r#"{{"id":"{}","event_name":"{name}","date_created":"2023-06-06T13:28:25Z","content":{{"customer_account":{reply}}}}}"#,
                    id("evt_")
                )
            );
        }
    }
}

#[test]
fn an_event_shows_no_result_before_the_outcome() {
    let keyring = keyring();
    // A gateway named the UTR with its first response, which the reply shows at once.
    let mut then = active(&keyring, &bank());
    then.columns.status = AccountStatus::Pending;
    then.validation.completed_at = None;
    let event = event_of(Name::Pending, &then);
    let body = rendered(&keyring, &event, then, Payload::Full);
    let body: Value = serde_json::from_str(&body).unwrap();
    let validation = &body["content"]["customer_account"]["validation"];
    for member in [
        "name_at_bank",
        "name_match",
        "account_type",
        "utr",
        "reused_from",
    ] {
        assert_eq!(validation.get(member), Some(&Value::Null), "{member}");
    }
    assert_eq!(validation["attempts"], 2);
}

#[test]
fn the_same_event_has_the_same_bytes() {
    let (file, _) = KeyringFile::generate().with_new_key().unwrap();
    let (old, new) = (Keyring::from(&file), Keyring::from(&file.promoted()));
    for (name, state) in EVENTS {
        for &payload in Payload::ALL {
            let then = state(&old, &bank());
            let event = event_of(name, &then);
            let first = rendered(&old, &event, then.clone(), payload);
            assert_eq!(rendered(&old, &event, then.clone(), payload), first);
            // Encrypted again, and changed since.
            let now = later(&new, &bank(), &then);
            assert_eq!(rendered(&new, &event, now, payload), first);
        }
    }
}

#[test]
fn a_masked_event_has_masked_details_and_no_names() {
    let keyring = keyring();
    let shown = account(&keyring, &bank(), active, Payload::Masked);
    assert_eq!(
        shown,
        json!({
            "object": "customer_account", "id": id("banh_"), "customer_id": id("cst_"),
            "object_reference_id": "customer_1122", "date_created": "2023-06-06T13:28:20Z",
            "last_updated": "2023-06-06T13:28:22Z", "last_validated": "2023-06-06T13:28:22Z",
            "account_details": { "bank_account_details": {
                "account_number": "XXXXXXX1191", "ifsc": "HDFC0000001", "bank_code": "12", "bank_name": "HDFC Bank",
                "branch_name": shown["account_details"]["bank_account_details"]["branch_name"], "ifsc_listed": true,
                "ifsc_hint": null,
            } },
            "validation_amount": 1, "currency": "INR", "status": "ACTIVE", "version": 3, "gateway_id": null,
            "gateway_reference_id": null,
            "validation": {
                "id": id("val_"), "gateway_id": 70, "gateway_reference_id": "main", "method": "PENNY_DROP",
                "name_match": { "score": 96, "result": "GOOD_PARTIAL_MATCH" }, "account_type": "SAVINGS",
                "failure": null, "pending_reason": null, "next_attempt_at": null, "attempts": 2, "reused_from": null,
                "date_created": "2023-06-06T13:28:20Z", "date_completed": "2023-06-06T13:28:22Z",
            },
        })
    );
    for (vpa, expected) in [
        (
            "asha.rao@okhdfcbank",
            json!({ "vpa": "as***@okhdfcbank", "handle_known": true }),
        ),
        (
            "026291800001191@hdfc0000001.ifsc.npci",
            json!({
                "vpa": "XXXXXXX1191@hdfc0000001.ifsc.npci", "handle_known": true,
                "bank_account": { "account_number": "XXXXXXX1191", "ifsc": "HDFC0000001" },
            }),
        ),
    ] {
        let shown = account(&keyring, &upi(vpa), active, Payload::Masked);
        assert_eq!(
            shown["account_details"],
            json!({ "vpa_details": expected }),
            "{vpa}"
        );
    }
}

#[test]
fn a_thin_event_has_ids_status_and_version_only() {
    let (keyring, other) = (keyring(), keyring());
    for (name, state) in EVENTS {
        let then = state(&keyring, &bank());
        let event = event_of(name, &then);
        let (status, version) = (then.status, then.version);
        let now = later(&keyring, &bank(), &then);
        // Nothing is decrypted: another keyring shows the same.
        let body = rendered(&other, &event, now, Payload::Thin);
        let (event, account, customer) = (id("evt_"), id("banh_"), id("cst_"));
        assert_eq!(
            body,
            format!(
                r#"{{"id":"{event}","event_name":"{name}","date_created":"2023-06-06T13:28:25Z","content":{{"customer_account":{{"object":"customer_account","id":"{account}","customer_id":"{customer}","object_reference_id":"customer_1122","status":"{status}","version":{version}}}}}}}"#
            )
        );
    }
}

#[test]
fn masked_and_thin_events_hold_no_personal_data() {
    let keyring = keyring();
    for details in [
        bank(),
        upi("asha.rao@okaxis"),
        upi("026291800001191@hdfc0000001.ifsc.npci"),
    ] {
        for (name, state) in EVENTS {
            let then = state(&keyring, &details);
            let event = event_of(name, &then);
            for payload in [Payload::Masked, Payload::Thin] {
                let body = rendered(&keyring, &event, then.clone(), payload);
                for secret in [NUMBER, "0262", "asha.rao", NAME, NAME_AT_BANK, UTR, ORDER] {
                    assert!(!body.contains(secret), "{secret} is in {body}");
                }
            }
        }
    }
}

#[test]
fn an_event_of_a_deleted_account_shows_the_account_as_it_was() {
    let keyring = keyring();
    let shown = account(&keyring, &bank(), deleted, Payload::Full);
    assert_eq!(shown["status"], "DELETED");
    assert_eq!(
        shown["account_details"]["bank_account_details"]["account_number"],
        NUMBER
    );
    assert_eq!(shown["metadata"]["order"], ORDER);
    let validation = &shown["validation"];
    assert_eq!(validation["attempts"], 1);
    assert!(validation["pending_reason"].is_null() && validation["next_attempt_at"].is_null());
}

#[test]
fn an_event_shows_no_account_of_another_merchant_and_none_that_it_cannot_decrypt() {
    let (keyring, other) = (keyring(), keyring());
    let row = active(&keyring, &bank());
    let of = event_of(Name::Active, &row);
    for &payload in Payload::ALL {
        let stranger = MerchantId::new();
        let shown = event(&keyring, stranger, &of, row.clone(), payload);
        assert!(
            matches!(shown, Err(PresentError::OtherMerchant)),
            "{payload}"
        );
        let mut moved = row.clone();
        moved.columns.merchant = stranger;
        let shown = event(&keyring, stranger, &of, moved, payload);
        assert_eq!(shown.is_err(), payload != Payload::Thin, "{payload}");
        let shown = event(&other, merchant(), &of, row.clone(), payload);
        assert_eq!(shown.is_err(), payload != Payload::Thin, "{payload}");
    }
}

/// An event of an endpoint, as it is stored.
fn stored_event(name: Name) -> stored::Event {
    stored::Event {
        id: EventId::parse(&id("evt_")).unwrap(),
        position: 1,
        subject_id: EndpointId::parse(&id("whe_")).unwrap().0,
        version: 2,
        name,
        created_at: DateTime::from_timestamp(1_686_058_105, 0).unwrap(),
        trace_parent: None,
        status: None,
        last_validated_at: None,
        pinned_gateway_id: None,
        pinned_gateway_reference_id: None,
        validation: None,
        attempts: None,
        gateway_id: None,
        gateway_reference_id: None,
        method: None,
        failure_code: None,
        pending_reason: None,
        due_at: None,
        completed_at: None,
    }
}

/// The endpoint of [`stored_event`].
fn endpoint(disabled_at: Option<DateTime<Utc>>) -> Endpoint {
    let at = DateTime::from_timestamp(1_686_058_100, 0).unwrap();
    Endpoint {
        merchant: merchant(),
        id: EndpointId::parse(&id("whe_")).unwrap(),
        url: "https://hooks.example.com/khata".to_owned(),
        sealed_settings: Vec::new(),
        event_names: Vec::new(),
        payload: Payload::Full,
        is_ordered: true,
        concurrency: 32,
        calls_per_second: None,
        allows_url_per_account: false,
        version: 2,
        created_at: at,
        updated_at: at,
        disabled_at,
        disabled_by: disabled_at.map(|_| By::Gone),
        failing_since: None,
        last_success_at: None,
    }
}

#[test]
fn an_event_of_an_endpoint_shows_what_disabled_it() {
    let at = stored_event(Name::EndpointDisabled).created_at;
    let later = at + chrono::TimeDelta::seconds(1);
    let (url, time) = (
        json!("https://hooks.example.com/khata"),
        json!("2023-06-06T13:28:25Z"),
    );
    for (name, now, expected) in [
        (
            Name::EndpointDisabled,
            Some(endpoint(Some(at))),
            json!({ "id": id("whe_"), "url": url, "disabled_at": time, "disabled_by": "GONE" }),
        ),
        (
            Name::EndpointDisabled,
            Some(endpoint(Some(later))),
            json!({ "id": id("whe_"), "url": url, "disabled_at": time, "disabled_by": null }),
        ),
        (
            Name::EndpointDisabled,
            Some(endpoint(None)),
            json!({ "id": id("whe_"), "url": url, "disabled_at": time, "disabled_by": null }),
        ),
        (
            Name::EndpointDisabled,
            None,
            json!({ "id": id("whe_"), "url": null, "disabled_at": time, "disabled_by": null }),
        ),
        (
            Name::EndpointTest,
            Some(endpoint(Some(at))),
            json!({ "id": id("whe_"), "url": url, "disabled_at": null, "disabled_by": null }),
        ),
    ] {
        let shown = endpoint_event(&stored_event(name), now.as_ref())
            .to_json()
            .unwrap();
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(
            shown,
            json!({
                "id": id("evt_"), "event_name": name.as_str(), "date_created": time,
                "content": { "webhook_endpoint": expected },
            })
        );
    }
}

#[test]
fn a_stored_event_keeps_the_values_of_its_time() {
    let keyring = keyring();
    for (name, state) in EVENTS {
        let then = state(&keyring, &bank());
        let mut event = stored_event(name);
        let validation = &then.validation;
        event.subject_id = then.id.0;
        event.version = then.version;
        event.created_at = then.updated_at;
        event.status = Some(then.status);
        event.last_validated_at = then.last_validated_at;
        event.pinned_gateway_id = then.pinned_gateway_id;
        event.pinned_gateway_reference_id = then.pinned_gateway_reference_id.clone();
        event.validation = validation.id;
        event.attempts = validation.attempts;
        event.gateway_id = validation.gateway_id;
        event.gateway_reference_id = validation.gateway_reference_id.clone();
        event.method = validation.method;
        event.failure_code = validation.failure_code;
        event.pending_reason = validation.pending_reason;
        event.due_at = validation.due_at;
        event.completed_at = validation.completed_at;
        // The account has changed since.
        let now = later(&keyring, &bank(), &then);
        let read = AccountEvent::of(&event, &now).unwrap();
        assert_eq!(read.snapshot, event_of(name, &then).snapshot, "{name}");
        assert_eq!((read.id, read.name), (event.id, name));
    }
    assert_eq!(
        AccountEvent::of(
            &stored_event(Name::EndpointTest),
            &active(&keyring, &bank())
        ),
        None
    );
}

/// The schemas that the document needs for an event, by name.
fn schemas() -> serde_json::Map<String, Value> {
    let mut schemas = vec![(Event::name().into_owned(), Event::schema())];
    Event::schemas(&mut schemas);
    schemas
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).unwrap()))
        .collect()
}

#[test]
fn every_schema_that_an_event_names_is_collected() {
    let schemas = schemas();
    let text = Value::Object(schemas.clone()).to_string();
    let names = text.split("#/components/schemas/").skip(1);
    let names: Vec<&str> = names.filter_map(|rest| rest.split('"').next()).collect();
    for named in [
        "CustomerAccount",
        "MaskedCustomerAccount",
        "EventEndpoint",
        "EventName",
        "DisabledBy",
    ] {
        assert!(names.contains(&named), "{named}");
    }
    for name in names {
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[test]
fn each_payload_has_the_members_of_its_schema() {
    let (keyring, schemas) = (keyring(), schemas());
    for (payload, schema) in [
        (Payload::Full, "CustomerAccount"),
        (Payload::Masked, "MaskedCustomerAccount"),
        (Payload::Thin, "ThinCustomerAccount"),
    ] {
        let shown = account(&keyring, &bank(), failure, payload);
        let members: Vec<&String> = shown.as_object().unwrap().keys().collect();
        let properties = schemas[schema]["properties"].as_object().unwrap();
        assert_eq!(
            members,
            properties.keys().collect::<Vec<_>>(),
            "serde_json sorts both"
        );
        let required = schemas[schema]["required"].as_array().unwrap();
        assert_eq!(required.len(), members.len(), "{schema}");
    }
}
