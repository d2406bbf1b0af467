//! Decentro's JSON, version 3, as its public API reference has it. Only what is sent or read.

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

/// What stands around every answer and every error.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Envelope {
    /// Of this call: of a look, where a look was made.
    pub(super) decentro_txn_id: Option<String>,
    pub(super) api_status: Option<String>,
    pub(super) response_key: Option<String>,
}

impl Envelope {
    /// Whether this is how the call went: `SUCCESS`, `FAILURE`, `PENDING`.
    pub(super) fn went(&self, word: &str) -> bool {
        self.api_status
            .as_deref()
            .is_some_and(|status| status.eq_ignore_ascii_case(word))
    }
}

/// What a look tells of the call that it found. Decentro's page lists these members beside the envelope's, and says that
/// the details of the request are in `data`: they are read in either place.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct LookedFor {
    request_decentro_txn_id: Option<String>,
    request_response_key: Option<String>,
    data: Option<Box<LookedFor>>,
}

impl LookedFor {
    /// Decentro's id of that call.
    pub(super) fn txn_id(&self) -> Option<&str> {
        self.told(|at| &at.request_decentro_txn_id)
    }

    /// The `response_key` that it was answered with.
    pub(super) fn response_key(&self) -> Option<&str> {
        self.told(|at| &at.request_response_key)
    }

    fn told(&self, member: fn(&Self) -> &Option<String>) -> Option<&str> {
        let data = self.data.as_deref();
        [Some(self), data]
            .into_iter()
            .flatten()
            .filter_map(|place| member(place).as_deref())
            .find(|text| !text.is_empty())
    }
}

/// What is told of the account. Read apart from the envelope: whatever stands in `data` of an error, its key is known.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    pub(super) data: Option<Data>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Data {
    pub(super) account_status: Option<String>,
    pub(super) beneficiary_name: Option<String>,
    /// Seen in use; not in the reference.
    #[serde(deserialize_with = "text_or_number")]
    pub(super) bank_reference_number: Option<String>,
}
