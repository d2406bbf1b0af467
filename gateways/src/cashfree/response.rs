//! Cashfree's replies, as its public API reference has them, mapped to Khata's words.

use khata_domain::gateway::LostResponse;
use khata_domain::validation::CallResult;
use khata_domain::{CallFailure, Class, GatewayResponse};

use super::codes;
use crate::body::{Body, Fields};
use crate::http::Reply;
use crate::meaning::{self, Words, conclude, meaning_of};

/// Why a reply without an outcome is lost.
const NO_STATUS: &str = "response without a status";
/// Code that Khata records for a synchronous call whose reply must be looked up.
const UNREADABLE: &str = "unreadable";

/// Maps a reply about a bank account, or the `data` of a webhook.
pub(super) fn bank_response(body: &Body, validation: &Fields<'_>) -> CallResult {
    let status = validation.word("account_status");
    let code = validation.word("account_status_code");
    let words = Words {
        status: ("account_status", &status),
        code: ("account_status_code", &code),
    };
    let meaning = words.meaning(body, codes::bank_status, codes::bank_code);
    let outcome = conclude(body, meaning, words.recorded(), NO_STATUS)?;
    Ok(described(body, validation, outcome))
}

/// Maps the reply to a synchronous call. An outcome that cannot be read beside an id is looked up.
pub(super) fn sync_response(body: &Body) -> CallResult {
    let fields = body.fields();
    match bank_response(body, &fields) {
        Err(CallFailure::ResponseLost(_)) if let Some(id) = fields.id("reference_id") => Ok(body
            .noted(GatewayResponse {
                gateway_reference: Some(id),
                ..GatewayResponse::of(Class::Pending, UNREADABLE)
            })),
        result => result,
    }
}

/// Checks that a pending synchronous call can be looked up: Cashfree knows it only by its own id.
pub(super) fn require_id(response: GatewayResponse) -> CallResult {
    if response.class == Class::Pending && response.gateway_reference.is_none() {
        return Err(CallFailure::ResponseLost(LostResponse {
            not_understood: response.not_understood,
            ..LostResponse::from("pending without an id")
        }));
    }
    Ok(response)
}

pub(super) fn upi_response(body: &Body) -> CallResult {
    let validation = body.fields();
    let status = validation.word("status");
    let meaning = meaning_of(&status, codes::upi);
    let outcome = conclude(body, meaning, status.as_str(), NO_STATUS)?;
    Ok(described(body, &validation, outcome))
}

/// Adds to an outcome what the reply says beside it.
fn described(body: &Body, validation: &Fields<'_>, outcome: GatewayResponse) -> GatewayResponse {
    let response = GatewayResponse {
        name_at_bank: validation.text("name_at_bank"),
        utr: validation.id("utr"),
        gateway_reference: validation.id("reference_id"),
        name_match_score: validation.score("name_match_score"),
        ..outcome
    };
    body.noted(response)
}

/// Returns the code of an error reply; empty if there is none.
pub(super) fn error_code(body: &Body) -> String {
    body.fields().scalar("code").as_str().to_owned()
}

/// Whether Cashfree itself says that it knows no such call (`user_id_not_found` and the like). The reply of a proxy does not
/// count, because a call that Cashfree has never seen is sent again.
pub(super) fn is_not_found(reply: &Reply) -> bool {
    error_code(&reply.error_body()).ends_with("_not_found")
}

/// Maps an error reply to a validating call.
pub(super) fn error_response(reply: &Reply) -> CallResult {
    let body = reply.error_body();
    let code = error_code(&body);
    meaning::error_response(reply, &body, codes::error(reply.status, &code), &code)
}
