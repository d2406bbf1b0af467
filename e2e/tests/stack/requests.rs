//! Requests of the tests, and parts of the replies.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{TIMEOUT, TestStack, eventually};
use serde_json::{Value, json};

/// Returns the form of one bank account.
pub(crate) fn bank<'a>(account_number: &'a str, ifsc: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("account_number", account_number), ("ifsc", ifsc)]
}

/// Returns the form of one bank account with its holder's name.
pub(crate) fn named<'a>(
    account_number: &'a str,
    ifsc: &'a str,
    name: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut form = bank(account_number, ifsc);
    form.push(("beneficiary_name", name));
    form
}

/// Proof of the payee's consent, as form fields.
pub(crate) const CONSENT: [(&str, &str); 3] = [
    ("consent.obtained", "true"),
    ("consent.purpose", "payout"),
    ("consent.timestamp", "2025-10-27T09:24:36Z"),
];

/// Returns a JSON body of bank accounts with these numbers, all at one branch of an unpublished bank.
pub(crate) fn banks(numbers: impl IntoIterator<Item = String>) -> Value {
    let items: Vec<Value> = numbers
        .into_iter()
        .map(|number| json!({"account_number": number, "ifsc": "AABF0008032", "beneficiary_name": "Asha Rao"}))
        .collect();
    json!({ "bank_account_details": items })
}

/// Returns the ids of accounts, in order.
pub(crate) fn ids(accounts: &[Value]) -> Vec<String> {
    accounts
        .iter()
        .map(|account| text(account, "/id").to_owned())
        .collect()
}

/// Returns whether the value is a time in the contract's format: RFC 3339 in UTC, whole seconds.
pub(crate) fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 20 && chrono::DateTime::parse_from_rfc3339(text).is_ok() && text.ends_with('Z')
}

/// Returns an `Authorization` header with this user and password.
pub(crate) fn basic(credential: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credential);
    format!("Basic {encoded}")
}

/// Waits until a query returns this number.
pub(crate) async fn becomes(stack: &TestStack, query: &str, wanted: i64) -> Result<()> {
    eventually(TIMEOUT, query, async || {
        Ok::<_, anyhow::Error>((stack.database.number(query)? == wanted).then_some(()))
    })
    .await
}
