//! Decentro's replies, version 3, as its public API reference has them, mapped to Khata's words.

use khata_domain::validation::CallResult;
use khata_domain::{CallFailure, Class, GatewayResponse};

use super::codes;
use crate::body::{Body, Word};
use crate::http::Reply;
use crate::meaning::{self, Meaning, conclude, meaning_of};

/// A reply or an error.
pub(super) struct Envelope {
    pub(super) reply: Reply,
    body: Body,
}

impl Envelope {
    pub(super) fn of(reply: Reply) -> Self {
        let body = reply.error_body();
        Self { reply, body }
    }

    /// Returns Decentro's id of this call; in the reply to a lookup, of the lookup.
    pub(super) fn txn_id(&self) -> Option<String> {
        self.body.fields().id("decentro_txn_id")
    }

    /// Returns the key of the case; empty if there is none.
    pub(super) fn response_key(&self) -> String {
        let key = self.body.fields().word("response_key");
        key.as_str().to_owned()
    }

    /// Whether the call has this status: `SUCCESS`, `FAILURE` or `PENDING`.
    fn has_status(&self, word: &str) -> bool {
        let status = self.body.fields().word("api_status");
        status.as_str().eq_ignore_ascii_case(word)
    }

    /// Returns a field of the call that a lookup has found. Decentro's page lists these fields beside the envelope's, and
    /// says that the details of the request are in `data`: they are read in both places.
    pub(super) fn of_found_call(&self, name: &'static str) -> Option<String> {
        let fields = self.body.fields();
        let outer = fields.id(name);
        outer.or_else(|| fields.object("data").id(name))
    }

    /// Returns the status of the account, which does not depend on the status of the call; `None` if the reply holds none.
    pub(super) fn account_response(&self) -> Option<CallResult> {
        let data = self.body.fields().object("data");
        let status = data.word("account_status");
        let (meaning, word) = match meaning_of(&status, codes::account) {
            Some(meaning) => (meaning, status.as_str()),
            None if self.has_status("PENDING") => (Meaning::of(Class::Pending), "PENDING"),
            None if status == Word::Unreadable => {
                return Some(Err(self.body.unclear("response without a readable status")));
            }
            None => return None,
        };
        let outcome = match conclude(&self.body, Some(meaning), word, "") {
            Ok(outcome) => outcome,
            Err(failure) => return Some(Err(failure)),
        };
        let response = GatewayResponse {
            name_at_bank: data.text("beneficiary_name"),
            // Seen in replies; not in the reference.
            utr: data.id("bank_reference_number"),
            ..outcome
        };
        Some(Ok(self.body.noted(response)))
    }

    /// Returns the rejection that the first call got, which a lookup has found: it counts like a response to that call.
    pub(super) fn original_rejection(&self) -> Option<GatewayResponse> {
        let key = self.of_found_call("request_response_key")?;
        let meaning = codes::rejection(200, &key).filter(|_| self.has_status("SUCCESS"))?;
        Some(self.body.noted(meaning.response(&key)))
    }

    /// Maps a reply to a validating call that holds no status of the account.
    pub(super) fn error_response(&self) -> CallResult {
        // With status 200, only the word FAILURE makes the reply a rejection.
        let key = self.response_key();
        let meaning = codes::rejection(self.reply.status, &key)
            .filter(|_| self.reply.status != 200 || self.has_status("FAILURE"));
        meaning::error_response(&self.reply, &self.body, meaning, &key)
    }

    /// Whether Decentro itself says that there is no such call. The reply of a proxy does not count, because a call that
    /// Decentro has never seen is sent again.
    pub(super) fn is_never_seen(&self) -> bool {
        matches!(self.reply.status, 200 | 400 | 404)
            && self.has_status("FAILURE")
            && codes::is_never_seen(&self.response_key())
    }

    /// Returns the failure of a lookup whose reply holds nothing about the call.
    pub(super) fn lookup_failure(&self) -> CallFailure {
        match self.reply.status {
            200 if self.has_status("SUCCESS") => {
                let without = "lookup without a status of the account";
                self.body.unclear(without)
            }
            200 => self.body.lost("lookup failed"),
            _ => self.reply.lookup_failure(),
        }
    }
}
