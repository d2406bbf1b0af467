//! Rules about accounts and their outcomes.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use crate::findings::Findings;
use crate::history::{Call, History, Operation, text};
use crate::index::{
    accepted_by_id, attempts_by_validation, deletions, grouped, shown_payee, validations_by_account,
};
use crate::script::outcome_of;

/// Maximum difference between Postgres's clock and that of the history, in milliseconds; both are on one machine.
const CLOCKS: u64 = 20;
const FINAL_EVENTS: [&str; 2] = ["CUSTOMER_ACCOUNT_ACTIVE", "CUSTOMER_ACCOUNT_FAILURE"];

pub(crate) fn accepted_is_stored(history: &History, findings: &mut Findings) {
    let rows: HashSet<&str> = history.accounts.iter().map(|row| row.id.as_str()).collect();
    for (id, account) in accepted_by_id(history) {
        findings.check(rows.contains(id), || {
            format!("{id} is no row; {}", account.call.label())
        });
    }
}

pub(crate) fn one_outcome(history: &History, findings: &mut Findings) {
    let of_account = validations_by_account(history);
    let events = grouped(&history.events, |event| event.account.as_str());
    let deleted = deletions(history);
    let accepted = accepted_by_id(history);
    for validation in &history.validations {
        findings.check(validation.state == "COMPLETED", || {
            format!(
                "validation {} of {} is {} at the end",
                validation.id, validation.account, validation.state
            )
        });
    }
    for row in &history.accounts {
        let id = row.id.as_str();
        let validations = of_account.get(id).map_or(0, Vec::len);
        let finals = events.get(id).into_iter().flatten();
        let finals = finals
            .filter(|event| FINAL_EVENTS.contains(&event.name.as_str()))
            .count();
        let is_final = ["ACTIVE", "FAILURE"].contains(&row.status.as_str());
        let was_deleted = row.status == "DELETED" && deleted.contains_key(id);
        let holds = if was_deleted {
            finals <= validations
        } else {
            is_final && finals == validations && validations > 0
        };
        findings.check(holds, || {
            format!(
                "{id} is {}, with {validations} validations and {finals} final events",
                row.status
            )
        });
        if !accepted.contains_key(id) {
            findings.count("stored, and its reply was lost");
        }
    }
}

pub(crate) fn outcome_as_scripted(history: &History, findings: &mut Findings) {
    let attempts = attempts_by_validation(history);
    let rows: HashMap<&str, &str> = history
        .accounts
        .iter()
        .map(|row| (row.id.as_str(), row.status.as_str()))
        .collect();
    let payees: BTreeMap<&str, &str> = accepted_by_id(history)
        .into_iter()
        .map(|(id, account)| (id, account.payee))
        .collect();
    for validation in &history.validations {
        let Some(scripted) = payees
            .get(validation.account.as_str())
            .and_then(|payee| outcome_of(payee))
        else {
            findings.count("not scripted, or its reply was lost");
            continue;
        };
        let code = validation.failure_code.as_deref().unwrap_or_default();
        let outcome = validation.outcome.as_deref().unwrap_or_default();
        let made = attempts.get(validation.id.as_str());
        let lost = made.map_or(0, |made| made.iter().filter(|one| one.is_lost()).count());
        if code == "ATTEMPTS_EXHAUSTED" && lost >= 2 {
            findings.count("given up after several lost calls");
            continue;
        }
        let status = rows.get(validation.account.as_str()).copied();
        if outcome == "CANCELLED" && status == Some("DELETED") {
            findings.count("cancelled by a deletion");
            continue;
        }
        let holds = match scripted.status {
            "ACTIVE" => outcome == "VALID",
            _ => outcome == "INVALID" && scripted.codes.contains(&code),
        };
        findings.check(holds, || {
            format!(
                "validation {} of {} ended {outcome} {code} instead of {} {}",
                validation.id,
                validation.account,
                scripted.status,
                scripted.codes.join(" or ")
            )
        });
    }
}

pub(crate) fn status_fits_outcome(history: &History, findings: &mut Findings) {
    let of_account = validations_by_account(history);
    for row in &history.accounts {
        let validations = of_account.get(row.id.as_str()).into_iter().flatten();
        let Some(newest) = validations.max_by_key(|validation| validation.created_at) else {
            continue;
        };
        // `one-outcome` finds a validation without an outcome.
        let Some(outcome) = newest.outcome.as_deref() else {
            continue;
        };
        if row.status == "DELETED" {
            continue;
        }
        let fitting = match outcome {
            "VALID" => "ACTIVE",
            "INVALID" | "UNAVAILABLE" => "FAILURE",
            // Only a deletion cancels a validation, and no payee of a run is left to a person.
            _ => "",
        };
        findings.check(row.status == fitting, || {
            format!(
                "{} is {}, its newest validation {} ended {outcome}",
                row.id, row.status, newest.id
            )
        });
    }
}

