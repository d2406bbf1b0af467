//! Razorpay's replies, mapped to Khata's words.

use khata_domain::validation::{CallResult, FailureCode};
use khata_domain::{AccountType, CallFailure, Class, Details, GatewayResponse};

use super::codes;
use super::wire::{ErrorBody, ErrorDetails, Validation};
use crate::connector::Call;
use crate::http::Reply;
use crate::meaning::{self, Meaning};
use crate::name::{score, trimmed};

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
    let lost = |reason: &str| Err(CallFailure::ResponseLost(reason.into()));
    let status = validation.status.unwrap_or_default().to_ascii_lowercase();
    let id = validation.id.filter(|id| is_id(id));
    let reason = validation
        .status_details
        .and_then(|details| details.reason)
        .unwrap_or_default();
    let has_results = validation.results.is_some();
    let results = validation.results.unwrap_or_default();
    let account_status = results.account_status.unwrap_or_default();
    let (meaning, word) = match status.as_str() {
        "created" if id.is_none() => return lost("accepted without an id"),
        "created" => (Meaning::of(Class::Pending), ""),
        "completed" if !has_results => return lost("completed without results"),
        "completed" => (
            codes::completed(&account_status, default),
            account_status.as_str(),
        ),
        "failed" => (codes::failed(&reason, retried), reason.as_str()),
        "" => return lost("response without a status"),
        _ => (Meaning::Unlisted, ""),
    };
    let waits = meaning.class() == Class::Retryable && !codes::depends_on_attempt(&reason);
    Ok(GatewayResponse {
        name_at_bank: trimmed(results.registered_name),
        account_type: results.bank_account["account_type"]
            .as_str()
            .and_then(AccountType::from_gateway),
        utr: trimmed(validation.utr),
        gateway_reference: id,
        name_match_score: score(results.name_match_score.as_deref()),
        retry_after: waits.then_some(codes::RETRY_DELAY),
        ..meaning.response(if word.is_empty() { &status } else { word })
    })
}

/// Whether this can be an id of Razorpay's, which becomes part of a path.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An error body, read.
pub(super) struct ErrorReply {
    pub(super) reason: String,
    pub(super) description: String,
    /// The code to record; empty if there is none.
    pub(super) code: String,
}

impl ErrorReply {
    pub(super) fn read(reply: &Reply) -> Self {
        let ErrorDetails {
            code,
            description,
            reason,
        } = reply.json::<ErrorBody>().unwrap_or_default().error;
        // Samples hold the words "null" and "NA" in the place of nothing.
        let word =
            |word: Option<String>| word.filter(|word| !matches!(word.as_str(), "" | "null" | "NA"));
        let (reason, code) = (word(reason), word(code));
        Self {
            code: reason.clone().or(code).unwrap_or_default(),
            reason: reason.unwrap_or_default().to_ascii_lowercase(),
            description: description.unwrap_or_default(),
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
