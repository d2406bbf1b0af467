//! Customers' accounts: created in batches by the group commit, read one by one, validated again, deleted.

mod change;
mod create;
mod velocity;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::customers;
use super::statement::statement;
use khata_domain::ValidationKey;
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, AccountStatus, CustomerId, MerchantId, ValidationId};

pub use change::{Deleted, Revalidation, ValidateAgain, delete, validate_again};
pub use create::{CreateAccounts, Created, CreatedAccount, NewAccount, create};
pub use velocity::{Used, used_by};

/// Time that the ring has before the scheduler wakeups again, in milliseconds.
const RING_GRACE_MS: i64 = 5_000;

/// Which accounts a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bank accounts and UPI addresses.
    Any,
    /// Bank accounts only: all that the deprecated family knows.
    Bank,
}

impl Kind {
    /// The word in the table; `None` where every word is meant.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Bank => Some("BANK"),
        }
    }
}

/// An account as it is read: with its customer's reference and its newest validation.
#[derive(Clone, Debug, QueryableByName)]
pub struct AccountRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    customer_id: Uuid,
    /// The merchant's reference for the customer.
    #[diesel(sql_type = Text)]
    pub object_reference_id: String,
    #[diesel(sql_type = Text)]
    kind: String,
    /// Sealed for the account's id.
    #[diesel(sql_type = Binary)]
    pub sealed_details: Vec<u8>,
    #[diesel(sql_type = Binary)]
    fingerprint: Vec<u8>,
    /// Juspay's bank code.
    #[diesel(sql_type = Nullable<Text>)]
    pub bank_code: Option<String>,
    /// `AccountStatus` by its word.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// The gateway that the call named.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub pinned_gateway_id: Option<i16>,
    /// The account there that the call named.
    #[diesel(sql_type = Nullable<Text>)]
    pub pinned_gateway_reference_id: Option<String>,
    /// The call's metadata, a JSON object.
    #[diesel(sql_type = Jsonb)]
    pub metadata: serde_json::Value,
    /// When it was stored.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When its status last changed.
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// When a gateway last told.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_validated_at: Option<DateTime<Utc>>,
    /// Its newest validation.
    #[diesel(embed)]
    pub validation: ValidationColumns,
}

/// The newest validation's columns; all null where there is none.
#[derive(Clone, Debug, QueryableByName)]
pub struct ValidationColumns {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    validation_id: Option<Uuid>,
    /// Gateway attempts so far.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub attempts: Option<i16>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    reused_from: Option<Uuid>,
    /// The gateway asked last.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub gateway_id: Option<i16>,
    /// The merchant's account there.
    #[diesel(sql_type = Nullable<Text>)]
    pub gateway_reference_id: Option<String>,
    /// `Method` by its word.
    #[diesel(sql_type = Nullable<Text>)]
    pub method: Option<String>,
    /// Name at bank and UTR, sealed for the account's id.
    #[diesel(sql_type = Nullable<Binary>)]
    pub sealed_result: Option<Vec<u8>>,
    /// 0–100.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub name_match_score: Option<i16>,
    /// `FailureCode` by its word.
    #[diesel(sql_type = Nullable<Text>)]
    pub failure_code: Option<String>,
    /// Its sentence.
    #[diesel(sql_type = Nullable<Text>)]
    pub failure_reason: Option<String>,
    /// When it was asked for.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub validation_created_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub completed_at: Option<DateTime<Utc>>,
}

impl AccountRow {
    /// Its id.
    pub fn id(&self) -> AccountId {
        AccountId(self.id)
    }

    /// Its customer.
    pub fn customer(&self) -> CustomerId {
        CustomerId(self.customer_id)
    }

    /// Whether a call about this kind is about it.
    pub fn is(&self, kind: Kind) -> bool {
        kind.word().is_none_or(|word| word == self.kind)
    }

    /// Its newest validation, unless that is finished.
    pub fn open_validation(&self, merchant: MerchantId) -> Option<ValidationKey> {
        let id = self.validation.id()?;
        let open = self.validation.completed_at.is_none();
        open.then_some(ValidationKey { merchant, id })
    }
}

impl ValidationColumns {
    /// The newest validation's id.
    pub fn id(&self) -> Option<ValidationId> {
        self.validation_id.map(ValidationId)
    }

    /// Whose result it is, where no gateway was asked anew.
    pub fn reused_from(&self) -> Option<ValidationId> {
        self.reused_from.map(ValidationId)
    }
}

/// What [`AccountRow`] is read from; callers add a `where`.
macro_rules! select_account {
    () => {
        "
    select a.id, a.customer_id, c.object_reference_id, a.kind, a.sealed_details, a.fingerprint, a.bank_code, a.status,
           a.pinned_gateway_id, a.pinned_gateway_reference_id, a.metadata, a.created_at, a.updated_at,
           a.last_validated_at, v.id as validation_id, v.attempts, v.reused_from, v.gateway_id,
           v.gateway_reference_id, v.method, v.sealed_result, v.name_match_score, v.failure_code, v.failure_reason,
           v.created_at as validation_created_at, v.completed_at
    from customer_accounts a
    join customers c on c.merchant_id = a.merchant_id and c.id = a.customer_id
    left join validations v on v.merchant_id = a.merchant_id and v.id = a.validation_id"
    };
}
use select_account;

