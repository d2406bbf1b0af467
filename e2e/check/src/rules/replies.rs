//! Rules about the API's replies.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::findings::Findings;
use crate::history::{Call, History, Operation, text};
use crate::index::{accepted_by_id, deletions, items, shown_payee};

pub(crate) fn same_key_same_reply(history: &History, findings: &mut Findings) {
    let mut first: HashMap<&str, &Call> = HashMap::new();
    let calls = history.calls.iter();
    for call in calls.filter(|call| call.status == Some(200)) {
        let Some(key) = &call.key else { continue };
        let Some(known) = first.get(key.as_str()) else {
            first.insert(key, call);
            continue;
        };
        findings.check(known.reply == call.reply, || {
            format!(
                "the key {key} got two replies: {} and {}",
                known.label(),
                call.label()
            )
        });
    }
}

pub(crate) fn same_call_one_effect(history: &History, findings: &mut Findings) {
    let mut sent: BTreeMap<&str, HashSet<(&str, &str)>> = BTreeMap::new();
    let mut deletions_of: HashMap<&str, usize> = HashMap::new();
    for call in &history.calls {
        match call.operation {
            Operation::Create => sent.entry(&call.customer).or_default().extend(items(call)),
            Operation::Delete => *deletions_of.entry(&call.customer).or_default() += 1,
            _ => {}
        }
    }
    let mut live: HashMap<&str, usize> = HashMap::new();
    let mut deleted: HashMap<&str, usize> = HashMap::new();
    for row in &history.accounts {
        let counted = if row.status == "DELETED" {
            &mut deleted
        } else {
            &mut live
        };
        *counted.entry(&row.customer).or_default() += 1;
    }
    for (customer, details) in sent {
        let of = |counts: &HashMap<&str, usize>| counts.get(customer).copied().unwrap_or_default();
        let (live, deleted) = (of(&live), of(&deleted));
        findings.check(live <= details.len() && deleted <= of(&deletions_of), || {
            format!(
                "{customer} has {live} live and {deleted} deleted accounts; its calls sent {} different ones and {} deletions",
                details.len(),
                of(&deletions_of)
            )
        });
    }
    for list in history
        .calls
        .iter()
        .filter(|call| call.is(Operation::List, 200))
    {
        let mut shown = HashSet::new();
        let double = list
            .objects()
            .into_iter()
            .map(shown_payee)
            .find(|payee| !shown.insert(*payee));
        findings.check(double.is_none(), || {
            format!("{double:?} is listed twice; {}", list.label())
        });
    }
}

pub(crate) fn reply_shows_what_was_sent(history: &History, findings: &mut Findings) {
    let creates = history.calls.iter();
    for call in creates.filter(|call| call.is(Operation::Create, 200)) {
        let sent: Vec<&str> = items(call).into_iter().map(|(payee, _)| payee).collect();
        let shown: Vec<&str> = call.objects().into_iter().map(shown_payee).collect();
        findings.check(sent == shown, || {
            format!("sent {sent:?}, returned {shown:?}; {}", call.label())
        });
    }
}

pub(crate) fn writes_are_read(history: &History, findings: &mut Findings) {
    let deleted = deletions(history);
    let mut accepted: HashMap<&str, Vec<(&str, u64)>> = HashMap::new();
    for (id, account) in accepted_by_id(history) {
        let known = accepted.entry(&account.call.customer).or_default();
        known.push((id, account.call.ended));
    }
    for list in history
        .calls
        .iter()
        .filter(|call| call.is(Operation::List, 200))
    {
        let shown: HashSet<&str> = list
            .objects()
            .into_iter()
            .map(|account| text(account, "/id"))
            .collect();
        let known = accepted.get(list.customer.as_str());
        for (id, ended) in known.into_iter().flatten() {
            let may_be_deleted = deleted.get(id).is_some_and(|began| *began <= list.ended);
            if *ended >= list.began || may_be_deleted {
                continue;
            }
            findings.check(shown.contains(id), || {
                format!("{id} is missing; {}", list.label())
            });
        }
    }
}
