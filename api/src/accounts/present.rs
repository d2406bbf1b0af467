//! An account as merchants see it (contract, *Create: the answer*): every wire detail of the answer is here.

use chrono::{DateTime, SecondsFormat, Utc};
use khata_crypto::{Keyring, Purpose};
use khata_domain::validation::ValidationResult;
use khata_domain::{Details, MerchantId};
use khata_ifsc as ifsc;
use khata_name_match::NameMatchResult;
use khata_store::accounts::AccountRow;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::openapi;

/// A customer's bank account or UPI address.
#[derive(Serialize, ToSchema)]
pub(crate) struct CustomerAccount {
    #[schema(value_type = openapi::CustomerAccountObject)]
    pub(crate) object: &'static str,
    #[schema(
        pattern = "^banh_[0-9a-v]{26}$",
        example = "banh_01k82u7s7aeqraoh1tia1a3hc8"
    )]
    pub(crate) id: String,
    #[schema(
        pattern = "^cst_[0-9a-v]{26}$",
        example = "cst_01k82u7s7deddovl581r211s9l"
    )]
    pub(crate) customer_id: String,
    /// Your own name for the customer.
    #[schema(example = "customer_1122")]
    pub(crate) object_reference_id: String,
    #[schema(format = DateTime, example = "2023-06-06T13:28:20Z")]
    pub(crate) date_created: String,
    /// When the status last changed.
    #[schema(format = DateTime, example = "2023-06-06T13:28:20Z")]
    pub(crate) last_updated: String,
    /// When a gateway last said whether the account is real.
    #[schema(required, format = DateTime, example = "2023-06-06T13:29:53Z")]
    pub(crate) last_validated: Option<String>,
    pub(crate) account_details: AccountDetails,
    /// What a penny drop pays, in rupees.
    #[schema(example = 1)]
    pub(crate) validation_amount: u8,
    #[schema(example = "INR")]
    pub(crate) currency: &'static str,
    #[schema(value_type = openapi::Status)]
    pub(crate) status: String,
    /// The gateway that you asked for; what validated the account stands in `validation`.
    #[schema(required, example = json!(null))]
    pub(crate) gateway_id: Option<i16>,
    #[schema(required, example = json!(null))]
    pub(crate) gateway_reference_id: Option<String>,
    /// The newest validation; `null` until a gateway has been asked.
    #[schema(required)]
    pub(crate) validation: Option<Validation>,
    /// What you sent as `metadata.*`.
    #[schema(value_type = openapi::Metadata)]
    pub(crate) metadata: Value,
}

/// What the account is made of.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AccountDetails {
    /// A bank account.
    BankAccountDetails {
        #[schema(value_type = String, example = "026291800001191")]
        account_number: String,
        #[schema(required, value_type = Option<String>, example = "test")]
        beneficiary_name: Option<String>,
        #[schema(example = "AABF0008032")]
        ifsc: String,
        #[schema(required, example = "12")]
        bank_code: Option<String>,
        /// The bank that the IFSC belongs to; `null` where it is not known.
        #[schema(required, example = json!(null))]
        bank_name: Option<&'static str>,
        /// `null` where the IFSC is not listed.
        #[schema(required, example = json!(null))]
        branch_name: Option<&'static str>,
        /// Whether the IFSC is in the published list. One that is not may be right: the list lags behind the banks.
        #[schema(example = false)]
        ifsc_listed: bool,
    },
    /// A UPI address.
    VpaDetails {
        #[schema(value_type = String, example = "9164326296@upi")]
        vpa: String,
    },
}

/// One validation of an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Validation {
    #[schema(pattern = "^val_[0-9a-v]{26}$")]
    id: String,
    /// The gateway asked last, or whose earlier answer this is.
    #[schema(required, example = 70)]
    gateway_id: Option<i16>,
    #[schema(required)]
    gateway_reference_id: Option<String>,
    #[schema(required, value_type = Option<openapi::Method>)]
    method: Option<String>,
    /// The holder's name, as the bank has it.
    #[schema(required, value_type = Option<String>, example = "TEST")]
    name_at_bank: Option<String>,
    #[schema(required)]
    name_match: Option<NameMatch>,
    /// Unique transaction reference of the penny drop.
    #[schema(required)]
    utr: Option<String>,
    /// Why it failed; `null` unless it did.
    #[schema(required)]
    failure: Option<Failure>,
    /// How often a gateway was asked.
    #[schema(minimum = 0)]
    attempts: i16,
    /// The earlier validation of the same details whose result this is; `null` where a gateway was asked.
    #[schema(required, pattern = "^val_[0-9a-v]{26}$")]
    reused_from: Option<String>,
    #[schema(format = DateTime)]
    date_created: String,
    /// `null` until it is decided.
    #[schema(required, format = DateTime)]
    date_completed: Option<String>,
}

/// How well the name at the bank matches `beneficiary_name`.
#[derive(Serialize, ToSchema)]
struct NameMatch {
    #[schema(minimum = 0, maximum = 100, example = 100)]
    score: i16,
    #[schema(value_type = openapi::NameMatchResult)]
    result: &'static str,
}

/// Why a validation failed.
#[derive(Serialize, ToSchema)]
struct Failure {
    #[schema(value_type = openapi::FailureWord)]
    code: String,
    /// A sentence for people.
    reason: String,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "the contract's own name")]
pub(crate) struct List<T> {
    pub(crate) object: &'static str,
    pub(crate) count: usize,
    pub(crate) offset: i64,
    pub(crate) total: i64,
    pub(crate) list: Vec<T>,
}

