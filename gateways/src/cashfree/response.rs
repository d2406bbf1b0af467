//! Cashfree's replies, mapped to Khata's words.

use khata_domain::validation::CallResult;
use khata_domain::{CallFailure, GatewayResponse};

use super::codes;
use super::wire::{BankReply, ErrorReply, UpiReply};
use crate::http::Reply;
use crate::meaning;
use crate::name::{score, trimmed};

pub(super) fn bank_response(reply: BankReply) -> CallResult {
    let status = reply.account_status.unwrap_or_default();
    let code = reply.account_status_code.unwrap_or_default();
    if status.is_empty() && code.is_empty() {
        return Err(no_status());
    }
    let meaning = codes::bank(&status, &code);
    Ok(GatewayResponse {
        name_at_bank: trimmed(reply.name_at_bank),
        utr: trimmed(reply.utr),
        gateway_reference: reply.reference_id,
        name_match_score: score(reply.name_match_score.as_deref()),
        ..meaning.response(if code.is_empty() { &status } else { &code })
    })
}

pub(super) fn upi_response(reply: UpiReply) -> CallResult {
    let status = reply.status.filter(|status| !status.is_empty());
    let status = status.ok_or_else(no_status)?;
    Ok(GatewayResponse {
        name_at_bank: trimmed(reply.name_at_bank),
        utr: trimmed(reply.utr),
        gateway_reference: reply.reference_id,
        name_match_score: score(reply.name_match_score.as_deref()),
        ..codes::upi(&status).response(&status)
    })
}

fn no_status() -> CallFailure {
    CallFailure::ResponseLost("response without a status".into())
}

/// Whether Cashfree itself says that it knows no such call (`user_id_not_found` and the like). The reply of a proxy does not
/// count, because a call that Cashfree has never seen is sent again.
pub(super) fn is_not_found(reply: &Reply) -> bool {
    reply
        .json::<ErrorReply>()
        .is_ok_and(|error| error.code.ends_with("_not_found"))
}

/// Maps an error reply to a validating call.
pub(super) fn error_response(reply: &Reply) -> CallResult {
    let code = reply.json::<ErrorReply>().unwrap_or_default().code;
    meaning::error_response(reply, codes::error(reply.status, &code), &code)
}

#[cfg(test)]
mod tests {
    use khata_domain::Class;

    use super::*;

    #[test]
    fn ids_and_scores_are_read_as_text_or_number() {
        let reply: BankReply = serde_json::from_str(
            r#"{"reference_id":34,"name_match_score":"90.00","account_status":"VALID","account_status_code":"ACCOUNT_IS_VALID","name_at_bank":"JOHN DOE"}"#,
        )
        .unwrap();
        let response = bank_response(reply).unwrap();
        assert_eq!(
            (
                response.class,
                response.gateway_reference.as_deref(),
                response.name_match_score
            ),
            (Class::Valid, Some("34"), Some(90))
        );
        let reply: BankReply =
            serde_json::from_str(r#"{"reference_id":"34","name_match_score":null}"#).unwrap();
        assert!(bank_response(reply).is_err());
    }
}
