//! What Razorpay calls back with when a validation has ended (Razorpay, account validation webhook
//! events).

use chrono::Utc;
use serde::Serialize;

use crate::razorpay::validation::Validation;
use crate::razorpay::wire::{Status, ValidationEntity};
use crate::razorpay::{id, present};
use crate::webhooks::{Notice, Notices};

#[derive(Serialize)]
struct Event<'a> {
    entity: &'static str,
    account_id: &'static str,
    #[serde(rename = "event")]
    kind: &'static str,
    contains: [&'static str; 1],
    payload: Payload<'a>,
    /// Unix seconds.
    created_at: i64,
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "fund_account.validation")]
    validation: Wrapped<'a>,
}

#[derive(Serialize)]
struct Wrapped<'a> {
    entity: ValidationEntity<'a>,
}

/// The events of a validation that has ended.
pub(super) fn notices(validation: &Validation, unknown_code: bool) -> Notices {
    let ended = present::ended(validation, unknown_code);
    let kind = match ended.status {
        Status::Failed => "fund_account.validation.failed",
        Status::Completed | Status::Created => "fund_account.validation.completed",
    };
    // An event has an id of its own; the same one however often it is sent.
    let number = validation.number.wrapping_mul(2);
    Notices {
        outcome: notice(kind, ended, number),
        older: notice(kind, present::created(validation), number.wrapping_add(1)),
    }
}

fn notice(kind: &'static str, entity: ValidationEntity<'_>, number: u64) -> Notice {
    let event = Event {
        entity: "event",
        account_id: "acc_SandboxKhata01",
        kind,
        contains: ["fund_account.validation"],
        payload: Payload {
            validation: Wrapped { entity },
        },
        created_at: Utc::now().timestamp(),
    };
    Notice {
        // Plain structs of text and numbers always serialise.
        body: serde_json::to_string(&event).unwrap_or_default(),
        headers: vec![("x-razorpay-event-id", id("evt", number))],
    }
}
