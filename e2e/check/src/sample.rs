//! A small history in which every rule holds, and for each rule a change that violates it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::history::History;
use crate::verdict::Verdict;

mod tests;

const KEY: &[u8] = b"a key of thirty-two bytes, no more";
/// An account that is validated twice, and one that is deleted.
const NUMBER: &str = "700012345678";
const OTHER: &str = "7000199009931";
const IFSC: &str = "AABF0008032";

fn sign(id: &str, timestamp: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn account(id: &str, number: &str, status: &str, version: u64) -> Value {
    json!({"object": "customer_account", "id": id, "status": status, "version": version,
        "account_details": {"bank_account_details": {"account_number": number, "ifsc": IFSC}}})
}

fn event(id: &str, account: &Value) -> Value {
    let name = format!("CUSTOMER_ACCOUNT_{}", account["status"].as_str().unwrap());
    json!({"id": id, "event_name": name, "content": {"customer_account": account}})
}

fn call(operation: &str, began: u64, more: &Value, reply: &Value) -> Value {
    let mut call = json!({"kind": "call", "operation": operation, "customer": "c1", "account": null, "key": null,
        "body": null, "began": began, "ended": began + 10, "status": 200, "reply": reply.to_string(), "replayed": false});
    for (name, value) in more.as_object().unwrap() {
        call[name] = value.clone();
    }
    call
}

fn receipt(event: &Value, began: u64) -> Value {
    let (id, body) = (event["id"].as_str().unwrap(), event.to_string());
    let timestamp = (began / 1_000).to_string();
    json!({"kind": "receipt", "endpoint": "whe_1", "id": id, "timestamp": timestamp,
        "signature": format!("v1,other {}", sign(id, &timestamp, &body)), "attempt": 1, "body": STANDARD.encode(&body),
        "began": began, "ended": began + 5, "status": 200})
}

fn fault(began: u64, calls_may_fail: bool, webhooks_may_repeat: bool) -> Value {
    json!({"kind": "fault", "name": "worker killed", "began": began, "healed": began + 200, "within": 500,
        "calls_may_fail": calls_may_fail, "webhooks_may_repeat": webhooks_may_repeat, "hits": 1})
}

/// The history: a create that is repeated with its key, a second validation, a deletion, a rejected call, one fault.
fn good() -> Vec<Value> {
    let body = json!({"bank_account_details": [
        {"account_number": NUMBER, "ifsc": IFSC}, {"account_number": OTHER, "ifsc": IFSC}]});
    let (a1, b1) = (
        account("a", NUMBER, "CREATED", 1),
        account("b", OTHER, "CREATED", 1),
    );
    let created = json!({"object": "list", "list": [a1, b1]});
    let states = [
        a1.clone(),
        b1.clone(),
        account("a", NUMBER, "ACTIVE", 2),
        account("b", OTHER, "FAILURE", 2),
        account("a", NUMBER, "PENDING", 3),
        account("a", NUMBER, "ACTIVE", 4),
        account("b", OTHER, "DELETED", 3),
    ];
    let events: Vec<Value> = (1..)
        .zip(&states)
        .map(|(n, state)| event(&format!("evt_{n}"), state))
        .collect();
    let mut records = vec![
        json!({"kind": "run", "format": 2, "scenario": "sample", "seed": 7, "outcome_within": 5_000, "all_delivered": true}),
        json!({"kind": "endpoint", "id": "whe_1", "secret": format!("whsec_{}", STANDARD.encode(KEY))}),
        call(
            "create",
            10_000,
            &json!({"key": "k", "body": body}),
            &created,
        ),
        call(
            "create",
            11_000,
            &json!({"key": "k", "body": body, "replayed": true}),
            &created,
        ),
        call(
            "list",
            12_000,
            &json!({}),
            &json!({"object": "list", "list": [states[2], states[3]]}),
        ),
        call("validate", 13_000, &json!({"account": "a"}), &states[4]),
        call("delete", 14_000, &json!({"account": "b"}), &states[6]),
        call(
            "list",
            15_000,
            &json!({}),
            &json!({"object": "list", "list": [states[5]]}),
        ),
        call(
            "create",
            16_000,
            &json!({"customer": "c2", "body": body, "status": 400}),
            &json!({"error": 1}),
        ),
        call(
            "create",
            17_000,
            &json!({"customer": "c3", "body": body, "status": null}),
            &json!(""),
        ),
        call(
            "events",
            18_000,
            &json!({"customer": ""}),
            &json!({"object": "list", "list": events, "has_more": false}),
        ),
        fault(16_900, true, false),
    ];
    for (n, (event, state)) in (0..).zip(events.iter().zip(&states)) {
        records.push(receipt(event, 20_000 + n * 1_000));
        records.push(json!({"kind": "event", "id": event["id"], "account": state["id"], "version": state["version"],
            "name": event["event_name"]}));
    }
    for (id, status, version) in [("a", "ACTIVE", 4), ("b", "DELETED", 3)] {
        records.push(json!({"kind": "account", "id": id, "customer": "c1", "status": status, "version": version}));
    }
    for (id, account, outcome, code, created_at) in [
        ("v1", "a", "VALID", None, 10_005),
        ("v2", "a", "VALID", None, 13_005),
        ("v3", "b", "INVALID", Some("INVALID_ACCOUNT"), 10_005),
    ] {
        let reference = format!("kh{id}_01");
        records.extend([
            json!({"kind": "validation", "id": id, "account": account, "state": "COMPLETED", "outcome": outcome,
                "failure_code": code, "created_at": created_at, "completed_at": created_at + 100}),
            json!({"kind": "attempt", "validation": id, "number": 1, "gateway_id": 70, "method": "PENNY_DROP",
                "reference": reference, "class": outcome, "gateway_reference": "g", "possible_double_drop": false,
                "started_at": created_at + 10}),
            json!({"kind": "drop", "gateway": "CASHFREE", "reference": reference, "at": created_at + 20}),
        ]);
    }
    records
}

fn history(records: &[Value]) -> anyhow::Result<History> {
    let mut lines: Vec<String> = records.iter().map(Value::to_string).collect();
    lines.push(json!({"kind": "end", "records": records.len() + 1}).to_string());
    History::parse(&lines.join("\n"))
}

/// Returns the place of the first record of this kind whose member has this value.
fn place(records: &[Value], kind: &str, member: &str, value: &Value) -> usize {
    let found = records
        .iter()
        .position(|record| record["kind"] == kind && record[member] == *value);
    found.unwrap_or_else(|| panic!("no {kind} with {member} {value}"))
}

/// Checks the sample with one changed record; returns the rules that are violated.
fn violated(
    kind: &str,
    member: &str,
    value: &Value,
    change: impl FnOnce(&mut Value),
) -> Vec<&'static str> {
    violated_by(|records| {
        let place = place(records, kind, member, value);
        change(&mut records[place]);
    })
}

fn violated_by(change: impl FnOnce(&mut Vec<Value>)) -> Vec<&'static str> {
    let mut records = good();
    change(&mut records);
    Verdict::of(&history(&records).unwrap()).violated()
}

fn remove(kind: &str, member: &str, value: &Value) -> Vec<&'static str> {
    violated_by(|records| {
        let place = place(records, kind, member, value);
        records.remove(place);
    })
}
