//! The columns that an account is read from, once for every statement: the row structs and the `select` list side by side.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::column::row;
use crate::statement::statement;
use khata_domain::ids::CustomerRef;
use khata_domain::validation::FailureCode;
use khata_domain::{
    AccountId, AccountKind, AccountStatus, CustomerId, MerchantId, Method, PendingReason,
    ValidationId, ValidationKey,
};

/// Milliseconds that a new validation's wake-up has to arrive, before the scheduler publishes another.
pub(super) const WAKEUP_GRACE_MS: i64 = 5_000;

row! {
    /// The columns of an account that are neither encrypted nor the merchant's own reference, so that operators may see them.
    #[derive(Clone, Debug)]
    pub struct AccountColumns {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub id: AccountId,
        #[diesel(column_name = customer_id)]
        pub customer: CustomerId,
        pub kind: AccountKind,
        pub status: AccountStatus,
        /// Number of the last change that an event reports; 1: the account was created.
        pub version: i32,
        /// Gateway that the request named.
        pub pinned_gateway_id: Option<i16>,
        /// Gateway account that the request named.
        pub pinned_gateway_reference_id: Option<String>,
        pub created_at: DateTime<Utc>,
        /// Time of the last status change.
        pub updated_at: DateTime<Utc>,
        /// Time of the last conclusive result of a gateway.
        pub last_validated_at: Option<DateTime<Utc>>,
    }
}

/// The `select` list of [`AccountColumns`], from `customer_accounts a`.
pub(crate) const ACCOUNT_COLUMNS: &str =
    "a.merchant_id, a.id, a.customer_id, a.kind, a.status, a.version, a.pinned_gateway_id, a.pinned_gateway_reference_id,
     a.created_at, a.updated_at, a.last_validated_at";

row! {
    /// An account as the API reads it: with its customer's reference and its newest validation.
    #[derive(Clone, Debug)]
    pub struct AccountRow {
        #[diesel(embed)]
        pub columns: AccountColumns,
        /// The merchant's reference for the customer.
        pub object_reference_id: String,
        /// Encrypted for the account's id.
        pub sealed_details: Vec<u8>,
        /// Keyed hash of the details.
        pub fingerprint: Vec<u8>,
        /// Juspay's bank code.
        pub bank_code: Option<String>,
        /// The request's metadata, a JSON object; null where a statement leaves out large ones.
        pub metadata: serde_json::Value,
        /// The newest validation.
        #[diesel(embed)]
        pub validation: ValidationColumns,
    }

    /// The columns of the newest validation; all `None` if the account has none.
    #[derive(Clone, Debug, Default)]
    pub struct ValidationColumns {
        #[diesel(column_name = newest_validation_id)]
        pub id: Option<ValidationId>,
        /// Number of attempts so far.
        pub attempts: Option<i16>,
        /// The validation whose result this one reuses, if no gateway was called.
        pub reused_from: Option<ValidationId>,
        /// Gateway of the newest attempt.
        pub gateway_id: Option<i16>,
        /// The merchant's name for the gateway account.
        pub gateway_reference_id: Option<String>,
        pub method: Option<Method>,
        /// Name at bank, UTR and account type, encrypted for the account's id.
        pub sealed_result: Option<Vec<u8>>,
        /// 0–100.
        pub name_match_score: Option<i16>,
        pub failure_code: Option<FailureCode>,
        /// The sentence for the failure code.
        pub failure_reason: Option<String>,
        /// Why an unfinished validation has no result yet; `None` before its first attempt.
        pub pending_reason: Option<PendingReason>,
        /// When a worker tries an unfinished validation next.
        pub due_at: Option<DateTime<Utc>>,
        pub validation_created_at: Option<DateTime<Utc>>,
        pub completed_at: Option<DateTime<Utc>>,
    }
}

impl Deref for AccountRow {
    type Target = AccountColumns;

    fn deref(&self) -> &AccountColumns {
        &self.columns
    }
}

/// The `select` of [`AccountRow`]; callers add a `where`.
pub(super) fn select_account() -> String {
    select_with("a.metadata")
}

/// Like [`select_account`], without large metadata, which Postgres keeps compressed or apart from its row. The cost of a row is
/// bounded.
pub(super) fn select_small_account() -> String {
    select_with(
        "case when pg_column_compression(a.metadata) is null and pg_column_size(a.metadata) <= 2000
            then a.metadata else 'null' end as metadata",
    )
}

/// The customer `c` and the newest validation `v` of each account `a`, by their whole keys: joined without statistics, Postgres may read
/// all rows of the merchant for each account.
const CUSTOMER_AND_VALIDATION: &str = "cross join lateral (
            select object_reference_id from customers where merchant_id = a.merchant_id and id = a.customer_id limit 1
         ) c
         left join lateral (
            select * from validations where merchant_id = a.merchant_id and id = a.validation_id limit 1
         ) v on true";

fn select_with(metadata: &str) -> String {
    format!(
        "select {}
         from customer_accounts a
         {CUSTOMER_AND_VALIDATION}",
        row_columns(metadata)
    )
}

/// The columns of [`AccountRow`], of `customer_accounts a`, `customers c` and `validations v`.
pub(crate) fn row_columns(metadata: &str) -> String {
    format!(
        "{ACCOUNT_COLUMNS}, c.object_reference_id, a.sealed_details, a.fingerprint, a.bank_code, {metadata},
           v.id as newest_validation_id, v.attempts, v.reused_from, v.gateway_id, v.gateway_reference_id, v.method,
           v.sealed_result, v.name_match_score, v.failure_code, v.failure_reason, v.pending_reason,
           case when v.queued_gateway_account_id is null then v.due_at end as due_at,
           v.created_at as validation_created_at, v.completed_at"
    )
}

impl AccountRow {
    /// Whether the row was read without its metadata, because that is large. [`super::find_many`] reads the whole account.
    pub fn lacks_metadata(&self) -> bool {
        self.metadata.is_null()
    }

    /// Returns the newest validation, unless it is completed.
    pub fn open_validation(&self) -> Option<ValidationKey> {
        let (merchant, id) = (self.merchant, self.validation.id?);
        let open = self.validation.completed_at.is_none();
        open.then_some(ValidationKey { merchant, id })
    }
}

/// Finds the customer's account with this id, also a deleted one.
pub(super) fn find_any(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    account: AccountId,
) -> QueryResult<Option<AccountRow>> {
    let sql = format!(
        "{} where a.merchant_id = $1 and a.id = $2",
        select_account()
    );
    let row: Option<AccountRow> = statement(sql)
        .key(merchant, account)
        .get_result(connection)
        .optional()?;
    Ok(row.filter(|row| match customer {
        CustomerRef::Id(id) => row.customer == *id,
        CustomerRef::Reference(reference) => row.object_reference_id == reference.expose(),
    }))
}

/// Finds the customer's live account with this id.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    account: AccountId,
) -> QueryResult<Option<AccountRow>> {
    let row = find_any(connection, merchant, customer, account)?;
    Ok(row.filter(|row| row.status != AccountStatus::Deleted))
}
