//! Parts of Setu's replies that bank calls and UMAP share, as its public OpenAPI documents and pages have them
//! (github.com/SetuHQ/docs, MIT).

use khata_domain::validation::CallResult;
use khata_domain::{AccountType, Class, GatewayResponse};
use serde_json::Value;

use super::codes;
use crate::connector::Check;
use crate::http::Reply;
use crate::meaning::{self, Meaning, lost};
use crate::name::is_plain;
use crate::wire::text;

/// Whether this can be an id of Setu's (UUID, ULID) or of ours, which becomes part of a path.
pub(super) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && is_plain(id, b"-_")
}

/// Returns an id in a reply or a webhook, if there is one.
pub(super) fn id(value: &Value) -> Option<String> {
    let id = value.as_str().filter(|id| is_id(id))?;
    Some(id.to_owned())
}

/// Checks that a pending response can be looked up.
pub(super) fn require_id(response: GatewayResponse) -> CallResult {
    if response.class == Class::Pending && response.gateway_reference.is_none() {
        return Err(lost("pending without an id"));
    }
    Ok(response)
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

/// Returns the code of an error in Setu's own words (`internal_server_error`, `bad-request` and the like); empty if there is
/// none. Bank calls wrap the code, UMAP does not.
pub(super) fn error_code(reply: &Reply) -> String {
    let body = reply.value();
    let code = text(&body["error"]["code"]).or_else(|| text(&body["code"]));
    code.unwrap_or_default()
}

/// Maps a reply or a webhook of UMAP about an address.
pub(super) fn vpa_response(reply: &Value) -> CallResult {
    let status = reply["status"].as_str().filter(|status| !status.is_empty());
    let status = status.ok_or_else(|| lost("response without a status"))?;
    let account_type = reply["customerAccountType"].as_str();
    Ok(GatewayResponse {
        name_at_bank: text(&reply["customerName"]),
        account_type: account_type.and_then(AccountType::from_gateway),
        gateway_reference: id(&reply["id"]),
        ..codes::vpa(status).response(status)
    })
}
