//! What goes over the wire: Decentro's field names and types. The request is documented; the answer's
//! `data` is as integrators read it, except what is marked as ours. A member that may be missing from a
//! request is an `Option` even where Decentro wants it, so that its absence is answered, not a parse
//! error.

use serde::{Deserialize, Serialize};

/// The body of `POST /v3/banking/money_transfer/validate_bank_account`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct BankRequest {
    pub(super) reference_id: Option<String>,
    pub(super) purpose_message: Option<String>,
    pub(super) consumer_urn: Option<String>,
    pub(super) validation_type: Option<String>,
    pub(super) perform_name_match: Option<bool>,
    pub(super) beneficiary_details: Option<BeneficiaryDetails>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct BeneficiaryDetails {
    pub(super) account_number: Option<String>,
    pub(super) ifsc: Option<String>,
    pub(super) name: Option<String>,
}

/// The query of `GET /v3/banking/account_validation/status`: one of the two.
#[derive(Debug, Deserialize)]
pub(super) struct StatusQuery {
    pub(super) decentro_txn_id: Option<String>,
    pub(super) reference_id: Option<String>,
}

/// How an account is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValidationType {
    Penniless,
    Pennydrop,
    /// Penniless, and a penny drop where that tells nothing.
    Hybrid,
}

/// Every answer, also of a call that is refused, which has no data.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// Of this call.
    pub(super) decentro_txn_id: String,
    pub(super) api_status: ApiStatus,
    pub(super) response_key: &'static str,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<AccountData>,
}

/// `api_status`: how the call went, not how the account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum ApiStatus {
    Success,
    Failure,
    Pending,
}

/// What is known of the account.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AccountData {
    /// What decides: VALID, INVALID, NRE or INCONCLUSIVE, and PENDING before that.
    pub(super) account_status: &'static str,
    pub(super) beneficiary_name: Option<String>,
    pub(super) validation_message: &'static str,
    /// The bank's reference of the credit; only where there was one. Ours, under the name it has in the
    /// answers of transfers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bank_reference_number: Option<String>,
    /// Where a name match was asked for and the account has a name.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) name_match: Option<NameMatch>,
    /// Told by the status call: the call that asked for the validation.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Original>,
}

/// Whether the name sent is the name at the bank. Both members are as integrators read them.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct NameMatch {
    /// 0 to 100.
    pub(super) name_match_score: f64,
    pub(super) name_match_result: bool,
}

/// The call that asked for a validation, as the status call names it. That these stand within `data` is
/// inferred, and the reference is ours.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Original {
    #[serde(rename = "request_decentro_txn_id")]
    pub(super) txn_id: String,
    #[serde(rename = "request_reference_id")]
    pub(super) reference_id: String,
    #[serde(rename = "request_response_key")]
    pub(super) response_key: &'static str,
}
