//! What goes over the wire: Setu's field names and types, exactly. A member that may be missing from a
//! request is an `Option` even where Setu wants it, so that its absence is answered, not a parse error.

use serde::{Deserialize, Serialize};

/// The body of `POST /api/verify/ban` and `/api/verify/ban/async`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BankRequest {
    pub(super) ifsc: Option<String>,
    pub(super) account_number: Option<String>,
    /// Read by the async call only, which wants it.
    pub(super) narration: Option<String>,
}

/// The answer of `POST /api/verify/ban/async`.
#[derive(Debug, Serialize)]
pub(super) struct BankReceipt {
    pub(super) id: String,
}

/// The answer of `POST /api/verify/ban` and `GET /api/verify/ban/async/{id}`. A pending one has no code
/// and no message; a failed one has no data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BankAnswer {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<&'static str>,
    pub(super) verification: Verification,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Account>,
    pub(super) trace_id: String,
}

/// `verification` of an answer and of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verification {
    Success,
    Failed,
    Pending,
}

/// What is known of an account that was verified.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) transaction_reference: String,
    /// RFC 3339, in UTC with its offset spelt out: `2017-08-28T09:36:18+00:00`.
    pub(super) verified_at: String,
}

/// The body of `BAV_WEBHOOK_NOTIFICATION`: the answer without its code.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BankNotification {
    pub(super) data: NotifiedBank,
    pub(super) event: &'static str,
    /// RFC 3339 with microseconds, in India's time.
    pub(super) time_stamp: String,
}

#[derive(Debug, Serialize)]
pub(super) struct NotifiedBank {
    pub(super) bav: Bav,
}

#[derive(Debug, Serialize)]
pub(super) struct Bav {
    pub(super) id: String,
    pub(super) verification: Verification,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<&'static str>,
    pub(super) data: NotifiedAccount,
}

/// `data` of a notification: `{}` when the verification failed.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum NotifiedAccount {
    Verified {
        #[serde(flatten)]
        account: Account,
        /// Null in the published sample; nothing says what it is for.
        #[serde(rename = "matchKey")]
        match_key: Option<String>,
    },
    Failed {},
}

/// The body of `POST /v1/users/login` (account service).
#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenRequest {
    #[serde(rename = "clientID")]
    pub(super) client_id: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) grant_type: Option<String>,
}

/// A token.
#[derive(Debug, Serialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: String,
    /// Seconds.
    pub(super) expires_in: u64,
    pub(super) token_type: &'static str,
}

/// The body of `POST /api/v1/merchants/customer-vpas/verify` (UMAP).
///
/// The guide names the caller's reference `merchantReferenceId`, the OpenAPI document `referenceId`:
/// either is taken, and answered under the name it came with.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VpaRequest {
    pub(super) customer_vpa: Option<String>,
    pub(super) merchant_reference_id: Option<String>,
    pub(super) reference_id: Option<String>,
}

/// The answer of both UMAP calls. What is not known is left out.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VpaAnswer {
    /// RFC 3339, in India's time.
    pub(super) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_account_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_name: Option<String>,
    pub(super) customer_vpa: String,
    pub(super) id: String,
    pub(super) merchant_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) merchant_reference_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reference_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Reason>,
    pub(super) status: VpaStatus,
}

/// `status` of a VPA's verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum VpaStatus {
    Pending,
    Valid,
    Invalid,
    Failed,
}

/// Why a VPA's verification failed; those of Setu's members that the sandbox knows.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reason {
    pub(super) code: &'static str,
    pub(super) desc: &'static str,
    pub(super) npci_err_category: &'static str,
    pub(super) npci_err_code: &'static str,
    pub(super) npci_err_desc: &'static str,
    pub(super) npci_resp_code: &'static str,
    pub(super) npci_resp_desc: &'static str,
    pub(super) setu_description: &'static str,
    pub(super) suggested_action: &'static str,
}

/// The body of a UMAP event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VpaNotification {
    pub(super) event_id: String,
    /// RFC 3339, in India's time.
    pub(super) event_ts: String,
    /// `resource` and `status` with a dot between.
    pub(super) event_type: &'static str,
    pub(super) resource: &'static str,
    pub(super) status: VpaStatus,
    pub(super) merchant_id: &'static str,
    /// Under this name whatever the request called it.
    pub(super) merchant_reference_id: Option<String>,
    pub(super) id: String,
    pub(super) customer_vpa: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_account_type: Option<&'static str>,
    pub(super) reason: NotifiedReason,
}

/// `reason` of an event: `{}` unless there is one.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum NotifiedReason {
    Known(Reason),
    None {},
}
