//! The accounts of a run: what they are, how they are posted, and what must become of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use khata_e2e::client::text;
use khata_e2e::{Api, PUBLISHED};
use serde_json::{Value, json};

/// Accounts in one call.
const A_CALL: usize = 20;
/// Of what Cashfree publishes: valid, no such account, no such branch, pending and then either, blocked, non-resident.
const PICKED: [usize; 8] = [0, 1, 6, 8, 11, 12, 13, 14];
/// Of UPI addresses at `@upi`.
const USERS: [&str; 4] = ["success", "asha.rao", "ravi-k", "incorrect"];
/// Between two calls while there is trouble.
const PACE: Duration = Duration::from_millis(350);
/// Before a call that was refused, or had no answer, is made again.
const AGAIN: Duration = Duration::from_millis(250);
/// A call that is not taken for so long is a violation.
const TRIES: usize = 400;

/// A call's accounts, as they were answered.
pub(crate) struct Posted {
    pub(crate) customer: String,
    pub(crate) accounts: Vec<Expected>,
    /// Times the call was made before it was taken.
    pub(crate) refusals: usize,
}

/// An account and what must become of it.
pub(crate) struct Expected {
    pub(crate) id: String,
    pub(crate) status: &'static str,
    pub(crate) failure: &'static str,
    /// Whether proving it costs a rupee.
    pub(crate) is_paid: bool,
}

/// Posts `count` accounts, a customer and a call for every twenty of them.
pub(crate) async fn create_all(
    api: Api,
    name: String,
    count: usize,
    at_once: Arc<AtomicBool>,
) -> anyhow::Result<Vec<Posted>> {
    let mut posted = Vec::new();
    for number in 0..count / A_CALL {
        let customer = format!("{name}_{number}");
        posted.push(create(&api, customer, number).await?);
        if !at_once.load(Ordering::Relaxed) {
            tokio::time::sleep(PACE).await;
        }
    }
    Ok(posted)
}

/// As a merchant's backend does it: made again, unchanged, until it is taken. What was stored by a call whose answer
/// was lost is answered as it stands.
async fn create(api: &Api, customer: String, number: usize) -> anyhow::Result<Posted> {
    let (body, outcomes) = mixed(number);
    for refusals in 0..TRIES {
        match api.create_json(&customer, &body).await {
            Ok(answer) if answer.status == 200 => {
                let accounts = answer.accounts()?;
                if accounts.len() != outcomes.len() {
                    bail!(
                        "{} accounts were answered as {}",
                        outcomes.len(),
                        accounts.len()
                    );
                }
                let accounts = accounts
                    .iter()
                    .zip(outcomes)
                    .map(|(account, outcome)| Expected {
                        id: text(account, "/id").to_owned(),
                        ..outcome
                    });
                return Ok(Posted {
                    accounts: accounts.collect(),
                    customer,
                    refusals,
                });
            }
            Ok(answer) if answer.status != 503 => {
                bail!(
                    "a create was answered by {}: {}",
                    answer.status,
                    answer.text
                );
            }
            _ => tokio::time::sleep(AGAIN).await,
        }
    }
    bail!("a create was refused {TRIES} times");
}

/// A call's body and what must become of its accounts, in the answer's order: bank accounts first.
fn mixed(number: usize) -> (Value, Vec<Expected>) {
    let expected = |status, failure, is_paid| Expected {
        id: String::new(),
        status,
        failure,
        is_paid,
    };
    let (mut banks, mut addresses, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    // Every second call carries the payees' consent, and its UPI addresses are paid a rupee each.
    let has_consent = number.is_multiple_of(2);
    for known in PICKED.map(|place| PUBLISHED[place]) {
        banks.push(json!({"account_number": known.account_number, "ifsc": known.ifsc}));
        outcomes.push(expected(known.status, known.failure, true));
    }
    for item in 0..A_CALL - PICKED.len() - USERS.len() {
        let account_number = format!("77{number:06}{item:04}");
        banks.push(json!({"account_number": account_number, "ifsc": "AABF0008032", "beneficiary_name": "Asha Rao"}));
        outcomes.push(expected("ACTIVE", "", true));
    }
    for user in USERS {
        let vpa = format!("{user}@upi");
        addresses.push(json!({ "vpa": vpa }));
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

impl Posted {
    /// The customer's accounts as they are now.
    pub(crate) async fn look(&self, api: &Api) -> anyhow::Result<Vec<Value>> {
        let listed = api.list(&self.customer, "?count=100").await?;
        listed
            .accounts()
            .with_context(|| format!("the list of {}", self.customer))
    }
}
