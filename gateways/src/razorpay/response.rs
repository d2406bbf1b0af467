//! What Razorpay answers, in Khata's words.

use khata_domain::validation::FailureCode;
use khata_domain::{CallFailure, Class, Details, GatewayResponse};

use super::codes;
use super::wire::{ErrorDetails, ErrorResponse, Validation};
use crate::connector::Call;
use crate::http::Reply;
use crate::meaning::Meaning;
use crate::name::{real_name, score};

/// What Razorpay says of a validation that this call asked for.
pub(super) fn heard(call: &Call<'_>, reply: &Reply) -> Result<GatewayResponse, CallFailure> {
    let unknown = match call.details {
        Details::Bank(_) => FailureCode::InvalidAccount,
        Details::Upi(_) => FailureCode::InvalidVpa,
    };
    answer(reply.json()?, unknown, call.attempt > 1)
}

/// What a validation says. `unknown` tells why an account fails where Razorpay does not; `retried`, whether it was asked
/// about before.
pub(super) fn answer(
    validation: Validation,
    unknown: FailureCode,
    retried: bool,
) -> Result<GatewayResponse, CallFailure> {
    let lost = |what: &str| Err(CallFailure::ResponseLost(what.into()));
    let status = validation.status.unwrap_or_default().to_ascii_lowercase();
    let id = validation.id.filter(|id| is_id(id));
    let reason = validation
        .status_details
        .and_then(|details| details.reason)
        .unwrap_or_default();
    let results = validation.results;
    let account_status = results
        .as_ref()
        .and_then(|results| results.account_status.clone())
        .unwrap_or_default();
    let (meaning, word) = match status.as_str() {
        "created" if id.is_none() => return lost("accepted without an id"),
        "created" => (Meaning::of(Class::Pending), ""),
        "completed" if results.is_none() => return lost("completed without results"),
        "completed" => (
            codes::completed(&account_status, unknown),
            account_status.as_str(),
        ),
        "failed" => (codes::failed(&reason, retried), reason.as_str()),
        "" => return lost("an answer without a status"),
        _ => (Meaning::Unlisted, ""),
    };
    let rests = meaning.class() == Class::Retryable && !codes::depends_on_attempt(&reason);
    let (name, told_score) = results.map_or((None, None), |results| {
        (results.registered_name, results.name_match_score)
    });
    Ok(GatewayResponse {
        name_at_bank: real_name(name),
        utr: validation.utr.filter(|utr| !utr.is_empty()),
        gateway_reference: id,
        name_match_score: told_score.as_deref().and_then(score),
        retry_after: rests.then_some(codes::REST),
        ..meaning.answer(if word.is_empty() { &status } else { word })
    })
}

/// Whether this can be an id of Razorpay's: it goes into a path.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An error body in its parts.
pub(super) struct Refusal {
    pub(super) reason: String,
    pub(super) description: String,
    /// What is kept of it.
    pub(super) word: String,
}

impl Refusal {
    pub(super) fn of(reply: &Reply) -> Self {
        let ErrorDetails {
            code,
            description,
            reason,
        } = reply.json::<ErrorResponse>().unwrap_or_default().error;
        // Samples have the words "null" and "NA" where there is none.
        let word =
            |word: Option<String>| word.filter(|word| !matches!(word.as_str(), "" | "null" | "NA"));
        let (reason, code) = (word(reason), word(code));
        Self {
            word: reason
                .clone()
                .or(code)
                .unwrap_or_else(|| format!("http_{}", reply.status)),
            reason: reason.unwrap_or_default().to_ascii_lowercase(),
            description: description.unwrap_or_default(),
        }
    }
}

/// An error answer, read by this table.
pub(super) fn refused(
    reply: &Reply,
    table: fn(u16, &str, &str) -> Option<Meaning>,
) -> Result<GatewayResponse, CallFailure> {
    let refusal = Refusal::of(reply);
    let meaning = table(reply.status, &refusal.reason, &refusal.description)
        .ok_or_else(|| CallFailure::ResponseLost(format!("answered {}", reply.status)))?;
    Ok(GatewayResponse {
        retry_after: (meaning.class() == Class::Retryable)
            .then(|| reply.retry_after())
            .flatten(),
        ..meaning.answer(&refusal.word)
    })
}
