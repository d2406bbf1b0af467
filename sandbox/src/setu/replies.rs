//! Setu's replies and events. The event of a bank verification is sent for the async API only, is not
//! signed and has no code; the event of a VPA is signed.

use std::time::Instant;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::behaviour::UNKNOWN_CODE;
use crate::profile::has_appeared;
use crate::setu::ids;
use crate::setu::outcomes::{BankOutcome, is_success};
use crate::webhooks::{Event, Events};

/// A bank account that was verified. Its number is not kept: nothing needs it again.
pub(super) struct Bank {
    pub(super) id: String,
    pub(super) outcome: BankOutcome,
    /// The name at the bank; "" if the bank returns none.
    pub(super) holder: String,
    pub(super) transaction_reference: String,
    /// When the outcome appears; `None`: never.
    pub(super) appears_at: Option<Instant>,
    pub(super) verified_at: DateTime<Utc>,
}

/// A VPA that was verified.
pub(super) struct Vpa {
    /// The reply before the outcome, as JSON text: it is smaller than a value.
    pub(super) pending: String,
    pub(super) status: &'static str,
    /// The name at the bank, if the bank returns it.
    pub(super) holder: Option<String>,
    /// When the outcome appears; `None`: never.
    pub(super) appears_at: Option<Instant>,
}

/// Makes the reply of `POST /api/verify/ban` and `GET /api/verify/ban/async/{id}`; `None`: an HTTP 500.
/// A pending reply has no code and no message; a failed one has no data.
pub(super) fn bank(bank: &Bank, now: Instant, unknown_code: bool) -> Option<Value> {
    let mut reply = json!({"id": bank.id, "traceId": ids::trace_id()});
    if !has_appeared(bank.appears_at, now) {
        reply["verification"] = "pending".into();
        return Some(reply);
    }
    let outcome = bank.outcome?;
    reply["code"] = if unknown_code {
        UNKNOWN_CODE
    } else {
        outcome.0
    }
    .into();
    reply["message"] = outcome.1.into();
    if is_success(outcome) {
        reply["verification"] = "success".into();
        reply["data"] = account(bank);
    } else {
        reply["verification"] = "failed".into();
    }
    Some(reply)
}

fn account(bank: &Bank) -> Value {
    json!({
        "name": bank.holder,
        "transactionReference": bank.transaction_reference,
        "verifiedAt": ids::utc(bank.verified_at),
    })
}

/// Makes the events of a bank verification; `None` for an outcome that is an HTTP 500.
pub(super) fn bank_events(bank: &Bank) -> Option<Events> {
    let outcome = bank.outcome?;
    let event = |mut bav: Value| {
        bav["id"] = bank.id.as_str().into();
        let body = json!({
            "data": {"bav": bav},
            "event": "BAV_WEBHOOK_NOTIFICATION",
            "timeStamp": ids::india(Utc::now(), SecondsFormat::Micros),
        });
        Event::new(&body, Vec::new())
    };
    let message = outcome.1;
    let settled = if is_success(outcome) {
        let mut data = account(bank);
        // Null in the published sample; Setu does not say what it is for.
        data["matchKey"] = Value::Null;
        json!({"verification": "success", "message": message, "data": data})
    } else {
        json!({"verification": "failed", "message": message, "data": {}})
    };
    Some(Events {
        outcome: event(settled),
        older: event(json!({"verification": "pending", "data": {}})),
    })
}

/// Returns UMAP's reply before the outcome.
pub(super) fn pending_vpa(vpa: &Vpa) -> Value {
    // The text was made from a value.
    serde_json::from_str(&vpa.pending).unwrap_or_default()
}

/// Makes UMAP's reply with the outcome. Unknown members are absent. The reason of a failure is the only
/// published sample.
pub(super) fn settled_vpa(vpa: &Vpa) -> Value {
    let mut reply = pending_vpa(vpa);
    reply["status"] = vpa.status.into();
    if vpa.status == "valid" {
        reply["customerAccountType"] = "SAVINGS".into();
        if let Some(holder) = &vpa.holder {
            reply["customerName"] = holder.as_str().into();
        }
    }
    if vpa.status == "failed" {
        reply["reason"] = json!({
            "code": "unable-to-fulfill-request",
            "desc": "unable-to-fulfill-request",
            "npciErrCategory": "TD",
            "npciErrCode": "YG",
            "npciErrDesc": "MERCHANT ERROR (PAYEE PSP)",
            "npciRespCode": "YG",
            "npciRespDesc": "MERCHANT ERROR (PAYEE PSP)",
            "setuDescription": "Merchant PSP error",
            "suggestedAction": "Merchant PSP error",
        });
    }
    reply
}

/// Makes the events of a VPA's verification.
pub(super) fn vpa_events(vpa: &Vpa) -> Events {
    Events {
        outcome: vpa_event(settled_vpa(vpa)),
        older: vpa_event(pending_vpa(vpa)),
    }
}

fn vpa_event(mut reply: Value) -> Event {
    let status = reply["status"].as_str().unwrap_or_default();
    let event_type = format!("customer_vpa.{status}");
    // Under this name, regardless of the name in the request; null where there is none.
    let reference = [&reply["merchantReferenceId"], &reply["referenceId"]]
        .into_iter()
        .find(|reference| !reference.is_null())
        .cloned();
    reply["merchantReferenceId"] = reference.into();
    reply["eventId"] = ids::ulid().into();
    reply["eventTs"] = ids::india(Utc::now(), SecondsFormat::Secs).into();
    reply["eventType"] = event_type.into();
    reply["resource"] = "customer_vpa".into();
    if reply["reason"].is_null() {
        reply["reason"] = json!({});
    }
    if let Value::Object(members) = &mut reply {
        members.remove("createdAt");
        members.remove("referenceId");
    }
    Event::new(&reply, Vec::new())
}
