//! Razorpay's replies and events about a validation.

use chrono::Utc;
use serde_json::{Value, json};

use crate::body::{at, field};
use crate::ids::twelve_digits;
use crate::name_similarity;
use crate::razorpay::outcomes::{Ending, Oddity};
use crate::webhooks::{Event, Events};

/// The IFSC and the number of the account behind every valid VPA.
const ACCOUNT_OF_VPAS: (&str, &str) = ("ICIC0000047", "000405001234");

/// A validation that was accepted.
pub(super) struct Validation<'a> {
    /// The number in the ids and in the `utr`.
    pub(super) number: u64,
    pub(super) request: &'a Value,
    pub(super) is_vpa: bool,
    /// The name sent: the account holder's, or the contact's without it.
    pub(super) name: Option<&'a str>,
    /// The name at the bank, if the bank returns it.
    pub(super) holder: Option<String>,
    pub(super) ending: Ending,
    pub(super) oddity: Oddity,
    /// Whether a rupee moves, and so a `utr` is returned.
    pub(super) drops: bool,
}

/// Makes a Razorpay id: the kind, an underscore, fourteen letters and digits.
pub(super) fn id(kind: &str, number: u64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut left = number;
    let mut text = [b'0'; 14];
    for place in text.iter_mut().rev() {
        // Smaller than 62: it fits.
        *place = DIGITS[usize::try_from(left % 62).unwrap_or(0)];
        left /= 62;
    }
    format!("{kind}_{}", String::from_utf8_lossy(&text))
}

/// Returns notes; an empty array where there are none (Razorpay, samples of orders and payments).
fn notes(sent: &Value) -> Value {
    match sent {
        Value::Object(notes) if !notes.is_empty() => sent.clone(),
        _ => json!([]),
    }
}

