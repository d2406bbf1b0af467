//! An account as merchants see it (contract, *Create: the answer*): every wire detail of the answer is here.

use chrono::{DateTime, SecondsFormat, Utc};
use khata_shared::crypto::{Keyring, Purpose};
use khata_shared::domain::validation::ValidationResult;
use khata_shared::domain::{Details, MerchantId};
use khata_shared::store::accounts::AccountRow;
use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::error::ApiError;

#[derive(Serialize)]
pub(super) struct CustomerAccount {
    pub(super) object: &'static str,
    pub(super) id: String,
    pub(super) customer_id: String,
    pub(super) object_reference_id: String,
    pub(super) date_created: String,
    pub(super) last_updated: String,
    pub(super) last_validated: Option<String>,
    pub(super) account_details: AccountDetails,
    /// Rupees.
    pub(super) validation_amount: u8,
    pub(super) currency: &'static str,
    pub(super) status: String,
    pub(super) gateway_id: Option<i16>,
    pub(super) gateway_reference_id: Option<String>,
    pub(super) validation: Option<Validation>,
    pub(super) metadata: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AccountDetails {
    BankAccountDetails {
        account_number: Zeroizing<String>,
        beneficiary_name: Option<Zeroizing<String>>,
        ifsc: String,
        bank_code: Option<String>,
        /// From the IFSC directory.
        bank_name: Option<String>,
    },
    VpaDetails {
        vpa: Zeroizing<String>,
    },
}

#[derive(Serialize)]
pub(super) struct Validation {
    id: String,
    gateway_id: Option<i16>,
    gateway_reference_id: Option<String>,
    method: Option<String>,
    name_at_bank: Option<Zeroizing<String>>,
    name_match: Option<NameMatch>,
    utr: Option<String>,
    failure: Option<Failure>,
    attempts: i16,
    date_created: String,
    date_completed: Option<String>,
}

#[derive(Serialize)]
struct NameMatch {
    /// 0–100.
    score: i16,
    result: &'static str,
}

#[derive(Serialize)]
struct Failure {
    code: String,
    reason: String,
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "the contract's own name")]
pub(super) struct List<T> {
    pub(super) object: &'static str,
    pub(super) count: usize,
    pub(super) offset: i64,
    pub(super) total: i64,
    pub(super) list: Vec<T>,
}

/// RFC 3339 in UTC, whole seconds.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn details(details: &Details, bank_code: Option<String>) -> AccountDetails {
    match details {
        Details::Bank(bank) => AccountDetails::BankAccountDetails {
            account_number: Zeroizing::new(bank.account_number.expose().to_owned()),
            beneficiary_name: bank
                .beneficiary_name
                .as_ref()
                .map(|name| Zeroizing::new(name.expose().to_owned())),
            ifsc: bank.ifsc.as_str().to_owned(),
            bank_code,
            bank_name: None,
        },
        Details::Upi(vpa) => AccountDetails::VpaDetails {
            vpa: Zeroizing::new(vpa.expose().to_owned()),
        },
    }
}

/// A stored account, opened.
pub(super) fn stored(
    keyring: &Keyring,
    merchant: MerchantId,
    row: AccountRow,
) -> Result<CustomerAccount, ApiError> {
    let broken = |what: &str| {
        tracing::error!(account_id = %row.id(), what, "sealed data does not open: is a key missing in the keyring?");
        ApiError::Internal
    };
    let plain = keyring
        .open(merchant, row.id().0, Purpose::Details, &row.sealed_details)
        .map_err(|_| broken("details"))?;
    let opened = Details::from_plaintext(&plain).ok_or_else(|| broken("details"))?;
    let result = match &row.validation.sealed_result {
        None => ValidationResult::default(),
        Some(sealed) => {
            let plain = keyring
                .open(merchant, row.id().0, Purpose::ValidationResult, sealed)
                .map_err(|_| broken("result"))?;
            ValidationResult::from_plaintext(&plain).ok_or_else(|| broken("result"))?
        }
    };
    let validation = validation(&row, result);
    Ok(CustomerAccount {
        object: "customer_account",
        id: row.id().to_string(),
        customer_id: row.customer().to_string(),
        date_created: time(row.created_at),
        last_updated: time(row.updated_at),
        last_validated: row.last_validated_at.map(time),
        account_details: details(&opened, row.bank_code),
        validation_amount: 1,
        currency: "INR",
        status: row.status,
        gateway_id: row.pinned_gateway_id,
        gateway_reference_id: row.pinned_gateway_reference_id,
        validation,
        metadata: row.metadata,
        object_reference_id: row.object_reference_id,
    })
}

/// `null` until a gateway has been asked.
fn validation(row: &AccountRow, result: ValidationResult) -> Option<Validation> {
    let columns = &row.validation;
    let (id, attempts) = (columns.id()?, columns.attempts.unwrap_or(0));
    if attempts == 0 && columns.completed_at.is_none() {
        return None;
    }
    Some(Validation {
        id: id.to_string(),
        gateway_id: columns.gateway_id,
        gateway_reference_id: columns.gateway_reference_id.clone(),
        method: columns.method.clone(),
        name_at_bank: result.name_at_bank,
        name_match: columns.name_match_score.map(|score| NameMatch {
            score,
            result: name_match_result(score),
        }),
        utr: result.utr,
        failure: columns.failure_code.clone().map(|code| Failure {
            code,
            reason: columns.failure_reason.clone().unwrap_or_default(),
        }),
        attempts,
        date_created: columns.validation_created_at.map(time).unwrap_or_default(),
        date_completed: columns.completed_at.map(time),
    })
}

/// The bands of Cashfree's documentation, into which its published examples fall.
fn name_match_result(score: i16) -> &'static str {
    match score {
        100.. => "DIRECT_MATCH",
        85..100 => "GOOD_PARTIAL_MATCH",
        60..85 => "MODERATE_PARTIAL_MATCH",
        34..60 => "POOR_PARTIAL_MATCH",
        _ => "NO_MATCH",
    }
}

/// An account that this very call made.
pub(super) struct Fresh<'a> {
    pub(super) id: String,
    pub(super) customer_id: &'a str,
    pub(super) object_reference_id: &'a str,
    pub(super) created_at: DateTime<Utc>,
    pub(super) details: &'a Details,
    pub(super) bank_code: Option<String>,
    pub(super) gateway_id: Option<i16>,
    pub(super) gateway_reference_id: Option<String>,
    pub(super) metadata: &'a Map<String, Value>,
}

impl Fresh<'_> {
    pub(super) fn present(self) -> CustomerAccount {
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
