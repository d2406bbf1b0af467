//! What goes over the wire: PayU's field names and types. Requests are forms; a field that may be
//! missing is an `Option` even where PayU wants it, so that its absence is answered, not a parse error.

use serde::{Deserialize, Serialize};

/// The form of `POST /oauth/token`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenRequest {
    pub(super) grant_type: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) scope: Option<String>,
}

/// A token.
#[derive(Debug, Serialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: String,
    pub(super) token_type: &'static str,
    /// Seconds.
    pub(super) expires_in: u64,
    pub(super) scope: &'static str,
    /// Seconds since 1970 in the published samples, although the page says milliseconds.
    pub(super) created_at: i64,
}

/// The form of `POST /payout/payment/verifyAccount`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountRequest {
    pub(super) account_number: Option<String>,
    pub(super) ifsc_code: Option<String>,
    pub(super) merchant_ref_id: Option<String>,
    pub(super) validate_ifsc: Option<String>,
    pub(super) bene_name: Option<String>,
    pub(super) name_matching: Option<String>,
    pub(super) purpose: Option<String>,
}

/// Every answer of the payout API: `status` 0 with data, or 1 with a code and a message.
#[derive(Debug, Serialize)]
pub(super) struct PayoutAnswer {
    pub(super) status: u8,
    pub(super) msg: Option<&'static str>,
    pub(super) code: Option<u32>,
    pub(super) data: Option<AccountData>,
}

/// What is known of the account.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountData {
    /// YES, No or VERIFICATION_PENDING, in PayU's own mixture of cases.
    pub(super) account_exists: &'static str,
    /// The name sent while the verification is pending, the bank's afterwards, "" if there is none.
    pub(super) beneficiary_name: String,
    /// Not there when the account does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name_match: Option<NameMatch>,
    /// "Success" whatever the outcome.
    pub(super) status: &'static str,
    pub(super) error: &'static str,
}

/// `nameMatch`: 0 to 100, or null.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum NameMatch {
    Score(f64),
    /// Not asked for, not yet known, or no name to match.
    Unknown,
}

/// The form of `POST /merchant/postservice.php?form=2`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ServiceRequest {
    pub(super) key: Option<String>,
    pub(super) command: Option<String>,
    pub(super) var1: Option<String>,
    pub(super) hash: Option<String>,
}

/// The answer of the command validateVPA.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VpaAnswer {
    /// "SUCCESS" whatever the outcome.
    pub(super) status: &'static str,
    pub(super) vpa: String,
    #[serde(rename = "isVPAValid")]
    pub(super) is_vpa_valid: u8,
    /// The two about recurring payments are told of a valid VPA only.
    #[serde(rename = "isAutoPayVPAValid", skip_serializing_if = "Option::is_none")]
    pub(super) is_auto_pay_vpa_valid: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_auto_pay_bank_valid: Option<&'static str>,
    /// May be "" or "NA" for a valid VPA too: the bank tells no name.
    pub(super) payer_account_name: String,
}

/// A command that is refused.
#[derive(Debug, Serialize)]
pub(super) struct ServiceRefusal {
    pub(super) status: u8,
    pub(super) msg: &'static str,
}

/// A token that is refused (RFC 6749, section 5.2).
#[derive(Debug, Serialize)]
pub(super) struct OauthError {
    pub(super) error: &'static str,
    pub(super) error_description: &'static str,
}
