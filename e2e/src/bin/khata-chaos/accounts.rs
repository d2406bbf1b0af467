//! The accounts of a run: how they are posted, and their expected results.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{bail, ensure};
use khata_e2e::client::text;
use khata_e2e::{Api, PUBLISHED};
use serde_json::{Value, json};

/// Accounts per call.
const ACCOUNTS_PER_CALL: usize = 20;
/// Indices into Cashfree's test data: valid, unknown account, unknown branch, pending and then either, blocked,
/// non-resident.
const PICKED: [usize; 8] = [0, 1, 6, 8, 11, 12, 13, 14];
/// Users of the UPI addresses at `@upi`.
const USERS: [&str; 4] = ["success", "asha.rao", "ravi-k", "incorrect"];
/// Time between two calls while processes are killed.
const CALL_INTERVAL: Duration = Duration::from_millis(350);
/// Delay before a failed call is repeated.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// Maximum number of tries of a call; more are a violation.
const MAX_TRIES: usize = 400;

/// The accounts of one call, as the API returned them.
pub(crate) struct Posted {
    pub(crate) customer: String,
    pub(crate) accounts: Vec<Expected>,
    /// Number of failed tries before the API accepted the call.
    pub(crate) retries: usize,
}

/// An account with its expected result.
pub(crate) struct Expected {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) failure: &'static str,
    /// Whether its validation costs a rupee.
    pub(crate) is_paid: bool,
}

/// Posts `count` accounts: a customer and a call for every twenty.
pub(crate) async fn create_all(
    api: Api,
    name: String,
    count: usize,
    at_once: Arc<AtomicBool>,
) -> anyhow::Result<Vec<Posted>> {
    let mut posted = Vec::new();
    for number in 0..count / ACCOUNTS_PER_CALL {
        let customer = format!("{name}_{number}");
        posted.push(create(&api, customer, number).await?);
        if !at_once.load(Ordering::Relaxed) {
            tokio::time::sleep(CALL_INTERVAL).await;
        }
    }
    Ok(posted)
}

/// Repeats a call unchanged until the API accepts it, as a merchant's backend does. If only the reply was lost, the
/// repetition returns the stored accounts.
async fn create(api: &Api, customer: String, number: usize) -> anyhow::Result<Posted> {
    let (body, outcomes) = mixed(number);
    for retries in 0..MAX_TRIES {
        match api.create_json(&customer, &body).await {
            Ok(reply) if reply.status == 200 => {
                let accounts = reply.accounts()?;
                let (count, returned) = (outcomes.len(), accounts.len());
                ensure!(
                    returned == count,
                    "{count} accounts were posted, {returned} returned"
                );
                let accounts = accounts.iter().zip(outcomes);
                let accounts = accounts.map(|(account, outcome)| Expected {
                    id: text(account, "/id").to_owned(),
                    ..outcome
                });
                return Ok(Posted {
                    accounts: accounts.collect(),
                    customer,
                    retries,
                });
            }
            Ok(reply) if reply.status != 503 => {
                bail!("a create got {}: {}", reply.status, reply.text);
            }
            _ => tokio::time::sleep(RETRY_DELAY).await,
        }
    }
    bail!("a create was rejected {MAX_TRIES} times");
}

/// Returns a call's body and the expected results of its accounts, in the reply's order: bank accounts first.
fn mixed(number: usize) -> (Value, Vec<Expected>) {
    let expected = |status, failure, is_paid| Expected {
        id: String::new(),
        status,
        failure,
        is_paid,
    };
    let (mut banks, mut addresses, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    // Every second call carries the payees' consent: each of its UPI addresses gets a penny drop.
    let has_consent = number.is_multiple_of(2);
    for known in PICKED.map(|place| PUBLISHED[place]) {
        banks.push(json!({"account_number": known.account_number, "ifsc": known.ifsc}));
        outcomes.push(expected(known.status, known.failure, true));
    }
    for item in 0..ACCOUNTS_PER_CALL - PICKED.len() - USERS.len() {
        let account_number = format!("77{number:06}{item:04}");
        banks.push(json!({"account_number": account_number, "ifsc": "AABF0008032", "beneficiary_name": "Asha Rao"}));
        outcomes.push(expected("ACTIVE", "", true));
    }
    for user in USERS {
        addresses.push(json!({ "vpa": format!("{user}@upi") }));
        outcomes.push(match user {
            "incorrect" => expected("FAILURE", "INVALID_VPA", has_consent),
            _ => expected("ACTIVE", "", has_consent),
        });
    }
    let mut body = json!({"bank_account_details": banks, "upi_details": addresses});
    if has_consent {
        body["consent"] =
            json!({"obtained": true, "purpose": "payouts", "timestamp": "2026-01-01T00:00:00Z"});
    }
    (body, outcomes)
}
