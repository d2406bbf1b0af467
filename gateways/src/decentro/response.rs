//! Decentro's replies, mapped to Khata's words.

use khata_domain::GatewayResponse;
use khata_domain::validation::CallResult;

use super::codes;
use super::wire::{AccountReply, Envelope};
use crate::http::Reply;
use crate::meaning;
use crate::name::trimmed;

/// Returns the status of the account, which does not depend on the status of the call; `None` if the reply holds none.
pub(super) fn account_response(reply: &Reply, envelope: &Envelope) -> Option<GatewayResponse> {
    let data = reply.json().ok().and_then(|reply: AccountReply| reply.data);
    let data = data.unwrap_or_default();
    let status = data.account_status.filter(|status| !status.is_empty());
    let pending = || envelope.has_status("PENDING").then(|| "PENDING".to_owned());
    let status = status.or_else(pending)?;
    Some(GatewayResponse {
        name_at_bank: trimmed(data.beneficiary_name),
        utr: trimmed(data.bank_reference_number),
        ..codes::account(&status).response(&status)
    })
}

/// Returns the rejection that the first call got, which a lookup has found: it counts like a response to that call.
pub(super) fn original_rejection(envelope: &Envelope, key: &str) -> Option<GatewayResponse> {
    let meaning = codes::rejection(200, key).filter(|_| envelope.has_status("SUCCESS"))?;
    Some(meaning.response(key))
}

/// Maps a reply to a validating call that holds no status of the account.
pub(super) fn error_response(reply: &Reply, envelope: &Envelope) -> CallResult {
    let key = envelope.response_key.as_deref().unwrap_or_default();
    // With status 200, only the word FAILURE makes the reply a rejection.
    let meaning = codes::rejection(reply.status, key)
        .filter(|_| reply.status != 200 || envelope.has_status("FAILURE"));
    meaning::error_response(reply, meaning, key)
}

/// Whether Decentro itself says that there is no such call. The reply of a proxy does not count, because a call that Decentro
/// has never seen is sent again.
pub(super) fn is_never_seen(reply: &Reply, envelope: &Envelope) -> bool {
    let key = envelope.response_key.as_deref();
    matches!(reply.status, 200 | 400 | 404)
        && envelope.has_status("FAILURE")
        && key.is_some_and(codes::is_never_seen)
}