/// Returns when each customer's oldest account was stored.
fn stored_since(history: &History) -> HashMap<&str, u64> {
    let of_account = validations_by_account(history);
    let mut since: HashMap<&str, u64> = HashMap::new();
    for row in &history.accounts {
        let validations = of_account.get(row.id.as_str()).into_iter().flatten();
        let first = validations.map(|validation| validation.created_at).min();
        let oldest = since.entry(&row.customer).or_insert(u64::MAX);
        *oldest = first.unwrap_or_default().min(*oldest);
    }
    since
}

pub(crate) fn rejected_is_not_stored(history: &History, findings: &mut Findings) {
    let since = stored_since(history);
    let mut by_customer: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    let calls = history.calls.iter();
    for call in calls.filter(|call| call.operation == Operation::Create) {
        by_customer.entry(&call.customer).or_default().push(call);
    }
    for (customer, calls) in by_customer {
        let may_store = |call: &Call| call.status == Some(200) || call.is_ambiguous();
        let storing = calls.iter().find(|call| may_store(call));
        if calls.iter().all(|call| call.status != Some(200)) && storing.is_some() {
            findings.count(if since.contains_key(customer) {
                "ambiguous, stored"
            } else {
                "ambiguous, not stored"
            });
        }
        if may_store(calls[0]) {
            continue;
        }
        // Only the first call whose reply does not exclude it may have stored anything.
        let earliest = storing.map_or(u64::MAX, |call| call.began.saturating_sub(CLOCKS));
        let stored = since.get(customer);
        findings.check(stored.is_none_or(|stored| *stored >= earliest), || {
            format!(
                "{customer} has accounts since {stored:?}; {}",
                calls[0].label()
            )
        });
    }
}

/// One sight of an account.
struct Sight<'a> {
    call: &'a Call,
    version: u64,
    status: &'a str,
}

fn sights(history: &History) -> HashMap<&str, Vec<Sight<'_>>> {
    let mut sights: HashMap<&str, Vec<Sight<'_>>> = HashMap::new();
    for call in &history.calls {
        // A repeated call gets the first reply, however old it is.
        if call.status != Some(200) || call.replayed || call.operation == Operation::Events {
            continue;
        }
        for account in call.objects() {
            let sight = Sight {
                call,
                version: account["version"].as_u64().unwrap_or_default(),
                status: text(account, "/status"),
            };
            sights.entry(text(account, "/id")).or_default().push(sight);
        }
    }
    sights
}

pub(crate) fn state_never_goes_back(history: &History, findings: &mut Findings) {
    for (id, seen) in sights(history) {
        let mut statuses: HashMap<u64, &str> = HashMap::new();
        for sight in &seen {
            let Some(known) = statuses.get(&sight.version) else {
                statuses.insert(sight.version, sight.status);
                continue;
            };
            findings.check(*known == sight.status, || {
                format!(
                    "version {} of {id} is {known} and {}; {}",
                    sight.version,
                    sight.status,
                    sight.call.label()
                )
            });
        }
        let mut by_end: Vec<&Sight<'_>> = seen.iter().collect();
        by_end.sort_by_key(|sight| sight.call.ended);
        let mut ended = by_end.into_iter().peekable();
        let mut newest = None;
        // In the order of their beginnings, as the calls are.
        for sight in &seen {
            while let Some(before) = ended.next_if(|before| before.call.ended < sight.call.began) {
                newest = newest.max(Some(before.version));
            }
            let Some(newest) = newest else { continue };
            findings.check(sight.version >= newest, || {
                format!(
                    "{id} has version {} after version {newest}; {}",
                    sight.version,
                    sight.call.label()
                )
            });
        }
    }
}

pub(crate) fn deleted_stays_deleted(history: &History, findings: &mut Findings) {
    let mut confirmed: HashMap<&str, u64> = HashMap::new();
    for call in &history.calls {
        if call.is(Operation::Delete, 200)
            && let Some(account) = &call.account
        {
            confirmed.entry(account).or_insert(call.ended);
        }
    }
    for row in &history.accounts {
        if confirmed.contains_key(row.id.as_str()) {
            findings.check(row.status == "DELETED", || {
                format!("{} was deleted and is {}", row.id, row.status)
            });
        }
    }
    let lists = history.calls.iter();
    for list in lists.filter(|call| call.is(Operation::List, 200)) {
        let late = |account: &&Value| {
            let deleted = confirmed.get(text(account, "/id"));
            deleted.is_some_and(|ended| *ended < list.began)
        };
        let shown = list.objects().into_iter().find(late);
        findings.check(shown.is_none(), || {
            let account = shown.map_or("", shown_payee);
            format!("a deleted account ({account}) is listed; {}", list.label())
        });
    }
}
