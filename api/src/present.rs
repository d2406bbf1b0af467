//! The bodies of replies with accounts, in both families (contract, *Create: the reply*): one account, a list, and the legacy
//! form. `khata-present` shows the account itself.

pub(crate) mod recorded;

use khata_crypto::Keyring;
use khata_domain::EventId;
use khata_domain::MerchantId;
use khata_present::AccountDetails;
use khata_present::schema::{Metadata, Status};
use khata_store::accounts::AccountRow;
use khata_store::idempotency::ReplyForm;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::ApiError;
use crate::{reply, schema};

pub(crate) use khata_present::{CustomerAccount, created};

/// A bank account in the form of the legacy endpoints.
#[derive(Serialize, ToSchema)]
pub(crate) struct BankAccount {
    #[schema(value_type = schema::BankAccountObject)]
    object: &'static str,
    #[schema(pattern = "^banh_[0-9a-v]{26}$")]
    id: String,
    #[schema(pattern = "^cst_[0-9a-v]{26}$")]
    customer_id: String,
    #[schema(format = DateTime)]
    date_created: String,
    /// Bank of the IFSC; `null` if unknown.
    #[schema(required)]
    bank_name: Option<&'static str>,
    ifsc: String,
    #[schema(value_type = String)]
    account_number: String,
    #[schema(required, value_type = Option<String>)]
    beneficiary_name: Option<String>,
    /// Amount of a penny drop in rupees.
    validation_amount: u8,
    #[schema(example = "INR")]
    currency: &'static str,
    #[schema(value_type = Status)]
    validation_status: String,
    /// Grows by one with each change of the account that an event reports.
    #[schema(minimum = 1)]
    version: i32,
    #[schema(required, format = DateTime)]
    last_validated: Option<String>,
    #[schema(value_type = Metadata)]
    metadata: Value,
}

/// The reply to a legacy delete call.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedBankAccount {
    bank_account_id: String,
    #[schema(example = "deleted")]
    bank_account_status: &'static str,
}

impl BankAccount {
    /// `None` for a UPI address, which this family does not have.
    pub(crate) fn of(account: CustomerAccount) -> Option<Self> {
        let AccountDetails::BankAccountDetails(bank) = account.account_details else {
            return None;
        };
        Some(Self {
            object: "bank_account",
            id: account.id,
            customer_id: account.customer_id,
            date_created: account.date_created,
            bank_name: bank.bank_name,
            ifsc: bank.ifsc,
            account_number: bank.account_number,
            beneficiary_name: bank.beneficiary_name,
            validation_amount: account.validation_amount,
            currency: account.currency,
            validation_status: account.status,
            version: account.version,
            last_validated: account.last_validated,
            metadata: account.metadata,
        })
    }

    pub(crate) fn deleted(self) -> DeletedBankAccount {
        DeletedBankAccount {
            bank_account_id: self.id,
            bank_account_status: "deleted",
        }
    }
}

/// A page of a list, or all accounts of a call.
#[derive(Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the contract's own name")]
pub(crate) struct List<T: ToSchema> {
    #[schema(value_type = schema::ListObject)]
    object: &'static str,
    /// Number of items in `list`.
    count: usize,
    /// Number of items skipped.
    #[schema(value_type = u64)]
    offset: i64,
    /// Number of items in total.
    #[schema(value_type = u64)]
    total: i64,
    list: Vec<T>,
}

impl<T: ToSchema> List<T> {
    pub(crate) fn new(list: Vec<T>, offset: i64, total: i64) -> Self {
        Self {
            object: "list",
            count: list.len(),
            offset,
            total,
            list,
        }
    }
}

/// A page of a list whose length is not counted.
#[derive(Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the contract's own name")]
pub(crate) struct Page<T: ToSchema> {
    #[schema(value_type = schema::ListObject)]
    object: &'static str,
    /// Number of items in `list`.
    count: usize,
    /// Whether the next page has items now.
    has_more: bool,
    /// The event that the next page follows: its `after` or `before`. Also of an empty page that read events of other types; `null`
    /// if none was read.
    #[schema(required, pattern = "^evt_[0-9a-v]{26}$")]
    cursor: Option<String>,
    list: Vec<T>,
}

impl<T: ToSchema> Page<T> {
    pub(crate) fn new(list: Vec<T>, has_more: bool, cursor: Option<EventId>) -> Self {
        Self {
            object: "list",
            count: list.len(),
            has_more,
            cursor: cursor.map(|event| event.to_string()),
            list,
        }
    }
}

khata_present::named_schema! {
    pub(crate) CustomerAccountList = described::<List<CustomerAccount>>("Accounts.");
    pub(crate) BankAccountList = described::<List<BankAccount>>("Bank accounts.");
    pub(crate) Created = schema::one_of("One account for flat fields, a list for arrays.", None, &["CustomerAccount", "CustomerAccountList"]);
}

/// The schema of a list with this description.
pub(crate) fn described<T: PartialSchema>(description: &str) -> RefOr<Schema> {
    let mut schema = T::schema();
    if let RefOr::T(Schema::Object(list)) = &mut schema {
        list.description = Some(description.to_owned());
    }
    schema
}

/// The JSON of these accounts in this form.
pub(crate) fn body(
    form: ReplyForm,
    mut accounts: Vec<CustomerAccount>,
) -> Result<Vec<u8>, ApiError> {
    match form {
        ReplyForm::List => {
            let total = i64::try_from(accounts.len()).unwrap_or(i64::MAX);
            reply::to_json(&List::new(accounts, 0, total))
        }
        ReplyForm::Account => reply::to_json(&accounts.pop().ok_or(ApiError::Internal)?),
        ReplyForm::BankAccount => {
            let account = accounts.pop().and_then(BankAccount::of);
            reply::to_json(&account.ok_or(ApiError::Internal)?)
        }
    }
}

/// Decrypts and presents a stored account.
pub(crate) fn stored(
    keyring: &Keyring,
    merchant: MerchantId,
    row: AccountRow,
) -> Result<CustomerAccount, ApiError> {
    Ok(khata_present::stored(keyring, merchant, row)?)
}
