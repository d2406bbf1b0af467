//! Accounts of events without personal data: with masked numbers and addresses, or ids only. A value is shown here only if this
//! file names it.

use khata_domain::{AccountType as PayeeAccountType, Details, PendingReason as WaitReason};
use khata_store::accounts::AccountRow;
use serde::Serialize;
use utoipa::ToSchema;

use crate::account::{AccountDetails, CustomerAccount, NamedBankAccount};
use crate::schema;
use crate::validation::{AccountType, Failure, Method, NameMatch, PendingReason, Validation};

/// A customer's bank account or UPI address with masked number or address, and without names, UTR and `metadata`.
#[derive(Serialize, ToSchema)]
pub struct MaskedCustomerAccount {
    #[schema(value_type = schema::CustomerAccountObject)]
    object: &'static str,
    #[schema(pattern = "^banh_[0-9a-v]{26}$")]
    id: String,
    #[schema(pattern = "^cst_[0-9a-v]{26}$")]
    customer_id: String,
    /// Your own name for the customer.
    object_reference_id: String,
    #[schema(format = DateTime)]
    date_created: String,
    /// Time of the last status change.
    #[schema(format = DateTime)]
    last_updated: String,
    /// Time of the last result from a gateway.
    #[schema(required, format = DateTime)]
    last_validated: Option<String>,
    account_details: MaskedAccountDetails,
    /// Amount of a penny drop in rupees.
    validation_amount: u8,
    #[schema(example = "INR")]
    currency: &'static str,
    #[schema(value_type = schema::Status)]
    status: String,
    /// Grows by one with each change of the account that an event reports.
    #[schema(minimum = 1)]
    version: i32,
    /// The gateway that you requested. `validation` shows the gateway that validated the account.
    #[schema(required)]
    gateway_id: Option<i16>,
    #[schema(required)]
    gateway_reference_id: Option<String>,
    /// The newest validation; `null` in the event of the creation.
    #[schema(required)]
    validation: Option<MaskedValidation>,
}

/// Details of the account: one member, named as the kind of account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MaskedAccountDetails {
    BankAccountDetails(MaskedBankAccountDetails),
    VpaDetails(MaskedVpaDetails),
}

/// A bank account.
#[derive(Serialize, ToSchema)]
pub(crate) struct MaskedBankAccountDetails {
    /// The last four characters, or the last one of a number shorter than nine.
    #[schema(example = "XXXXXXX1191")]
    account_number: String,
    #[schema(example = "AABF0008032")]
    ifsc: String,
    #[schema(required, example = "12")]
    bank_code: Option<String>,
    /// Bank of the IFSC; `null` if unknown.
    #[schema(required)]
    bank_name: Option<&'static str>,
    /// Branch of the IFSC; `null` if the IFSC is not listed.
    #[schema(required)]
    branch_name: Option<&'static str>,
    /// Whether the published list contains the IFSC.
    ifsc_listed: bool,
    /// Hint about an IFSC that is not listed; `null` if nothing is known.
    #[schema(required)]
    ifsc_hint: Option<String>,
}

/// A UPI address.
#[derive(Serialize, ToSchema)]
pub(crate) struct MaskedVpaDetails {
    /// The handle, and two characters of a longer part before the `@`; of an address that names a bank account, its masked
    /// number.
    #[schema(example = "as***@okhdfcbank")]
    vpa: String,
    /// Whether the list of handles has the part behind the `@`.
    handle_known: bool,
    /// The bank account that the address names itself, with a masked number; absent for any other address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bank_account: Option<NamedBankAccount>,
}

