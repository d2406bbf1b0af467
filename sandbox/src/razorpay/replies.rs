//! Razorpay's replies and events about a validation.

use std::time::Instant;

use chrono::Utc;
use serde_json::{Value, json};

use crate::behaviour::UNKNOWN_CODE;
use crate::body::{at, text};
use crate::ids::twelve_digits;
use crate::name_similarity;
use crate::razorpay::outcomes::{Ending, Oddity};
use crate::webhooks::{Event, Events};

/// The IFSC and the number of the account behind every valid VPA.
const ACCOUNT_OF_VPAS: (&str, &str) = ("ICIC0000047", "000405001234");

/// A validation that was accepted.
pub(super) struct Validation {
    pub(super) id: String,
    /// The number in the ids and in the `utr`.
    pub(super) number: u64,
    /// The members of the reply that repeat the request, as JSON text: it is smaller than a value.
    pub(super) request: String,
    /// The account behind the payee, which is returned if it is valid: IFSC and masked number.
    pub(super) account: (String, String),
    /// The name sent: the account holder's, or the contact's without it.
    pub(super) name: Option<String>,
    /// The name at the bank, if the bank returns it.
    pub(super) holder: Option<String>,
    pub(super) ending: Ending,
    pub(super) oddity: Oddity,
    /// Whether a rupee moves, and so a `utr` is returned.
    pub(super) drops: bool,
    pub(super) appears_at: Option<Instant>,
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

/// Makes the members of the reply that repeat the request.
pub(super) fn request_members(number: u64, request: &Value, is_vpa: bool) -> String {
    let sent = at(request, "fund_account");
    let created_at = Utc::now().timestamp();
    let contact = at(sent, "contact");
    let (account_type, account) = if is_vpa {
        ("vpa", json!({"address": text(sent, "vpa.address")}))
    } else {
        let ifsc = text(sent, "bank_account.ifsc").unwrap_or_default();
        let name = text(sent, "bank_account.name").or(text(contact, "name"));
        let account = json!({
            "name": name,
            "bank_name": ifsc.get(..4),
            "ifsc": ifsc,
            "account_number": at(sent, "bank_account.account_number"),
        });
        ("bank_account", account)
    };
    let contact = json!({
        "id": id("cont", number), "entity": "contact", "name": contact["name"],
        "email": contact["email"], "contact": contact["contact"], "type": contact["type"],
        "reference_id": contact["reference_id"], "notes": notes(&contact["notes"]),
        "active": true, "created_at": created_at,
    });
    let fund_account = json!({
        "id": id("fa", number), "entity": "fund_account", "account_type": account_type,
        account_type: account, "active": true, "created_at": created_at, "contact": contact,
    });
    let members = json!({
        "reference_id": request["reference_id"],
        "notes": notes(&request["notes"]),
        "fund_account": fund_account,
    });
    members.to_string()
}

/// Returns notes; an empty array where there are none (Razorpay, samples of orders and payments).
fn notes(sent: &Value) -> Value {
    match sent {
        Value::Object(notes) if !notes.is_empty() => sent.clone(),
        _ => json!([]),
    }
}

/// Returns the IFSC and the masked number of the account behind a payee.
pub(super) fn account_behind(fund_account: &Value, is_vpa: bool) -> (String, String) {
    let member = |path| text(fund_account, path).unwrap_or_default();
    let (ifsc, number) = if is_vpa {
        ACCOUNT_OF_VPAS
    } else {
        (
            member("bank_account.ifsc"),
            member("bank_account.account_number"),
        )
    };
    let shown = number.len().saturating_sub(4);
    (ifsc.to_owned(), format!("XXXXXXXX{}", &number[shown..]))
}

/// Makes the reply before the outcome.
pub(super) fn created(validation: &Validation) -> Value {
    let utr = (validation.oddity == Oddity::UtrAtOnce).then(|| twelve_digits(validation.number));
    let details = (
        "Validation request is created",
        "internal",
        "validation_request_created",
    );
    entity(validation, "created", utr, no_results(), details)
}

/// Makes the reply with the outcome.
pub(super) fn ended(validation: &Validation, unknown_code: bool) -> Value {
    let unknown = unknown_code.then_some(UNKNOWN_CODE);
    match validation.ending {
        Ending::Completed(account_status) => {
            let drops = validation.drops && validation.ending.is_valid();
            let utr = drops.then(|| twelve_digits(validation.number));
            let results = results(validation, unknown.or(account_status));
            let details = (
                "Validation request is completed",
                "beneficiary_bank",
                "validation_completed",
            );
            entity(validation, "completed", utr, results, details)
        }
        Ending::Failed(reason) => {
            let details = (
                "Validation request is failed",
                "beneficiary_bank",
                unknown.unwrap_or(reason),
            );
            entity(validation, "failed", None, no_results(), details)
        }
    }
}

fn no_results() -> Value {
    json!({
        "account_status": null, "registered_name": null, "details": null,
        "name_match_score": null,
    })
}

fn results(validation: &Validation, account_status: Option<&str>) -> Value {
    let valid = validation.ending.is_valid();
    let names = validation.name.as_deref().zip(validation.holder.as_deref());
    let score = names.map(|(sent, holder)| whole(name_similarity::score(sent, holder)));
    let mut results = json!({
        "account_status": account_status,
        "registered_name": validation.holder,
        "details": if valid {
            "The beneficiary account is valid."
        } else {
            "The beneficiary account is invalid."
        },
        "name_match_score": score.map(|score| match validation.oddity {
            Oddity::ScoreIsText => Value::from(score.to_string()),
            _ => Value::from(score),
        }),
    });
    if valid {
        let (ifsc, masked_number) = &validation.account;
        results["validated_account_type"] = "bank_account".into();
        results["bank_account"] = json!({
            "bank_routing_code": ifsc, "account_number": masked_number,
            "bank_name": ifsc.get(..4), "account_type": "savings",
        });
    }
    results
}

fn entity(
    validation: &Validation,
    status: &str,
    utr: Option<String>,
    results: Value,
    (description, source, reason): (&str, &str, &str),
) -> Value {
    // The text was made from a value.
    let mut entity: Value = serde_json::from_str(&validation.request).unwrap_or_default();
    entity["id"] = validation.id.as_str().into();
    entity["entity"] = "fund_account.validation".into();
    entity["status"] = status.into();
    entity["utr"] = utr.into();
    entity["status_details"] =
        json!({"description": description, "source": source, "reason": reason});
    if validation.oddity == Oddity::Classic {
        entity["results"] = json!({
            "account_status": results["account_status"],
            "registered_name": results["registered_name"],
        });
    } else {
        entity["validation_results"] = results;
    }
    entity
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
pub(super) fn events(validation: &Validation, unknown_code: bool) -> Events {
    let kind = match validation.ending {
        Ending::Failed(_) => "fund_account.validation.failed",
        Ending::Completed(_) => "fund_account.validation.completed",
    };
    let event = |entity: Value, number: u64| {
        let body = json!({
            "entity": "event",
            "account_id": "acc_SandboxKhata01",
            "event": kind,
            "contains": ["fund_account.validation"],
            "payload": {"fund_account.validation": {"entity": entity}},
            "created_at": Utc::now().timestamp(),
        });
        Event::new(&body, vec![("x-razorpay-event-id", id("evt", number))])
    };
    let number = validation.number.wrapping_mul(2);
    Events {
        outcome: event(ended(validation, unknown_code), number),
        older: event(created(validation), number.wrapping_add(1)),
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
