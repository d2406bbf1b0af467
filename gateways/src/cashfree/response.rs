//! Cashfree's replies, as its public API reference has them, mapped to Khata's words.

use khata_domain::GatewayResponse;
use khata_domain::validation::CallResult;
use serde::Deserialize;

use super::codes;
use crate::http::Reply;
use crate::meaning::{self, Meaning, lost};
use crate::name::{score, trimmed};
use crate::wire::text_or_number;

/// Replies to all calls, and `data` of the webhooks.
#[derive(Deserialize)]
pub(super) struct Validation {
    /// Ours, in the asynchronous bank flow.
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) user_id: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    reference_id: Option<String>,
    /// The status of a bank account.
    account_status: Option<String>,
    account_status_code: Option<String>,
    /// The status of a UPI address.
    status: Option<String>,
    name_at_bank: Option<String>,
    utr: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    name_match_score: Option<String>,
}

pub(super) fn bank_response(validation: &Validation) -> CallResult {
    let status = validation.account_status.as_deref().unwrap_or_default();
    let code = validation.account_status_code.as_deref();
    let code = code.unwrap_or_default();
    let word = if code.is_empty() { status } else { code };
    response(validation, codes::bank(status, code), word)
}

pub(super) fn upi_response(validation: &Validation) -> CallResult {
    let status = validation.status.as_deref().unwrap_or_default();
    response(validation, codes::upi(status), status)
}

fn response(validation: &Validation, meaning: Meaning, word: &str) -> CallResult {
    if word.is_empty() {
        return Err(lost("response without a status"));
    }
    Ok(GatewayResponse {
        name_at_bank: trimmed(validation.name_at_bank.as_deref()),
        utr: trimmed(validation.utr.as_deref()),
        gateway_reference: validation.reference_id.clone(),
        name_match_score: score(validation.name_match_score.as_deref()),
        ..meaning.response(word)
    })
}

/// Returns the code of an error reply; empty if there is none.
pub(super) fn error_code(reply: &Reply) -> String {
    let body = reply.value();
    body["code"].as_str().unwrap_or_default().to_owned()
}

/// Whether Cashfree itself says that it knows no such call (`user_id_not_found` and the like). The reply of a proxy does not
/// count, because a call that Cashfree has never seen is sent again.
pub(super) fn is_not_found(reply: &Reply) -> bool {
    error_code(reply).ends_with("_not_found")
}

/// Maps an error reply to a validating call.
pub(super) fn error_response(reply: &Reply) -> CallResult {
    let code = error_code(reply);
    meaning::error_response(reply, codes::error(reply.status, &code), &code)
}

#[cfg(test)]
mod tests {
    use khata_domain::Class;

    use super::*;

    #[test]
    fn ids_and_scores_are_read_as_text_or_number() {
        let reply: Validation = serde_json::from_str(
            r#"{"reference_id":34,"name_match_score":"90.00","account_status":"VALID","account_status_code":"ACCOUNT_IS_VALID","name_at_bank":"JOHN DOE"}"#,
        )
        .unwrap();
        let response = bank_response(&reply).unwrap();
        assert_eq!(
            (
                response.class,
                response.gateway_reference.as_deref(),
                response.name_match_score
            ),
            (Class::Valid, Some("34"), Some(90))
        );
        let reply: Validation =
            serde_json::from_str(r#"{"reference_id":"34","name_match_score":null}"#).unwrap();
        assert!(bank_response(&reply).is_err());
    }
}