/// One validation of an account, without the name at the bank and the UTR.
#[derive(Serialize, ToSchema)]
pub(crate) struct MaskedValidation {
    #[schema(pattern = "^val_[0-9a-v]{26}$")]
    id: String,
    /// The gateway of the last call, or of the reused result.
    #[schema(required)]
    gateway_id: Option<i16>,
    #[schema(required)]
    gateway_reference_id: Option<String>,
    #[schema(required, value_type = Option<Method>)]
    method: Option<String>,
    #[schema(required)]
    name_match: Option<NameMatch>,
    /// Type of the account at the bank; `null` if the gateway does not report it.
    #[schema(required, value_type = Option<AccountType>)]
    account_type: Option<PayeeAccountType>,
    /// Why the validation failed; `null` unless it failed.
    #[schema(required)]
    failure: Option<Failure>,
    /// Why the account has no final status yet; `null` once it has one.
    #[schema(required, value_type = Option<PendingReason>)]
    pending_reason: Option<WaitReason>,
    /// When a worker tries the validation next; `null` once there is an outcome.
    #[schema(required, format = DateTime)]
    next_attempt_at: Option<String>,
    /// Number of gateway calls.
    #[schema(minimum = 0)]
    attempts: i16,
    /// The earlier validation of the same details whose result was reused; `null` if a gateway was called.
    #[schema(required, pattern = "^val_[0-9a-v]{26}$")]
    reused_from: Option<String>,
    #[schema(format = DateTime)]
    date_created: String,
    /// Time of the outcome; `null` until then.
    #[schema(required, format = DateTime)]
    date_completed: Option<String>,
}

impl MaskedCustomerAccount {
    /// Masks an account with these details.
    pub(crate) fn of(account: CustomerAccount, details: &Details) -> Self {
        Self {
            object: account.object,
            id: account.id,
            customer_id: account.customer_id,
            object_reference_id: account.object_reference_id,
            date_created: account.date_created,
            last_updated: account.last_updated,
            last_validated: account.last_validated,
            account_details: MaskedAccountDetails::of(account.account_details, details),
            validation_amount: account.validation_amount,
            currency: account.currency,
            status: account.status,
            version: account.version,
            gateway_id: account.gateway_id,
            gateway_reference_id: account.gateway_reference_id,
            validation: account.validation.map(MaskedValidation::of),
        }
    }
}

impl MaskedAccountDetails {
    fn of(shown: AccountDetails, details: &Details) -> Self {
        let masked = details.masked();
        match shown {
            AccountDetails::BankAccountDetails(bank) => {
                Self::BankAccountDetails(MaskedBankAccountDetails {
                    account_number: masked,
                    ifsc: bank.ifsc,
                    bank_code: bank.bank_code,
                    bank_name: bank.bank_name,
                    branch_name: bank.branch_name,
                    ifsc_listed: bank.ifsc_listed,
                    ifsc_hint: bank.ifsc_hint,
                })
            }
            AccountDetails::VpaDetails(address) => Self::VpaDetails(MaskedVpaDetails {
                // The masked address of a bank account begins with the masked number.
                bank_account: address.bank_account.map(|named| NamedBankAccount {
                    account_number: masked.split('@').next().unwrap_or_default().to_owned(),
                    ifsc: named.ifsc,
                }),
                vpa: masked,
                handle_known: address.handle_known,
            }),
        }
    }
}

impl MaskedValidation {
    fn of(validation: Validation) -> Self {
        Self {
            id: validation.id,
            gateway_id: validation.gateway_id,
            gateway_reference_id: validation.gateway_reference_id,
            method: validation.method,
            name_match: validation.name_match,
            account_type: validation.account_type,
            failure: validation.failure,
            pending_reason: validation.pending_reason,
            next_attempt_at: validation.next_attempt_at,
            attempts: validation.attempts,
            reused_from: validation.reused_from,
            date_created: validation.date_created,
            date_completed: validation.date_completed,
        }
    }
}

/// Ids, status and version of a customer's account.
#[derive(Serialize, ToSchema)]
pub struct ThinCustomerAccount {
    #[schema(value_type = schema::CustomerAccountObject)]
    object: &'static str,
    #[schema(pattern = "^banh_[0-9a-v]{26}$")]
    id: String,
    #[schema(pattern = "^cst_[0-9a-v]{26}$")]
    customer_id: String,
    /// Your own name for the customer.
    object_reference_id: String,
    #[schema(value_type = schema::Status)]
    status: String,
    /// Grows by one with each change of the account that an event reports.
    #[schema(minimum = 1)]
    version: i32,
}

impl ThinCustomerAccount {
    pub(crate) fn of(row: &AccountRow) -> Self {
        Self {
            object: "customer_account",
            id: row.id.to_string(),
            customer_id: row.customer.to_string(),
            object_reference_id: row.object_reference_id.clone(),
            status: row.status.to_string(),
            version: row.version,
        }
    }
}
