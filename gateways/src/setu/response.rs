//! Parts of Setu's replies that bank calls and UMAP share, as its public OpenAPI documents and pages have them
//! (github.com/SetuHQ/docs, MIT).

use khata_domain::validation::CallResult;
use khata_domain::{AccountType, CallFailure, Class, GatewayResponse};

use super::codes;
use crate::body::{Body, Fields};
use crate::connector::Check;
use crate::http::Reply;
use crate::meaning::{self, Meaning, conclude, meaning_of};
use crate::name::is_plain;

/// Whether this can be an id of Setu's (UUID, ULID) or of ours, which becomes part of a path.
pub(super) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && is_plain(id, b"-_")
}

/// Returns an id in a reply or a webhook, if there is one.
pub(super) fn id(fields: &Fields<'_>, name: &'static str) -> Option<String> {
    fields.id(name).filter(|id| is_id(id))
}

/// Checks that a pending response can be looked up.
pub(super) fn require_id(body: &Body, response: GatewayResponse) -> CallResult {
    if response.class == Class::Pending && response.gateway_reference.is_none() {
        return Err(body.lost("pending without an id"));
    }
    Ok(response)
}

/// Maps an error reply to a validating call. The code is Setu's own, or the HTTP status.
pub(super) fn error_response(reply: &Reply, meaning: Option<Meaning>) -> CallResult {
    let body = reply.error_body();
    meaning::error_response(reply, &body, meaning, &error_code(&body))
}

/// Whether Setu itself says that there is no such id. Its reply is not documented: a 404 in its own words.
fn is_unknown_id(reply: &Reply, code: &str) -> bool {
    reply.status == 404 && !code.is_empty()
}

/// Maps the reply to a lookup of an id that does not exist: that Setu says so proves that it knows us, any other reply proves
/// nothing.
pub(super) fn check(reply: &Reply) -> Check {
    let own_code = error_code(&reply.error_body());
    let code = reply.code_or_status(&own_code);
    match reply.status {
        _ if is_unknown_id(reply, &own_code) => Check::Accepted(code),
        401 | 403 => Check::Refused(code),
        _ => Check::Unclear(code),
    }
}

/// Returns the failure of a lookup by Setu's id. "No such id" never means "never seen", because Setu gave us that id.
pub(super) fn lookup_failure(reply: &Reply) -> CallFailure {
    let body = reply.error_body();
    if is_unknown_id(reply, &error_code(&body)) {
        return body.unclear("Setu does not know its own id");
    }
    reply.lookup_failure()
}

/// Returns the code of an error in Setu's own words (`internal_server_error`, `bad-request` and the like); empty if there is
/// none. Bank calls wrap the code, UMAP does not.
pub(super) fn error_code(body: &Body) -> String {
    let fields = body.fields();
    let code = fields.object("error").scalar("code");
    let code = match code.as_str() {
        "" => fields.scalar("code"),
        _ => code,
    };
    code.as_str().to_owned()
}

/// Maps a reply or a webhook of UMAP about an address.
pub(super) fn vpa_response(body: &Body) -> CallResult {
    let fields = body.fields();
    let status = fields.word("status");
    let meaning = meaning_of(&status, codes::vpa);
    let outcome = conclude(body, meaning, status.as_str(), "response without a status")?;
    let account_type = fields.text("customerAccountType");
    let response = GatewayResponse {
        name_at_bank: fields.text("customerName"),
        account_type: account_type.and_then(|word| AccountType::from_gateway(&word)),
        gateway_reference: id(&fields, "id"),
        ..outcome
    };
    Ok(body.noted(response))
}
