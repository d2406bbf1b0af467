//! Razorpay's JSON, as its public API reference has it (*Composite account validation*, *Account validation*, *Validate
//! VPA*). Only fields that are sent or read.

use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::text_or_number;

/// `POST /v1/fund_accounts/validations`, composite: contact, fund account and validation in one call. A repeated call must
/// be the same bytes: nothing in the body depends on the time.
#[derive(Serialize)]
pub(super) struct ValidationRequest<'a> {
    /// The merchant's own account at RazorpayX, which pays.
    pub(super) source_account_number: &'a str,
    /// `pennydrop` or `penniless`.
    pub(super) validation_type: &'static str,
    /// At most 40 characters.
    pub(super) reference_id: &'a str,
    pub(super) fund_account: FundAccount<'a>,
}

#[derive(Serialize)]
pub(super) struct FundAccount<'a> {
    #[serde(flatten)]
    pub(super) account: Account<'a>,
    pub(super) contact: Contact<'a>,
}

#[derive(Serialize)]
#[serde(tag = "account_type", rename_all = "snake_case")]
pub(super) enum Account<'a> {
    BankAccount { bank_account: BankAccount<'a> },
    Vpa { vpa: Address<'a> },
}

#[derive(Serialize)]
pub(super) struct BankAccount<'a> {
    /// 3–120 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'a str>,
    pub(super) ifsc: &'a str,
    /// 5–35 letters and digits.
    pub(super) account_number: &'a str,
}

#[derive(Serialize)]
pub(super) struct Address<'a> {
    /// 3–100 characters.
    pub(super) address: &'a str,
}

#[derive(Serialize)]
pub(super) struct Contact<'a> {
    /// 3–50 characters.
    pub(super) name: &'a str,
}

/// `POST /v1/payments/validate/vpa`, of the payment gateway.
#[derive(Serialize)]
pub(super) struct VpaRequest<'a> {
    pub(super) vpa: &'a str,
}

/// A validation, in replies and in webhooks.
#[derive(Deserialize)]
pub(super) struct Validation {
    pub(super) id: Option<String>,
    pub(super) status: Option<String>,
    pub(super) utr: Option<String>,
    /// Ours; only in the composite shape.
    pub(super) reference_id: Option<String>,
    /// `validation_results` in the composite shape, `results` in the classic one.
    #[serde(alias = "validation_results")]
    pub(super) results: Option<Results>,
    /// Only in the composite shape.
    pub(super) status_details: Option<StatusDetails>,
    pub(super) fund_account: Option<ValidatedAccount>,
}

#[derive(Deserialize)]
pub(super) struct ValidatedAccount {
    /// `bank_account` or `vpa`.
    pub(super) account_type: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Results {
    /// `null` and `""` have a meaning of their own.
    pub(super) account_status: Option<String>,
    pub(super) registered_name: Option<String>,
    #[serde(deserialize_with = "text_or_number")]
    pub(super) name_match_score: Option<String>,
    /// Holds `account_type`. Read without a type, because an unexpected form must not cost the outcome.
    pub(super) bank_account: serde_json::Value,
}

#[derive(Deserialize)]
pub(super) struct StatusDetails {
    pub(super) reason: Option<String>,
}

/// Reply to a VPA lookup.
#[derive(Deserialize)]
pub(super) struct VpaReply {
    #[serde(default, deserialize_with = "boolean")]
    pub(super) success: Option<bool>,
    pub(super) customer_name: Option<String>,
}

/// Every error body.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorBody {
    pub(super) error: ErrorDetails,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorDetails {
    pub(super) code: Option<String>,
    /// A sentence that separates cases with the same `code` and `reason`. May repeat values of the request: not for logs.
    pub(super) description: Option<String>,
    pub(super) reason: Option<String>,
}

/// Type of a webhook.
#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    pub(super) event: String,
}

/// A `fund_account.validation.*` webhook.
#[derive(Deserialize)]
pub(super) struct ValidationEvent {
    pub(super) payload: Payload,
}

#[derive(Deserialize)]
pub(super) struct Payload {
    #[serde(rename = "fund_account.validation")]
    pub(super) validation: Entity,
}

#[derive(Deserialize)]
pub(super) struct Entity {
    pub(super) entity: Validation,
}

/// Reads a boolean, a number or a text as a boolean.
fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Boolean(bool),
        Number(u8),
        Text(String),
    }
    Ok(
        Option::<Either>::deserialize(deserializer)?.and_then(|value| match value {
            Either::Boolean(boolean) => Some(boolean),
            Either::Number(number) => Some(number == 1),
            Either::Text(text) => text.trim().to_ascii_lowercase().parse().ok(),
        }),
    )
}
