//! Razorpay's replies, as its public API reference has them (*Composite account validation*, *Account validation*, *Validate
//! VPA*), mapped to Khata's words.

use khata_domain::validation::{CallResult, FailureCode};
use khata_domain::{AccountType, Class, Details, GatewayResponse};
use serde::Deserialize;
use serde_json::Value;

use super::codes;
use crate::connector::Call;
use crate::http::Reply;
use crate::meaning::{self, Meaning, lost};
use crate::name::{is_plain, score, trimmed};
use crate::wire::text_or_number;

/// A validation, in replies and in webhooks.
#[derive(Deserialize)]
pub(super) struct Validation {
    id: Option<String>,
    status: Option<String>,
    utr: Option<String>,
    /// Ours; only in the composite shape.
    pub(super) reference_id: Option<String>,
    /// `validation_results` in the composite shape, `results` in the classic one.
    #[serde(alias = "validation_results")]
    results: Option<Results>,
    /// Holds `reason`; only in the composite shape.
    #[serde(default)]
    pub(super) status_details: Value,
    /// Holds `account_type`.
    #[serde(default)]
    pub(super) fund_account: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Results {
    /// `null` and `""` have a meaning of their own.
    account_status: Option<String>,
    registered_name: Option<String>,
    #[serde(deserialize_with = "text_or_number")]
    name_match_score: Option<String>,
    /// Holds `account_type`. Read without a type, because an unexpected form must not cost the outcome.
    bank_account: Value,
}

/// Maps a reply about the validation that this call asked for.
pub(super) fn call_response(call: &Call<'_>, reply: &Reply) -> CallResult {
    let default = match call.details {
        Details::Bank(_) => FailureCode::InvalidAccount,
        Details::Upi(_) => FailureCode::InvalidVpa,
    };
    response(reply.json()?, default, call.attempt > 1)
}

/// Maps a validation. `default` is the failure if Razorpay gives no reason; `retried` says whether an earlier attempt has
/// asked about the same address.
pub(super) fn response(validation: Validation, default: FailureCode, retried: bool) -> CallResult {
    let reason = validation.status_details["reason"].as_str();
    let reason = reason.unwrap_or_default();
    let status = validation.status.unwrap_or_default().to_ascii_lowercase();
    let id = validation.id.filter(|id| is_id(id));
    let has_results = validation.results.is_some();
    let results = validation.results.unwrap_or_default();
    let account_status = results.account_status.unwrap_or_default();
    let (meaning, word) = match status.as_str() {
        "created" if id.is_none() => return Err(lost("accepted without an id")),
        "created" => (Meaning::of(Class::Pending), ""),
        "completed" if !has_results => return Err(lost("completed without results")),
        "completed" => (
            codes::completed(&account_status, default),
            account_status.as_str(),
        ),
        "failed" => (codes::failed(reason, retried), reason),
        "" => return Err(lost("response without a status")),
        _ => (Meaning::Unlisted, ""),
    };
    let waits = meaning.class() == Class::Retryable && !codes::depends_on_attempt(reason);
    Ok(GatewayResponse {
        name_at_bank: trimmed(results.registered_name.as_deref()),
        account_type: results.bank_account["account_type"]
            .as_str()
            .and_then(AccountType::from_gateway),
        utr: trimmed(validation.utr.as_deref()),
        gateway_reference: id,
        name_match_score: score(results.name_match_score.as_deref()),
        retry_after: waits.then_some(codes::RETRY_DELAY),
        ..meaning.response(if word.is_empty() { &status } else { word })
    })
}

/// Whether this can be an id of Razorpay's, which becomes part of a path.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && is_plain(id, b"_")
}

/// Reads a boolean, a number or a text as a boolean.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(boolean) => Some(*boolean),
        Value::Number(number) => Some(number.as_u64()? == 1),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// An error body, read.
pub(super) struct ErrorReply {
    pub(super) reason: String,
    /// A sentence that separates cases with the same code and reason. May repeat values of the request: not for logs.
    pub(super) description: String,
    /// The code to record; empty if there is none.
    pub(super) code: String,
}

impl ErrorReply {
    pub(super) fn read(reply: &Reply) -> Self {
        let body = reply.value();
        // Samples hold the words "null" and "NA" in the place of nothing.
        let word = |name: &str| {
            let word = body["error"][name].as_str();
            let word = word.filter(|word| !matches!(*word, "null" | "NA"));
            word.unwrap_or_default()
        };
        let (reason, code) = (word("reason"), word("code"));
        Self {
            code: if reason.is_empty() { code } else { reason }.to_owned(),
            reason: reason.to_ascii_lowercase(),
            description: word("description").to_owned(),
        }
    }
}

/// Maps an error reply by this table.
pub(super) fn error_response(
    reply: &Reply,
    table: fn(u16, &str, &str) -> Option<Meaning>,
) -> CallResult {
    let error = ErrorReply::read(reply);
    let meaning = table(reply.status, &error.reason, &error.description);
    meaning::error_response(reply, meaning, &error.code)
}
