//! Rules about webhooks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::findings::Findings;
use crate::history::{Endpoint, History, Operation, Receipt, text};

/// Maximum difference between `webhook-timestamp` and the receipt, in seconds: a call takes at most 10 s, and a paused process
/// may have begun it before its pause of a minute.
const OLDEST: u64 = 75;
/// Time within which a worker stores the result of a webhook, in milliseconds. A result that is not stored is lost with its
/// worker.
const RESULT_STORED: u64 = 3_000;

fn body_of(receipt: &Receipt) -> Vec<u8> {
    STANDARD.decode(&receipt.body).unwrap_or_default()
}

fn label(receipt: &Receipt) -> String {
    format!(
        "{} at {}, attempt {}, from {} to {}",
        receipt.id, receipt.endpoint, receipt.attempt, receipt.began, receipt.ended
    )
}

/// Returns the receipts of events of accounts.
fn of_accounts(history: &History) -> Vec<&Receipt> {
    let known: HashSet<&str> = history
        .events
        .iter()
        .map(|event| event.id.as_str())
        .collect();
    let receipts = history.receipts.iter();
    receipts
        .filter(|receipt| known.contains(receipt.id.as_str()))
        .collect()
}

pub(crate) fn delivered(history: &History, findings: &mut Findings) {
    let accepted: HashSet<(&str, &str)> = history
        .receipts
        .iter()
        .filter(|receipt| receipt.is_accepted())
        .map(|receipt| (receipt.endpoint.as_str(), receipt.id.as_str()))
        .collect();
    for endpoint in &history.endpoints {
        for event in &history.events {
            let got = accepted.contains(&(endpoint.id.as_str(), event.id.as_str()));
            if !got && !history.run.all_delivered {
                findings.count("open when the run ended");
                continue;
            }
            findings.check(got, || {
                format!(
                    "{} never accepted {} ({} version {})",
                    endpoint.id, event.id, event.account, event.version
                )
            });
        }
    }
}

pub(crate) fn in_order(history: &History, findings: &mut Findings) {
    let events: HashMap<&str, (&str, u64)> = history
        .events
        .iter()
        .map(|event| (event.id.as_str(), (event.account.as_str(), event.version)))
        .collect();
    // By endpoint, account and version: when the event was first accepted.
    let mut accepted: HashMap<(&str, &str, u64), u64> = HashMap::new();
    for receipt in of_accounts(history) {
        let (account, version) = events[receipt.id.as_str()];
        if receipt
            .status
            .is_some_and(|status| (200..300).contains(&status))
        {
            let first = accepted
                .entry((&receipt.endpoint, account, version))
                .or_insert(receipt.ended);
            *first = receipt.ended.min(*first);
        }
    }
    for receipt in of_accounts(history) {
        let (account, version) = events[receipt.id.as_str()];
        if version == 1 {
            continue;
        }
        let before = accepted.get(&(&receipt.endpoint, account, version - 1));
        findings.check(before.is_some_and(|ended| *ended <= receipt.began), || {
            format!(
                "version {version} of {account} came before version {} was accepted: {}",
                version - 1,
                label(receipt)
            )
        });
    }
}

/// Returns whether one of the request's `v1` signatures is that of the endpoint's secret over the bytes that were received.
fn verifies(endpoint: &Endpoint, receipt: &Receipt, body: &[u8]) -> bool {
    let secret = endpoint.secret.strip_prefix("whsec_").unwrap_or_default();
    let Ok(key) = STANDARD.decode(secret) else {
        return false;
    };
    let signatures = receipt.signature.split(' ');
    let mut signatures = signatures.filter_map(|signature| signature.strip_prefix("v1,"));
    signatures.any(|signature| {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
            return false;
        };
        mac.update(format!("{}.{}.", receipt.id, receipt.timestamp).as_bytes());
        mac.update(body);
        let Ok(sent) = STANDARD.decode(signature) else {
            return false;
        };
        mac.verify_slice(&sent).is_ok()
    })
}

pub(crate) fn signature(history: &History, findings: &mut Findings) {
    let endpoints: BTreeMap<&str, &Endpoint> = history
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.id.as_str(), endpoint))
        .collect();
    for receipt in &history.receipts {
        let endpoint = endpoints.get(receipt.endpoint.as_str());
        let is_signed =
            endpoint.is_some_and(|endpoint| verifies(endpoint, receipt, &body_of(receipt)));
        findings.check(is_signed, || {
            format!("no signature verifies: {}", label(receipt))
        });
        let timestamp: u64 = receipt.timestamp.parse().unwrap_or_default();
        let now = receipt.began / 1_000;
        findings.check(timestamp <= now + 1 && now <= timestamp + OLDEST, || {
            format!("the timestamp is {timestamp}: {}", label(receipt))
        });
    }
}

pub(crate) fn body(history: &History, findings: &mut Findings) {
    let mut bodies: HashMap<(&str, &str), &str> = HashMap::new();
    for receipt in &history.receipts {
        let key = (receipt.endpoint.as_str(), receipt.id.as_str());
        let Some(first) = bodies.get(&key) else {
            bodies.insert(key, &receipt.body);
            continue;
        };
        findings.check(*first == receipt.body, || {
            format!("the bytes changed: {}", label(receipt))
        });
    }
    let pages = history.calls.iter();
    let pages = pages.filter(|call| call.is(Operation::Events, 200));
    let shown: HashMap<&str, &Value> = pages
        .flat_map(|page| page.json["list"].as_array().into_iter().flatten())
        .map(|event| (text(event, "/id"), event))
        .collect();
    for receipt in of_accounts(history) {
        let Some(event) = shown.get(receipt.id.as_str()) else {
            continue;
        };
        let sent: Value = serde_json::from_slice(&body_of(receipt)).unwrap_or_default();
        findings.check(sent == **event, || {
            format!(
                "the cursor shows {event}, the webhook {sent}: {}",
                label(receipt)
            )
        });
    }
}

pub(crate) fn duplicates(history: &History, findings: &mut Findings) {
    let mut accepted: HashMap<(&str, &str), &Receipt> = HashMap::new();
    let mut attempts: HashMap<(&str, &str), BTreeSet<u32>> = HashMap::new();
    for receipt in &history.receipts {
        let key = (receipt.endpoint.as_str(), receipt.id.as_str());
        let is_new = attempts.entry(key).or_default().insert(receipt.attempt);
        findings.check(is_new, || {
            format!("the attempt's number came twice: {}", label(receipt))
        });
        if let Some(before) = accepted.get(&key) {
            findings.count("duplicates");
            let is_explained = history.faults.iter().any(|fault| {
                fault.webhooks_may_repeat
                    && fault.began <= before.ended + RESULT_STORED
                    && fault.healed + RESULT_STORED >= before.began
            });
            findings.check(is_explained, || {
                format!("accepted before ({}): {}", label(before), label(receipt))
            });
        } else if receipt.is_accepted() {
            accepted.insert(key, receipt);
        }
    }
}
