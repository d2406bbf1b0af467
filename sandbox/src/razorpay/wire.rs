//! What goes over the wire: Razorpay's field names and types, exactly. A member that may be missing
//! from a request is an `Option` here even where Razorpay wants it, so that its absence is answered the
//! way Razorpay answers it. None of these can be printed: they hold accounts and names.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

/// The body of `POST /v1/fund_accounts/validations`, the composite form.
#[derive(Deserialize)]
pub(super) struct ValidationRequest {
    pub(super) source_account_number: Option<String>,
    pub(super) validation_type: Option<String>,
    pub(super) reference_id: Option<String>,
    pub(super) notes: Option<Map<String, Value>>,
    pub(super) fund_account: Option<FundAccountSent>,
}

#[derive(Deserialize)]
pub(super) struct FundAccountSent {
    pub(super) account_type: Option<String>,
    pub(super) bank_account: Option<BankAccountSent>,
    pub(super) vpa: Option<VpaSent>,
    pub(super) contact: Option<ContactSent>,
}

#[derive(Deserialize)]
pub(super) struct BankAccountSent {
    pub(super) name: Option<String>,
    pub(super) ifsc: Option<String>,
    pub(super) account_number: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct VpaSent {
    pub(super) address: Option<String>,
}

#[derive(Clone, Deserialize)]
pub(super) struct ContactSent {
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    #[serde(rename = "contact")]
    pub(super) phone: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) reference_id: Option<String>,
    pub(super) notes: Option<Map<String, Value>>,
}

/// A validation as it is answered, looked up and called back with.
#[derive(Serialize)]
pub(super) struct ValidationEntity<'a> {
    pub(super) id: &'a str,
    pub(super) entity: &'static str,
    pub(super) status: Status,
    pub(super) utr: Option<String>,
    #[serde(flatten)]
    pub(super) results: Results,
    pub(super) status_details: StatusDetails,
    pub(super) reference_id: Option<&'a str>,
    #[serde(serialize_with = "notes")]
    pub(super) notes: &'a Map<String, Value>,
    pub(super) fund_account: &'a FundAccount,
}

/// `status` (RazorpayX, life cycle of an account validation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Created,
    Completed,
    Failed,
}

/// The results, in the composite call's shape or the older one's.
#[derive(Serialize)]
pub(super) enum Results {
    #[serde(rename = "validation_results")]
    Composite(Box<ValidationResults>),
    #[serde(rename = "results")]
    Classic(ClassicResults),
}

#[derive(Default, Serialize)]
pub(super) struct ValidationResults {
    pub(super) account_status: Option<String>,
    pub(super) registered_name: Option<String>,
    pub(super) details: Option<&'static str>,
    /// 0 to 100; a number, or the same as text.
    pub(super) name_match_score: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) validated_account_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bank_account: Option<ValidatedBankAccount>,
}

#[derive(Serialize)]
pub(super) struct ClassicResults {
    pub(super) account_status: Option<String>,
    pub(super) registered_name: Option<String>,
}

/// The account that was found; its number all but masked.
#[derive(Clone, Serialize)]
pub(super) struct ValidatedBankAccount {
    pub(super) bank_routing_code: String,
    pub(super) account_number: String,
    pub(super) bank_name: String,
    pub(super) account_type: &'static str,
}

#[derive(Serialize)]
pub(super) struct StatusDetails {
    pub(super) description: &'static str,
    pub(super) source: &'static str,
    pub(super) reason: &'static str,
}

/// The fund account that was made of what was sent.
#[derive(Serialize)]
pub(super) struct FundAccount {
    pub(super) id: String,
    pub(super) entity: &'static str,
    #[serde(flatten)]
    pub(super) account: Account,
    pub(super) active: bool,
    /// Unix seconds.
    pub(super) created_at: i64,
    pub(super) contact: Contact,
}

#[derive(Serialize)]
#[serde(tag = "account_type", rename_all = "snake_case")]
pub(super) enum Account {
    BankAccount { bank_account: BankAccount },
    Vpa { vpa: Vpa },
}

#[derive(Serialize)]
pub(super) struct BankAccount {
    pub(super) name: String,
    pub(super) bank_name: String,
    pub(super) ifsc: String,
    pub(super) account_number: String,
}

#[derive(Serialize)]
pub(super) struct Vpa {
    pub(super) address: String,
}

#[derive(Serialize)]
pub(super) struct Contact {
    pub(super) id: String,
    pub(super) entity: &'static str,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    #[serde(rename = "contact")]
    pub(super) phone: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) reference_id: Option<String>,
    #[serde(serialize_with = "notes")]
    pub(super) notes: Map<String, Value>,
    pub(super) active: bool,
    /// Unix seconds.
    pub(super) created_at: i64,
}

/// Notes that are empty are an empty array, not an object (Razorpay, samples of orders and payments).
fn notes<S, M>(notes: &M, serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    M: Borrow<Map<String, Value>>,
{
    let notes = notes.borrow();
    if notes.is_empty() {
        [(); 0].serialize(serializer)
    } else {
        notes.serialize(serializer)
    }
}

/// The body of `POST /v1/payments/validate/vpa`.
#[derive(Deserialize)]
pub(super) struct VpaRequest {
    pub(super) vpa: Option<String>,
}

/// Its answer. A VPA that does not exist has no name.
#[derive(Serialize)]
pub(super) struct VpaAnswer {
    pub(super) vpa: String,
    pub(super) success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer_name: Option<String>,
}
