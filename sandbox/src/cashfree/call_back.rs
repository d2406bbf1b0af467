//! What Cashfree calls back with when an asynchronous bank verification is done (Cashfree, webhooks of
//! bank account verification).

use chrono::Utc;
use serde::Serialize;

use crate::cashfree::outcome::RECEIVED;
use crate::cashfree::wire::{AccountStatus, BankAnswer};
use crate::webhooks::{Notice, Notices};

/// The rupee that was dropped, as text.
const DROPPED: &str = "1.00";

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "event_type")]
    kind: &'static str,
    /// UTC, in the form of the published sample: `2023-07-19 10:46:16`.
    #[serde(rename = "event_time")]
    time: String,
    version: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_deposited: Option<&'static str>,
    #[serde(flatten)]
    answer: BankAnswer,
}

/// The events of a verification that came to this answer.
pub(super) fn notices(answer: BankAnswer, user_id: Option<&str>) -> Notices {
    let kind = match answer.account_status {
        AccountStatus::Valid => "BANK_ACCOUNT_VERIFICATION_SUCCESS",
        AccountStatus::Rejected => "BANK_ACCOUNT_VERIFICATION_REJECTED",
        _ => "BANK_ACCOUNT_VERIFICATION_FAILED",
    };
    let time = Utc::now().format("%Y-%m-%d %H:%M:%S").to_string();
    let pending = BankAnswer::bare(answer.reference_id, RECEIVED.0, RECEIVED.1);
    let notice = |answer: BankAnswer| Notice {
        body: text(&Event {
            kind,
            time: time.clone(),
            version: "v2",
            data: Data {
                user_id,
                amount_deposited: answer.utr.is_some().then_some(DROPPED),
                answer,
            },
        }),
        headers: vec![("x-webhook-version", "v2".to_owned())],
    };
    Notices {
        outcome: notice(answer),
        older: notice(pending),
    }
}

fn text(event: &Event<'_>) -> String {
    // Plain structs of text and numbers always serialise.
    serde_json::to_string(event).unwrap_or_default()
}