/// The customer's live account with this id.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    account: AccountId,
) -> QueryResult<Option<AccountRow>> {
    let row = find_any(connection, merchant, customer, account)?;
    Ok(row.filter(|row| row.status != AccountStatus::Deleted.as_str()))
}

/// The customer's account with this id, also a deleted one.
fn find_any(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    account: AccountId,
) -> QueryResult<Option<AccountRow>> {
    let sql = concat!(select_account!(), " where a.merchant_id = $1 and a.id = $2");
    let row: Option<AccountRow> = statement(sql)
        .bind::<SqlUuid, _>(merchant.0)
        .bind::<SqlUuid, _>(account.0)
        .get_result(connection)
        .optional()?;
    Ok(row.filter(|row| match customer {
        CustomerRef::Id(id) => row.customer_id == id.0,
        CustomerRef::Reference(reference) => row.object_reference_id == reference.expose(),
    }))
}

/// These accounts of the merchant in this order, deleted ones too; those that there are not are left out.
pub fn find_many(
    connection: &mut PgConnection,
    merchant: MerchantId,
    accounts: &[AccountId],
) -> QueryResult<Vec<AccountRow>> {
    let sql = concat!(
        select_account!(),
        " join unnest($1::uuid[]) with ordinality as wanted (id, place) on wanted.id = a.id
         where a.merchant_id = $2 order by wanted.place"
    );
    statement(sql)
        .bind::<Array<SqlUuid>, _>(accounts.iter().map(|id| id.0).collect::<Vec<_>>())
        .bind::<SqlUuid, _>(merchant.0)
        .load(connection)
}

#[derive(QueryableByName)]
struct ValidatedRow {
    #[diesel(sql_type = SqlUuid)]
    wanted_merchant: Uuid,
    #[diesel(sql_type = SqlUuid)]
    wanted_validation: Uuid,
    #[diesel(embed)]
    account: AccountRow,
}

/// The accounts that these validations are about, as they stand, deleted ones too; with `finished`, only of validations
/// that are.
pub fn of_validations(
    connection: &mut PgConnection,
    keys: &[ValidationKey],
    finished: bool,
) -> QueryResult<Vec<(ValidationKey, AccountRow)>> {
    let sql = concat!(
        "select wanted.merchant_id as wanted_merchant, wanted.id as wanted_validation, found.*
         from unnest($1::uuid[], $2::uuid[]) as wanted (merchant_id, id)
         join validations w on w.merchant_id = wanted.merchant_id and w.id = wanted.id
         cross join lateral (",
        select_account!(),
        " where a.merchant_id = w.merchant_id and a.id = w.account_id) as found
         where w.completed_at is not null or not $3"
    );
    let rows: Vec<ValidatedRow> = statement(sql)
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.merchant.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.id.0).collect::<Vec<_>>())
        .bind::<Bool, _>(finished)
        .load(connection)?;
    let keyed = |row: ValidatedRow| {
        let key = ValidationKey {
            merchant: MerchantId(row.wanted_merchant),
            id: ValidationId(row.wanted_validation),
        };
        (key, row.account)
    };
    Ok(rows.into_iter().map(keyed).collect())
}

/// One page of a customer's live accounts, newest first.
#[derive(Debug)]
pub struct Page {
    /// The accounts.
    pub accounts: Vec<AccountRow>,
    /// How many the customer has.
    pub total: i64,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// A page of `count` accounts after the first `offset`; `None` if there is no such customer.
pub fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    kind: Kind,
    count: i64,
    offset: i64,
) -> QueryResult<Option<Page>> {
    let Some((id, _)) = customers::find_id(connection, merchant, customer)? else {
        return Ok(None);
    };
    // The ids are counted and skipped in the index alone, from whichever end is nearer: the last page of ten thousand accounts
    // costs what the first one does.
    macro_rules! live {
        ($select:literal, $kind:literal) => {
            concat!(
                "select ",
                $select,
                " from customer_accounts where merchant_id = $1 and customer_id = $2 and deleted_at is null",
                $kind
            )
        };
    }
    macro_rules! page {
        ($kind:literal, $order:literal) => {
            concat!(
                select_account!(),
                " join (",
                live!("id", $kind),
                " order by id ",
                $order,
                " limit $3 offset $4) as page on page.id = a.id where a.merchant_id = $5 order by a.id desc"
            )
        };
    }
    let total: CountRow = statement(match kind {
        Kind::Any => live!("count(*) as total", ""),
        Kind::Bank => live!("count(*) as total", " and kind = 'BANK'"),
    })
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(id.0)
    .get_result(connection)?;
    let total = total.total;
    let count = count.min(total - offset).max(0);
    let after = total - offset - count;
    let (sql, skip) = match (kind, offset <= after) {
        (Kind::Any, true) => (page!("", "desc"), offset),
        (Kind::Any, false) => (page!("", "asc"), after),
        (Kind::Bank, true) => (page!(" and kind = 'BANK'", "desc"), offset),
        (Kind::Bank, false) => (page!(" and kind = 'BANK'", "asc"), after),
    };
    let accounts = if count == 0 {
        Vec::new()
    } else {
        statement(sql)
            .bind::<SqlUuid, _>(merchant.0)
            .bind::<SqlUuid, _>(id.0)
            .bind::<BigInt, _>(count)
            .bind::<BigInt, _>(skip)
            .bind::<SqlUuid, _>(merchant.0)
            .load(connection)?
    };
    Ok(Some(Page { accounts, total }))
}
