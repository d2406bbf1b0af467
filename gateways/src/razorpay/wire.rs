//! Razorpay's JSON, as its public API reference has it (*Composite account validation*, *Account validation*, *Validate
//! VPA*). Only what is sent or read.

use serde::{Deserialize, Deserializer, Serialize};

use crate::wire::text_or_number;

/// `POST /v1/fund_accounts/validations`, composite: contact, fund account and validation in one call. The same call
/// must be the same bytes each time it is made: nothing in it depends on when that is.
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

/// A validation, as answered and as called back.
#[derive(Deserialize)]
pub(super) struct Validation {
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) utr: Option<String>,
    /// Ours; only in the composite shape.
    #[serde(default)]
    pub(super) reference_id: Option<String>,
    /// The composite shape says `validation_results`, the classic one `results`.
    #[serde(default, alias = "validation_results")]
    pub(super) results: Option<Results>,
    /// Why; only in the composite shape.
    #[serde(default)]
    pub(super) status_details: Option<StatusDetails>,
    #[serde(default)]
    pub(super) fund_account: Option<Validated>,
}

/// What was validated.
#[derive(Deserialize)]
pub(super) struct Validated {
    /// `bank_account` or `vpa`.
    #[serde(default)]
    pub(super) account_type: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Results {
    /// `null` and `""` are answers of their own.
    #[serde(default)]
    pub(super) account_status: Option<String>,
    #[serde(default)]
    pub(super) registered_name: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) name_match_score: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct StatusDetails {
    #[serde(default)]
    pub(super) reason: Option<String>,
}

/// The answer to a VPA look-up.
#[derive(Deserialize)]
pub(super) struct VpaResponse {
    #[serde(default, deserialize_with = "truth")]
    pub(super) success: Option<bool>,
    #[serde(default)]
    pub(super) customer_name: Option<String>,
}

/// Every error body.
#[derive(Default, Deserialize)]
pub(super) struct ErrorResponse {
    #[serde(default)]
    pub(super) error: ErrorDetails,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorDetails {
    pub(super) code: Option<String>,
    /// A sentence; it tells apart what `code` and `reason` do not. May repeat what was sent: for no log.
    pub(super) description: Option<String>,
    pub(super) reason: Option<String>,
}

/// What a call-back is about.
#[derive(Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    pub(super) event: String,
}

/// A `fund_account.validation.*` call-back.
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

/// A truth in any of the ways JSON has been seen to tell it.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Truth(bool),
        Number(u8),
        Text(String),
    }
    Ok(
        Option::<Either>::deserialize(deserializer)?.and_then(|either| match either {
            Either::Truth(truth) => Some(truth),
            Either::Number(number) => Some(number == 1),
            Either::Text(text) => text.trim().to_ascii_lowercase().parse().ok(),
        }),
    )
}
