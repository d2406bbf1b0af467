//! Decentro's JSON, version 3, as its public API reference has it. Only fields that are sent or read.

use serde::{Deserialize, Serialize};

use crate::wire::text_or_number;

/// `POST /v3/banking/money_transfer/validate_bank_account`.
#[derive(Serialize)]
pub(super) struct ValidateRequest<'a> {
    pub(super) reference_id: &'a str,
    pub(super) purpose_message: &'a str,
    pub(super) consumer_urn: &'a str,
    /// `penniless`, `pennydrop`, `hybrid`.
    pub(super) validation_type: &'static str,
    pub(super) perform_name_match: bool,
    pub(super) beneficiary_details: Beneficiary<'a>,
}

#[derive(Serialize)]
pub(super) struct Beneficiary<'a> {
    pub(super) account_number: &'a str,
    pub(super) ifsc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
}

/// Members that all replies and all errors have.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope {
    /// Decentro's id of this call; in the reply to a lookup, of the lookup.
    pub(super) decentro_txn_id: Option<String>,
    pub(super) api_status: Option<String>,
    pub(super) response_key: Option<String>,
}

impl Envelope {
    /// Whether the call has this status: `SUCCESS`, `FAILURE` or `PENDING`.
    pub(super) fn has_status(&self, word: &str) -> bool {
        let status = self.api_status.as_deref();
        status.is_some_and(|status| status.eq_ignore_ascii_case(word))
    }
}

/// The call that a lookup has found. Decentro's page lists these members beside the envelope's, and says that the details
/// of the request are in `data`: they are read in both places.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct FoundCall {
    request_decentro_txn_id: Option<String>,
    request_response_key: Option<String>,
    data: Option<Box<FoundCall>>,
}

impl FoundCall {
    /// Returns Decentro's id of the call.
    pub(super) fn txn_id(&self) -> Option<&str> {
        self.member(|call| &call.request_decentro_txn_id)
    }

    /// Returns the `response_key` of the reply to the call.
    pub(super) fn response_key(&self) -> Option<&str> {
        self.member(|call| &call.request_response_key)
    }

    fn member(&self, member: fn(&Self) -> &Option<String>) -> Option<&str> {
        let data = self.data.as_deref();
        [Some(self), data]
            .into_iter()
            .flatten()
            .filter_map(|call| member(call).as_deref())
            .find(|text| !text.is_empty())
    }
}

/// Data about the account. Read apart from the envelope, so that `data` of another form does not hide the key of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountReply {
    pub(super) data: Option<AccountData>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountData {
    pub(super) account_status: Option<String>,
    pub(super) beneficiary_name: Option<String>,
    /// Seen in replies; not in the reference.
    #[serde(deserialize_with = "text_or_number")]
    pub(super) bank_reference_number: Option<String>,
}
