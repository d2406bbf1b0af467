//! The load of a run: several clients, whose calls the seed decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use khata_e2e::client::text;
use serde_json::{Value, json};

use crate::client::{Client, Planned};
use crate::random::Random;

/// Endings of numbers on whose outcome all gateways agree (sandbox/README.md): valid, pending and then valid, pending and then
/// invalid, without a name, unknown, blocked.
const ENDINGS: [&str; 5] = ["99009911", "99009912", "99009921", "99009931", "99009934"];
/// The same for UPI addresses.
const USERS: [&str; 2] = ["99009911", "99009931"];
/// Mean time between two actions of a client, in milliseconds.
const PACE: u64 = 450;

/// An action of a client.
#[derive(Debug)]
enum Action {
    /// Calls *Create accounts*; `repeats` once more after the reply, `insists` until a reply says that the accounts are stored.
    Create {
        call: Planned,
        repeats: bool,
        insists: bool,
    },
    /// Sends a call that must be rejected.
    Rejected(Planned),
    /// Validates an account of the client again, deletes it, or both: the account is the one with this number among those of the
    /// replies so far. The deletion begins this many milliseconds after the validation.
    Change {
        of: usize,
        validates: Option<Value>,
        deletes_after: Option<u64>,
    },
    /// Lists the accounts of a customer of the client.
    List { of: usize },
}

/// An account that a reply had.
struct Known {
    customer: String,
    account: String,
}

/// Makes calls until it `is_enough`. The generator decides each action and its time before the run's events can change them.
/// An action whose time has passed follows at once.
pub(crate) async fn run(
    number: usize,
    mut client: Client,
    mut random: Random,
    is_enough: Arc<AtomicBool>,
) -> Result<()> {
    let began = Instant::now();
    let mut at = random.milliseconds(0, PACE);
    let mut known: Vec<Known> = Vec::new();
    for count in 0.. {
        tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
        if is_enough.load(Ordering::Relaxed) {
            break;
        }
        let action = action(number, count, &mut random);
        at += random.milliseconds(PACE / 3, PACE * 5 / 3);
        carry_out(action, &mut client, &mut known).await?;
    }
    // The lists that an idle merchant reads at the end.
    let mut customers: Vec<String> = known.into_iter().map(|known| known.customer).collect();
    customers.dedup();
    for customer in customers.iter().rev().take(20) {
        client.insist(&Planned::list(customer)).await?;
    }
    Ok(())
}

async fn carry_out(action: Action, client: &mut Client, known: &mut Vec<Known>) -> Result<()> {
    match action {
        Action::Create {
            call,
            repeats,
            insists,
        } => {
            let reply = if insists {
                client.insist(&call).await?
            } else {
                match client.try_once(&call).await {
                    Ok(reply) => reply,
                    Err(_) => return Ok(()),
                }
            };
            if reply.status == 200 {
                for account in reply.accounts()? {
                    known.push(Known {
                        customer: call.customer.clone(),
                        account: text(&account, "/id").to_owned(),
                    });
                }
            }
            if repeats {
                // The history has the reply.
                let _ = client.try_once(&call).await;
            }
        }
        Action::Rejected(call) => drop(client.try_once(&call).await),
        Action::Change {
            of,
            validates,
            deletes_after,
        } if !known.is_empty() => {
            let place = of % known.len();
            change(client, &known[place], validates, deletes_after).await?;
            if deletes_after.is_some() {
                known.swap_remove(place);
            }
        }
        Action::List { of } if !known.is_empty() => {
            let list = Planned::list(&known[of % known.len()].customer);
            drop(client.try_once(&list).await);
        }
        Action::Change { .. } | Action::List { .. } => {}
    }
    Ok(())
}

async fn change(
    client: &mut Client,
    known: &Known,
    validates: Option<Value>,
    deletes_after: Option<u64>,
) -> Result<()> {
    let call = |operation, body: Value| Planned {
        operation,
        customer: known.customer.clone(),
        account: Some(known.account.clone()),
        key: None,
        body,
    };
    let delete = call("delete", json!({"command": "delete"}));
    let mut second = client.clone();
    let validating = async {
        match validates {
            Some(body) => client.insist(&call("validate", body)).await.map(drop),
            None => Ok(()),
        }
    };
    let deleting = async {
        if let Some(pause) = deletes_after {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            second.insist(&delete).await?;
        }
        Ok(())
    };
    let (one, other) = tokio::join!(validating, deleting);
    one.and(other)
}

fn action(client: usize, number: usize, random: &mut Random) -> Action {
    let of = random.below(10_000);
    match random.below(100) {
        0..=64 => create(client, number, random),
        65..=69 => Action::Rejected(Planned {
            body: json!({"bank_account_details": [{"account_number": format!("7{client}{number:03}00000000"), "ifsc": "NOBANK"}]}),
            ..planned(format!("rejected_{client}_{number}"), None, Value::Null)
        }),
        70..=79 => Action::Change {
            of,
            validates: Some(json!({"fresh": true, "wait_seconds": random.pick(&[0, 0, 3])})),
            deletes_after: None,
        },
        80..=82 => Action::Change {
            of,
            validates: None,
            deletes_after: Some(0),
        },
        // Also while a call to a slow gateway is open.
        83..=89 => Action::Change {
            of,
            validates: Some(json!({"fresh": true, "wait_seconds": 0})),
            deletes_after: Some(random.pick(&[0, 500, 1_000, 2_000])),
        },
        _ => Action::List { of },
    }
}

fn planned(customer: String, key: Option<String>, body: Value) -> Planned {
    Planned {
        operation: "create",
        customer,
        account: None,
        key,
        body,
    }
}

fn create(client: usize, number: usize, random: &mut Random) -> Action {
    let mut banks = Vec::new();
    for item in 0..=random.below(4) {
        let ending = if random.percent(45) {
            random.pick(&ENDINGS).to_owned()
        } else {
            format!("{:08}", 10_000_000 + random.below(80_000_000))
        };
        let mut account = json!({"account_number": format!("7{client}{number:03}{item}{ending}"), "ifsc": "AABF0008032"});
        if random.percent(40) {
            account["beneficiary_name"] = "Asha Rao".into();
        }
        banks.push(account);
    }
    let mut body = json!({ "bank_account_details": banks });
    if random.percent(30) {
        let user = if random.percent(30) {
            random.pick(&USERS).to_owned()
        } else {
            format!("{:08}", 10_000_000 + random.below(80_000_000))
        };
        body["upi_details"] = json!([{ "vpa": format!("u{client}{number:03}{user}@upi") }]);
        if random.percent(50) {
            body["consent"] = json!({"obtained": true, "purpose": "payouts", "timestamp": "2026-01-01T00:00:00Z"});
        }
    }
    if random.percent(15) {
        body["command"] = "validate".into();
        body["wait_seconds"] = 3.into();
    }
    let key = random.percent(60).then(|| format!("key-{client}-{number}"));
    Action::Create {
        repeats: random.percent(20),
        insists: random.percent(70),
        call: planned(format!("customer_{client}_{number}"), key, body),
    }
}
