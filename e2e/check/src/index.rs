//! Derived views of a history that several rules use.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::history::{AttemptRow, Call, History, Operation, ValidationRow, text};

/// An account that a 200 of *Create accounts* returned, with what the call sent for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted<'a> {
    pub(crate) call: &'a Call,
    pub(crate) id: &'a str,
    /// The account number or the UPI address.
    pub(crate) payee: &'a str,
    /// Empty for a UPI address.
    pub(crate) ifsc: &'a str,
}

/// Returns what a create call sent: number and IFSC of each bank account, then each UPI address, in the order of the reply.
pub(crate) fn items(call: &Call) -> Vec<(&str, &str)> {
    let list = |name: &str| call.body[name].as_array().into_iter().flatten();
    let banks = list("bank_account_details");
    let banks = banks.map(|item| (text(item, "/account_number"), text(item, "/ifsc")));
    let addresses = list("upi_details").map(|item| (text(item, "/vpa"), ""));
    banks.chain(addresses).collect()
}

/// Returns every account that the reply to a create call had, once for each call.
pub(crate) fn accepted(history: &History) -> Vec<Accepted<'_>> {
    let created = history.calls.iter();
    let created = created.filter(|call| call.is(Operation::Create, 200));
    created
        .flat_map(|call| {
            let sent = items(call).into_iter();
            let told = call.objects().into_iter();
            told.zip(sent)
                .map(move |(account, (payee, ifsc))| Accepted {
                    call,
                    id: text(account, "/id"),
                    payee,
                    ifsc,
                })
        })
        .collect()
}

/// Returns the first mention of each accepted account, by its id.
pub(crate) fn accepted_by_id(history: &History) -> BTreeMap<&str, Accepted<'_>> {
    let mut by_id = BTreeMap::new();
    for account in accepted(history) {
        by_id.entry(account.id).or_insert(account);
    }
    by_id
}

/// Returns the account number or UPI address that a reply shows.
pub(crate) fn shown_payee(account: &Value) -> &str {
    let number = text(
        account,
        "/account_details/bank_account_details/account_number",
    );
    if number.is_empty() {
        text(account, "/account_details/vpa_details/vpa")
    } else {
        number
    }
}

/// Returns the rows grouped by a key.
pub(crate) fn grouped<'a, T, K: Eq + std::hash::Hash>(
    rows: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> HashMap<K, Vec<&'a T>> {
    let mut groups: HashMap<K, Vec<&T>> = HashMap::new();
    for row in rows {
        groups.entry(key(row)).or_default().push(row);
    }
    groups
}

pub(crate) fn attempts_by_validation(history: &History) -> HashMap<&str, Vec<&AttemptRow>> {
    grouped(&history.attempts, |attempt| attempt.validation.as_str())
}

pub(crate) fn validations_by_account(history: &History) -> HashMap<&str, Vec<&ValidationRow>> {
    grouped(&history.validations, |row| row.account.as_str())
}

/// Returns the accounts that the merchant asked to delete, with the time at which the first call began. The deletion may have
/// failed.
pub(crate) fn deletions(history: &History) -> HashMap<&str, u64> {
    let mut deleted = HashMap::new();
    let calls = history.calls.iter();
    for call in calls.filter(|call| call.operation == Operation::Delete) {
        if let Some(account) = &call.account {
            deleted.entry(account.as_str()).or_insert(call.began);
        }
    }
    deleted
}

/// Returns the name of a gateway by Juspay's number.
pub(crate) fn gateway_name(id: u32) -> &'static str {
    match id {
        12 => "PAYU",
        23 => "RAZORPAY",
        70 => "CASHFREE",
        1001 => "SETU",
        1002 => "DECENTRO",
        _ => "unknown",
    }
}
