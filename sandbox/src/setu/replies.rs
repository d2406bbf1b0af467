//! Setu's replies and events. The event of a bank verification is sent for the async API only, is not
//! signed and has no code; the event of a VPA is signed.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::behaviour::UNKNOWN_CODE;
use crate::ids::bank_reference;
use crate::setu::ids;
use crate::setu::outcomes::{BankOutcome, Penniless, is_success};
use crate::webhooks::{Event, Events};

/// Makes the reply of `POST /api/verify/ban` and `GET /api/verify/ban/async/{id}` with the outcome, but for
/// its trace id. A failed one has no data. A reply with the id only means an HTTP 500.
pub(super) fn bank(
    id: &str,
    outcome: BankOutcome,
    holder: &str,
    verified_at: DateTime<Utc>,
) -> Value {
    let Some((code, message)) = outcome else {
        return json!({"id": id});
    };
    if !is_success(code) {
        return json!({"id": id, "verification": "failed", "code": code, "message": message});
    }
    let data = json!({
        "name": holder, "transactionReference": bank_reference(),
        "verifiedAt": ids::utc(verified_at),
    });
    json!({
        "id": id, "verification": "success", "code": code, "message": message, "data": data,
    })
}

/// Makes the reply of `POST /api/verify/ban/pennyless`. A business's account has details of the business, of which no other
/// than its kind is documented.
pub(super) fn penniless(
    (account, ifsc): (&str, &str),
    outcome: Penniless,
    holder: &str,
    is_unknown: bool,
) -> Value {
    let trace_id = ids::trace_id();
    let Penniless::Found { is_business } = outcome else {
        return json!({"status": "ERROR", "message": "Invalid bank details", "traceId": trace_id});
    };
    if is_unknown {
        return json!({"status": UNKNOWN_CODE, "traceId": trace_id});
    }
    let mut data = json!({
        "bankAccountNumber": account, "bankAccountName": holder, "bankAccountIfsc": ifsc,
        "entityType": if is_business { "MERCHANT" } else { "INDIVIDUAL" },
        "ifscCrossCheck": true,
        "ifscDetails": {"name": ifsc.get(..4), "imps": "true", "neft": "true", "rtgs": "true", "upi": "true"},
    });
    if is_business {
        data["merchantDetails"] = json!({"mccCode": "1520", "ownership": {"type": "PRIVATE"}});
    }
    json!({"status": "SUCCESS", "data": data, "traceId": trace_id})
}

/// Returns whether a bank verification's reply is an HTTP 500.
pub(super) fn is_upstream_error(reply: &Value) -> bool {
    reply["verification"].is_null()
}

/// Makes the events of a bank verification; `None` for an outcome that is an HTTP 500.
pub(super) fn bank_events(settled: Value, pending: Value) -> Option<Events> {
    let event = |mut bav: Value| {
        let members = bav.as_object_mut()?;
        members.remove("code");
        let data = members.entry("data").or_insert_with(|| json!({}));
        if data["name"].is_string() {
            // Null in the published sample; Setu does not say what it is for.
            data["matchKey"] = Value::Null;
        }
        let body = json!({
            "data": {"bav": bav}, "event": "BAV_WEBHOOK_NOTIFICATION",
            "timeStamp": ids::india(Utc::now(), SecondsFormat::Micros),
        });
        Some(Event::new(&body, Vec::new()))
    };
    if is_upstream_error(&settled) {
        return None;
    }
    Some(Events {
        outcome: event(settled)?,
        older: event(pending)?,
    })
}

/// Makes UMAP's reply with the outcome. The reason of a failure is the only published sample.
pub(super) fn settled_vpa(pending: &Value, status: &str, holder: Option<String>) -> Value {
    let mut reply = pending.clone();
    reply["status"] = status.into();
    if status == "valid" {
        reply["customerAccountType"] = "SAVINGS".into();
        if let Some(holder) = holder {
            reply["customerName"] = holder.into();
        }
    }
    if status == "failed" {
        reply["reason"] = json!({
            "code": "unable-to-fulfill-request", "desc": "unable-to-fulfill-request",
            "npciErrCategory": "TD", "npciErrCode": "YG",
            "npciErrDesc": "MERCHANT ERROR (PAYEE PSP)", "npciRespCode": "YG",
            "npciRespDesc": "MERCHANT ERROR (PAYEE PSP)",
            "setuDescription": "Merchant PSP error", "suggestedAction": "Merchant PSP error",
        });
    }
    reply
}

/// Makes the event of a VPA's verification from its reply.
pub(super) fn vpa_event(reply: Value) -> Event {
    let status = reply["status"].as_str().unwrap_or_default();
    let event_type = format!("customer_vpa.{status}");
    let Value::Object(mut members) = reply else {
        return Event::new(&Value::Null, Vec::new());
    };
    // Under this name, regardless of the name in the request; null where there is none.
    let reference = members.remove("referenceId");
    members
        .entry("merchantReferenceId")
        .or_insert(reference.into());
    members.remove("createdAt");
    members.entry("reason").or_insert_with(|| json!({}));
    let mut event = Value::Object(members);
    event["eventId"] = ids::ulid().into();
    event["eventTs"] = ids::india(Utc::now(), SecondsFormat::Secs).into();
    event["eventType"] = event_type.into();
    event["resource"] = "customer_vpa".into();
    Event::new(&event, Vec::new())
}
