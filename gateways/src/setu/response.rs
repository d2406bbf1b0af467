//! Parts of Setu's replies that bank calls and UMAP share.

use khata_domain::validation::CallResult;
use khata_domain::{AccountType, CallFailure, GatewayResponse};

use super::codes;
use super::wire::{ErrorReply, VpaReply};
use crate::connector::Check;
use crate::http::Reply;
use crate::meaning::{self, Meaning};
use crate::name::trimmed;

/// Whether this can be an id of Setu's (UUID, ULID) or of ours, which becomes part of a path.
pub(super) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Maps an error reply to a validating call. The code is Setu's own, or the HTTP status.
pub(super) fn error_response(reply: &Reply, meaning: Option<Meaning>) -> CallResult {
    meaning::error_response(reply, meaning, &error_code(reply))
}

/// Maps the reply to a lookup of an id that does not exist. Setu's reply is not documented: a 404 in its own words proves
/// that it knows us, any other reply proves nothing.
pub(super) fn check(reply: &Reply) -> Check {
    let code = error_code(reply);
    let is_setus = !code.is_empty();
    let code = reply.code_or_status(&code);
    match reply.status {
        404 if is_setus => Check::Accepted(code),
        401 | 403 => Check::Refused(code),
        _ => Check::Unclear(code),
    }
}

/// Returns the code of an error in Setu's own words; empty if there is none.
pub(super) fn error_code(reply: &Reply) -> String {
    reply.json::<ErrorReply>().unwrap_or_default().into_code()
}

pub(super) fn lost(reason: &str) -> CallFailure {
    CallFailure::ResponseLost(reason.into())
}

/// Maps a reply or a webhook of UMAP about an address.
pub(super) fn vpa_response(reply: VpaReply) -> CallResult {
    let status = reply.status.filter(|status| !status.is_empty());
    let status = status.ok_or_else(|| lost("response without a status"))?;
    Ok(GatewayResponse {
        name_at_bank: trimmed(reply.customer_name),
        account_type: reply
            .customer_account_type
            .as_str()
            .and_then(AccountType::from_gateway),
        gateway_reference: reply.id.filter(|id| is_id(id)),
        ..codes::vpa(&status).response(&status)
    })
}
