//! Rules about events and the cursor.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::findings::Findings;
use crate::history::{EventRow, History, Operation, text};
use crate::index::{deletions, grouped};

const PREFIX: &str = "CUSTOMER_ACCOUNT_";
const ACCOUNT: &str = "/content/customer_account/id";

pub(crate) fn versions_grow_by_one(history: &History, findings: &mut Findings) {
    let events = grouped(&history.events, |event| event.account.as_str());
    for row in &history.accounts {
        let own = events.get(row.id.as_str());
        let mut versions: Vec<u64> = own
            .into_iter()
            .flatten()
            .map(|event| event.version)
            .collect();
        versions.sort_unstable();
        let right: Vec<u64> = (1..=row.version).collect();
        findings.check(versions == right, || {
            format!(
                "{} has version {} and the events {versions:?}",
                row.id, row.version
            )
        });
    }
}

/// Returns the status after an event; `None` for a name that is not about a status.
fn status_after<'a>(event: &'a EventRow, before: &'a str) -> Option<&'a str> {
    match event.name.strip_prefix(PREFIX)? {
        "UPDATED" => Some(before),
        status => Some(status),
    }
}

/// Returns whether a status may follow another one.
fn may_follow(before: &str, name: &str) -> bool {
    match before {
        "" => name == "CREATED",
        "CREATED" => ["PENDING", "ACTIVE", "FAILURE", "DELETED", "UPDATED"].contains(&name),
        "PENDING" => ["ACTIVE", "FAILURE", "DELETED", "UPDATED"].contains(&name),
        "ACTIVE" | "FAILURE" => ["PENDING", "DELETED", "UPDATED"].contains(&name),
        _ => false,
    }
}

pub(crate) fn status_machine(history: &History, findings: &mut Findings) {
    let mut events = grouped(&history.events, |event| event.account.as_str());
    let deleted = deletions(history);
    let mut validated: HashMap<&str, usize> = HashMap::new();
    let calls = history.calls.iter();
    for call in calls.filter(|call| call.operation == Operation::Validate) {
        *validated
            .entry(call.account.as_deref().unwrap_or_default())
            .or_default() += 1;
    }
    for row in &history.accounts {
        let id = row.id.as_str();
        let own = events.entry(id).or_default();
        own.sort_by_key(|event| event.version);
        let (mut before, mut again) = ("", 0);
        for event in own.iter() {
            let name = event.name.strip_prefix(PREFIX).unwrap_or_default();
            findings.check(may_follow(before, name), || {
                format!(
                    "{id} is {name} at version {} after {before:?} ({})",
                    event.version, event.id
                )
            });
            again += usize::from(["ACTIVE", "FAILURE"].contains(&before) && name == "PENDING");
            before = status_after(event, before).unwrap_or(before);
        }
        findings.check(before == row.status, || {
            format!("{id} is {}, its last event says {before}", row.status)
        });
        let asked = validated.get(id).copied().unwrap_or_default();
        findings.check(again <= asked, || {
            format!("{id} left a final status {again} times; the merchant asked {asked} times")
        });
        let unasked = before == "DELETED" && !deleted.contains_key(id);
        findings.check(!unasked, || {
            format!("{id} is DELETED; no call asked for it")
        });
    }
}

/// Returns the events that the reader of the cursor got, in order.
fn read(history: &History) -> Vec<&Value> {
    let pages = history.calls.iter();
    let pages = pages.filter(|call| call.is(Operation::Events, 200));
    let events = pages.flat_map(|page| page.json["list"].as_array().into_iter().flatten());
    // Events of endpoints are no events of accounts.
    events
        .filter(|event| text(event, "/event_name").starts_with(PREFIX))
        .collect()
}

pub(crate) fn cursor_complete(history: &History, findings: &mut Findings) {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for event in read(history) {
        *times.entry(text(event, "/id")).or_default() += 1;
    }
    for row in &history.events {
        let got = times.remove(row.id.as_str()).unwrap_or_default();
        findings.check(got == 1, || {
            format!(
                "{} ({} version {}) was read {got} times",
                row.id, row.account, row.version
            )
        });
    }
    let unknown: HashSet<&str> = times.into_keys().collect();
    findings.check(unknown.is_empty(), || {
        format!("events that are no rows: {unknown:?}")
    });
}

pub(crate) fn cursor_in_order(history: &History, findings: &mut Findings) {
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for event in read(history) {
        let version = event
            .pointer("/content/customer_account/version")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let Some(before) = newest.insert(text(event, ACCOUNT), version) else {
            continue;
        };
        findings.check(version > before, || {
            format!(
                "{} of {} has version {version} and comes after {before}",
                text(event, "/id"),
                text(event, ACCOUNT)
            )
        });
    }
}
