//! Cashfree Secure ID's JSON, as its public API reference has it. Only fields that are sent or read.

use serde::{Deserialize, Serialize};

use crate::wire::text_or_number;

/// `POST /bank-account/sync` and `/bank-account/async`.
#[derive(Serialize)]
pub(super) struct BankRequest<'a> {
    pub(super) bank_account: &'a str,
    pub(super) ifsc: &'a str,
    /// At most 100 letters, digits and spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    /// Async only; at most 40 letters, digits and underscores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<&'a str>,
}

/// `POST /upi`.
#[derive(Serialize)]
pub(super) struct UpiRequest<'a> {
    pub(super) verification_id: &'a str,
    pub(super) vpa: &'a str,
}

/// `POST /upi/penny-drop`.
#[derive(Serialize)]
pub(super) struct UpiPennyDropRequest<'a> {
    pub(super) verification_id: &'a str,
    pub(super) vpa: &'a str,
    pub(super) user_consent: UserConsent<'a>,
}

#[derive(Serialize)]
pub(super) struct UserConsent<'a> {
    pub(super) obtained: bool,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) timestamp: String,
    pub(super) purpose: &'a str,
}

/// Replies to all bank calls, and `data` of the webhooks.
#[derive(Deserialize)]
pub(super) struct BankReply {
    /// Ours, in the asynchronous flow.
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) user_id: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) reference_id: Option<String>,
    pub(super) account_status: Option<String>,
    pub(super) account_status_code: Option<String>,
    pub(super) name_at_bank: Option<String>,
    pub(super) utr: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) name_match_score: Option<String>,
}

/// Replies to the UPI calls.
#[derive(Deserialize)]
pub(super) struct UpiReply {
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) reference_id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) name_at_bank: Option<String>,
    pub(super) utr: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) name_match_score: Option<String>,
}

/// Type of a webhook, on which its other members depend.
#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    pub(super) event_type: String,
}

/// A `BANK_ACCOUNT_VERIFICATION_*` webhook, version v2.
#[derive(Deserialize)]
pub(super) struct BankEvent {
    pub(super) data: BankReply,
}

/// Every error body.
#[derive(Default, Deserialize)]
pub(super) struct ErrorReply {
    #[serde(default)]
    pub(super) code: String,
}