/// RFC 3339 in UTC, whole seconds.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(crate) fn details(details: &Details, bank_code: Option<String>) -> AccountDetails {
    match details {
        Details::Bank(bank) => {
            let known = ifsc::lookup(bank.ifsc.as_str());
            AccountDetails::BankAccountDetails {
                account_number: bank.account_number.expose().to_owned(),
                beneficiary_name: bank
                    .beneficiary_name
                    .as_ref()
                    .map(|name| name.expose().to_owned()),
                ifsc: bank.ifsc.as_str().to_owned(),
                bank_code,
                bank_name: known.bank,
                branch_name: known.branch.map(|branch| branch.name),
                ifsc_listed: known.branch.is_some(),
            }
        }
        Details::Upi(vpa) => AccountDetails::VpaDetails {
            vpa: vpa.expose().to_owned(),
        },
    }
}

/// A stored account, opened.
pub(crate) fn stored(
    keyring: &Keyring,
    merchant: MerchantId,
    row: AccountRow,
) -> Result<CustomerAccount, ApiError> {
    let broken = |what: &str| {
        tracing::error!(account_id = %row.id, what, "sealed data does not open: is a key missing in the keyring?");
        ApiError::Internal
    };
    let plain = keyring
        .decrypt(merchant, row.id.0, Purpose::Details, &row.sealed_details)
        .map_err(|_| broken("details"))?;
    let opened = Details::from_plaintext(&plain).ok_or_else(|| broken("details"))?;
    let result = match &row.validation.sealed_result {
        None => ValidationResult::default(),
        Some(sealed) => {
            let plain = keyring
                .decrypt(merchant, row.id.0, Purpose::ValidationResult, sealed)
                .map_err(|_| broken("result"))?;
            ValidationResult::from_plaintext(&plain).ok_or_else(|| broken("result"))?
        }
    };
    let validation = validation(&row, result);
    Ok(CustomerAccount {
        object: "customer_account",
        id: row.id.to_string(),
        customer_id: row.customer.to_string(),
        date_created: time(row.created_at),
        last_updated: time(row.updated_at),
        last_validated: row.last_validated_at.map(time),
        account_details: details(&opened, row.bank_code.clone()),
        validation_amount: 1,
        currency: "INR",
        status: row.status.to_string(),
        gateway_id: row.pinned_gateway_id,
        gateway_reference_id: row.pinned_gateway_reference_id.clone(),
        validation,
        metadata: row.metadata,
        object_reference_id: row.object_reference_id,
    })
}

/// `null` until a gateway has been asked.
fn validation(row: &AccountRow, result: ValidationResult) -> Option<Validation> {
    let columns = &row.validation;
    let (id, attempts) = (columns.id?, columns.attempts.unwrap_or(0));
    if attempts == 0 && columns.completed_at.is_none() {
        return None;
    }
    Some(Validation {
        id: id.to_string(),
        gateway_id: columns.gateway_id,
        gateway_reference_id: columns.gateway_reference_id.clone(),
        method: columns.method.map(|method| method.to_string()),
        name_at_bank: result.name_at_bank,
        name_match: columns.name_match_score.map(|score| NameMatch {
            score,
            // The column holds 0–100.
            result: NameMatchResult::of_stored_score(score).as_str(),
        }),
        utr: result.utr,
        failure: columns.failure_code.map(|code| Failure {
            code: code.to_string(),
            reason: columns.failure_reason.clone().unwrap_or_default(),
        }),
        attempts,
        reused_from: columns.reused_from.map(|id| id.to_string()),
        date_created: columns.validation_created_at.map(time).unwrap_or_default(),
        date_completed: columns.completed_at.map(time),
    })
}

/// An account that this very call made.
pub(crate) struct Fresh<'a> {
    pub(crate) id: String,
    pub(crate) customer_id: &'a str,
    pub(crate) object_reference_id: &'a str,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) details: &'a Details,
    pub(crate) bank_code: Option<String>,
    pub(crate) gateway_id: Option<i16>,
    pub(crate) gateway_reference_id: Option<String>,
    pub(crate) metadata: &'a Map<String, Value>,
}

impl Fresh<'_> {
    pub(crate) fn present(self) -> CustomerAccount {
        let created = time(self.created_at);
        CustomerAccount {
            object: "customer_account",
            id: self.id,
            customer_id: self.customer_id.to_owned(),
            object_reference_id: self.object_reference_id.to_owned(),
            date_created: created.clone(),
            last_updated: created,
            last_validated: None,
            account_details: details(self.details, self.bank_code),
            validation_amount: 1,
            currency: "INR",
            status: "CREATED".to_owned(),
            gateway_id: self.gateway_id,
            gateway_reference_id: self.gateway_reference_id,
            validation: None,
            metadata: Value::Object(self.metadata.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use khata_domain::{AccountNumber, BankAccount, Ifsc};
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_is_told_with_its_bank_and_branch() {
        for (ifsc, bank, branch, listed) in [
            (
                "HDFC0CPD295",
                json!("Pune District Central Co-operative Bank"),
                json!("PUNE DISTRICT CENTRAL COOP BANK"),
                true,
            ),
            ("CNRB0000000", json!("Canara Bank"), json!(null), false),
            ("AABF0008032", json!(null), json!(null), false),
        ] {
            let account = Details::Bank(BankAccount {
                ifsc: Ifsc::parse(ifsc).unwrap(),
                account_number: AccountNumber::parse("026291800001191").unwrap(),
                beneficiary_name: None,
            });
            // What the merchant calls the bank is echoed, whatever the directory says.
            let told = serde_json::to_value(details(&account, Some("JP_SBI".to_owned()))).unwrap();
            assert_eq!(
                told["bank_account_details"],
                json!({
                    "account_number": "026291800001191", "beneficiary_name": null, "ifsc": ifsc,
                    "bank_code": "JP_SBI", "bank_name": bank, "branch_name": branch, "ifsc_listed": listed,
                })
            );
        }
    }
}
