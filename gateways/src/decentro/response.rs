//! Decentro's replies, version 3, as its public API reference has them, mapped to Khata's words.

use khata_domain::GatewayResponse;
use khata_domain::validation::CallResult;
use serde_json::Value;

use super::codes;
use crate::http::Reply;
use crate::meaning;
use crate::wire::text;

/// A reply or an error. Members of another form than documented are left out, so that none of them hides the others.
pub(super) struct Envelope {
    pub(super) reply: Reply,
    body: Value,
}

impl Envelope {
    pub(super) fn of(reply: Reply) -> Self {
        let body = reply.value();
        Self { reply, body }
    }

    /// Returns Decentro's id of this call; in the reply to a lookup, of the lookup.
    pub(super) fn txn_id(&self) -> Option<String> {
        text(&self.body["decentro_txn_id"])
    }

    /// Returns the key of the case; empty if there is none.
    pub(super) fn response_key(&self) -> &str {
        self.body["response_key"].as_str().unwrap_or_default()
    }

    /// Whether the call has this status: `SUCCESS`, `FAILURE` or `PENDING`.
    fn has_status(&self, word: &str) -> bool {
        let status = self.body["api_status"].as_str();
        status.is_some_and(|status| status.eq_ignore_ascii_case(word))
    }

    /// Returns a member of the call that a lookup has found. Decentro's page lists these members beside the envelope's, and
    /// says that the details of the request are in `data`: they are read in both places.
    pub(super) fn of_found_call(&self, member: &str) -> Option<String> {
        text(&self.body[member]).or_else(|| text(&self.body["data"][member]))
    }

    /// Returns the status of the account, which does not depend on the status of the call; `None` if the reply holds none.
    pub(super) fn account_response(&self) -> Option<GatewayResponse> {
        let data = &self.body["data"];
        let status = data["account_status"].as_str();
        let pending = self.has_status("PENDING").then_some("PENDING");
        let status = status.filter(|status| !status.is_empty()).or(pending)?;
        Some(GatewayResponse {
            name_at_bank: text(&data["beneficiary_name"]),
            // Seen in replies; not in the reference.
            utr: text(&data["bank_reference_number"]),
            ..codes::account(status).response(status)
        })
    }

    /// Returns the rejection that the first call got, which a lookup has found: it counts like a response to that call.
    pub(super) fn original_rejection(&self) -> Option<GatewayResponse> {
        let key = self.of_found_call("request_response_key")?;
        let meaning = codes::rejection(200, &key).filter(|_| self.has_status("SUCCESS"))?;
        Some(meaning.response(&key))
    }

    /// Maps a reply to a validating call that holds no status of the account.
    pub(super) fn error_response(&self) -> CallResult {
        // With status 200, only the word FAILURE makes the reply a rejection.
        let meaning = codes::rejection(self.reply.status, self.response_key())
            .filter(|_| self.reply.status != 200 || self.has_status("FAILURE"));
        meaning::error_response(&self.reply, meaning, self.response_key())
    }

    /// Whether Decentro itself says that there is no such call. The reply of a proxy does not count, because a call that
    /// Decentro has never seen is sent again.
    pub(super) fn is_never_seen(&self) -> bool {
        matches!(self.reply.status, 200 | 400 | 404)
            && self.has_status("FAILURE")
            && codes::is_never_seen(self.response_key())
    }
}
