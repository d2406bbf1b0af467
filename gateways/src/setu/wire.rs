//! Setu's JSON, as its public OpenAPI documents and pages have it (github.com/SetuHQ/docs, MIT). Only fields that are sent
//! or read.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::wire::text_or_number;

/// `POST /api/verify/ban` and `/api/verify/ban/async`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BankRequest<'a> {
    pub(super) ifsc: &'a str,
    pub(super) account_number: &'a str,
    /// Async only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) narration: Option<&'a str>,
}

/// Replies to all bank calls; the acceptance of an asynchronous call holds only `id`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct BankReply {
    pub(super) id: Option<String>,
    pub(super) code: Option<String>,
    pub(super) verification: Option<String>,
    pub(super) data: Option<BankData>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct BankData {
    pub(super) name: Option<String>,
    #[serde(deserialize_with = "text_or_number")]
    pub(super) transaction_reference: Option<String>,
}

/// `POST /api/v1/merchants/customer-vpas/verify` (UMAP).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VpaRequest<'a> {
    pub(super) customer_vpa: &'a str,
    /// 1–255 characters. The name in the guide and in webhooks; the OpenAPI document calls it `referenceId`.
    pub(super) merchant_reference_id: &'a str,
}

/// Replies to both UMAP calls.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VpaReply {
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) customer_name: Option<String>,
    /// A text. Read without a type, because an unexpected form must not cost the outcome.
    pub(super) customer_account_type: serde_json::Value,
}

/// `POST /v1/users/login` of Setu's account service.
#[derive(Serialize)]
pub(super) struct LoginRequest<'a> {
    #[serde(rename = "clientID")]
    pub(super) client_id: &'a str,
    pub(super) secret: &'a str,
    pub(super) grant_type: &'static str,
}

/// Reply to the login; the token is valid for 300 s.
#[derive(Deserialize)]
pub(super) struct LoginReply {
    pub(super) access_token: Zeroizing<String>,
}

/// Every error body: bank calls wrap the code, UMAP does not.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorReply {
    error: ErrorBody,
    code: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    code: String,
}

impl ErrorReply {
    /// Returns `internal_server_error`, `upstream_service_error`, `bad-request` and the like; empty if there is none.
    pub(super) fn into_code(self) -> String {
        if self.error.code.is_empty() {
            self.code
        } else {
            self.error.code
        }
    }
}

/// Both kinds of webhook: of a bank account's verification (`BAV_WEBHOOK_NOTIFICATION`), and UMAP's events, not all of
/// them about VPAs.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WebhookBody {
    pub(super) event: String,
    pub(super) data: Option<EventData>,
    /// UMAP's, like all members below.
    pub(super) event_type: String,
    pub(super) event_ts: String,
    pub(super) merchant_id: String,
    pub(super) merchant_reference_id: Option<String>,
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) customer_name: Option<String>,
    pub(super) customer_account_type: serde_json::Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct EventData {
    pub(super) bav: BankEvent,
}

/// Holds the outcome without its code, and unsigned: only the id is read.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct BankEvent {
    pub(super) id: Option<String>,
}