impl Validation<'_> {
    /// Makes the reply before the outcome.
    pub(super) fn created(&self) -> Value {
        let utr = (self.oddity == Oddity::UtrAtOnce).then(|| twelve_digits(self.number));
        let details = json!({
            "description": "Validation request is created", "source": "internal",
            "reason": "validation_request_created",
        });
        self.entity("created", utr, no_results(), details)
    }

    /// Makes the reply with the outcome.
    pub(super) fn ended(&self) -> Value {
        match self.ending {
            Ending::Completed(account_status) => {
                let drops = self.drops && self.ending.is_valid();
                let utr = drops.then(|| twelve_digits(self.number));
                let details = json!({
                    "description": "Validation request is completed", "source": "beneficiary_bank",
                    "reason": "validation_completed",
                });
                self.entity("completed", utr, self.results(account_status), details)
            }
            Ending::Failed(reason) => {
                let details = json!({
                    "description": "Validation request is failed", "source": "beneficiary_bank",
                    "reason": reason,
                });
                self.entity("failed", None, no_results(), details)
            }
        }
    }

    /// Returns the JSON pointer of the code in the reply with the outcome.
    pub(super) fn code_pointer(&self) -> &'static str {
        match self.ending {
            Ending::Failed(_) => "/status_details/reason",
            Ending::Completed(_) if self.oddity == Oddity::Classic => "/results/account_status",
            Ending::Completed(_) => "/validation_results/account_status",
        }
    }

    fn results(&self, account_status: Option<&str>) -> Value {
        let valid = self.ending.is_valid();
        let names = self.name.zip(self.holder.as_deref());
        let score = names.map(|(sent, holder)| whole(name_similarity::score(sent, holder)));
        let word = if valid { "valid" } else { "invalid" };
        let mut results = json!({
            "account_status": account_status,
            "registered_name": self.holder,
            "details": format!("The beneficiary account is {word}."),
            "name_match_score": score.map(|score| match self.oddity {
                Oddity::ScoreIsText => Value::from(score.to_string()),
                _ => Value::from(score),
            }),
        });
        if valid {
            let account = at(self.request, "fund_account.bank_account");
            let (ifsc, number) = if self.is_vpa {
                ACCOUNT_OF_VPAS
            } else {
                (field(account, "ifsc"), field(account, "account_number"))
            };
            let last = &number[number.len().saturating_sub(4)..];
            results["validated_account_type"] = "bank_account".into();
            results["bank_account"] = json!({
                "bank_routing_code": ifsc, "account_number": format!("XXXXXXXX{last}"),
                "bank_name": ifsc.get(..4), "account_type": "savings",
            });
        }
        results
    }

    fn entity(&self, status: &str, utr: Option<String>, results: Value, details: Value) -> Value {
        let mut entity = json!({
            "id": id("fav", self.number), "entity": "fund_account.validation", "status": status,
            "reference_id": self.request["reference_id"], "notes": notes(&self.request["notes"]),
            "fund_account": self.fund_account(),
        });
        entity["utr"] = utr.into();
        entity["status_details"] = details;
        if self.oddity == Oddity::Classic {
            let [status, name] = ["account_status", "registered_name"].map(|name| &results[name]);
            entity["results"] = json!({"account_status": status, "registered_name": name});
        } else {
            entity["validation_results"] = results;
        }
        entity
    }

    /// Makes the fund account from the request.
    fn fund_account(&self) -> Value {
        let sent = at(self.request, "fund_account");
        let (contact, created_at) = (at(sent, "contact"), Utc::now().timestamp());
        let (account_type, account) = if self.is_vpa {
            ("vpa", json!({"address": field(sent, "vpa.address")}))
        } else {
            let (ifsc, number) = (field(sent, "bank_account.ifsc"), &sent["bank_account"]);
            let account = json!({
                "name": self.name, "bank_name": ifsc.get(..4), "ifsc": ifsc,
                "account_number": number["account_number"],
            });
            ("bank_account", account)
        };
        let contact = json!({
            "id": id("cont", self.number), "entity": "contact", "name": contact["name"],
            "email": contact["email"], "contact": contact["contact"], "type": contact["type"],
            "reference_id": contact["reference_id"], "notes": notes(&contact["notes"]),
            "active": true, "created_at": created_at,
        });
        json!({
            "id": id("fa", self.number), "entity": "fund_account", "account_type": account_type,
            account_type: account, "active": true, "created_at": created_at, "contact": contact,
        })
    }
}

fn no_results() -> Value {
    json!({
        "account_status": null, "registered_name": null, "details": null, "name_match_score": null,
    })
}

/// Returns a score without its fraction.
fn whole(score: f64) -> u8 {
    (0..=100_u8)
        .rev()
        .find(|whole| f64::from(*whole) <= score)
        .unwrap_or(0)
}

/// Makes the events of a validation that ended (Razorpay, account validation webhook events). Each event
/// has an id of its own, which repetitions keep.
pub(super) fn events(number: u64, ended: &Value, created: &Value) -> Events {
    let kind = match ended["status"].as_str() {
        Some("failed") => "fund_account.validation.failed",
        _ => "fund_account.validation.completed",
    };
    let event = |entity: &Value, number: u64| {
        let body = json!({
            "entity": "event", "account_id": "acc_SandboxKhata01", "event": kind,
            "contains": ["fund_account.validation"], "created_at": Utc::now().timestamp(),
            "payload": {"fund_account.validation": {"entity": entity}},
        });
        Event::new(&body, vec![("x-razorpay-event-id", id("evt", number))])
    };
    let number = number.wrapping_mul(2);
    Events {
        outcome: event(ended, number),
        older: event(created, number.wrapping_add(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_their_form_and_differ() {
        assert_eq!(id("fav", 0), "fav_00000000000000");
        assert_eq!(id("fav", 61), "fav_0000000000000z");
        assert_eq!(id("fav", 62), "fav_00000000000010");
        assert_ne!(id("fav", u64::MAX), id("fav", u64::MAX - 1));
    }
}
