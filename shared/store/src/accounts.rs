//! Customers' accounts: created in batches by the group commit, read one by one, validated again, deleted.

mod change;
mod columns;
mod create;
mod new;
mod velocity;

use diesel::prelude::*;

use super::customers;
use super::statement::{statement, validation_keys};
use columns::select_account;
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, AccountKind, MerchantId, ValidationKey};

pub use change::{Deleted, Revalidation, ValidateAgain, delete, validate_again};
pub(crate) use columns::{ACCOUNT_COLUMNS, row_columns};
pub use columns::{AccountColumns, AccountRow, ValidationColumns, find};
pub use create::{Created, CreatedAccount, create};
pub use new::{CreateAccounts, NewAccount, ValidationTerms};
pub use velocity::{Limited, RecentValidations, recent_validations};

/// Finds these accounts of the merchant, deleted ones too, in this order; unknown ids are left out.
pub fn find_many(
    connection: &mut PgConnection,
    merchant: MerchantId,
    accounts: &[AccountId],
) -> QueryResult<Vec<AccountRow>> {
    let sql = format!(
        "{} join unnest($1) with ordinality as wanted (id, place) on wanted.id = a.id
         where a.merchant_id = $2 order by wanted.place",
        select_account()
    );
    statement(sql)
        .bind(accounts)
        .bind(merchant)
        .load(connection)
}

/// Reads the accounts of these validations as they are now, deleted ones too; with `finished`, only those of completed
/// validations.
pub fn of_validations(
    connection: &mut PgConnection,
    keys: &[ValidationKey],
    finished: bool,
) -> QueryResult<Vec<(ValidationKey, AccountRow)>> {
    let sql = format!(
        "select w.id as validation_id, found.*
         from $1 as wanted
         join validations w on w.merchant_id = wanted.merchant_id and w.id = wanted.id
         cross join lateral ({} where a.merchant_id = w.merchant_id and a.id = w.account_id) as found
         where w.completed_at is not null or not $2",
        select_account()
    );
    statement(sql)
        .rows(validation_keys(keys))
        .bind(finished)
        .load(connection)
}

/// One page of a customer's live accounts, newest first.
#[derive(Debug)]
pub struct Page {
    pub accounts: Vec<AccountRow>,
    /// Number of accounts on all pages.
    pub total: i64,
}

/// Lists `count` live accounts after the first `offset`, of one kind or of every kind; `None` if there is no such customer.
pub fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    kind: Option<AccountKind>,
    count: i64,
    offset: i64,
) -> QueryResult<Option<Page>> {
    let Some((id, _)) = customers::find_id(connection, merchant, customer)? else {
        return Ok(None);
    };
    // Postgres counts and skips ids in the index alone, from the nearer end: the last page of ten thousand accounts costs as
    // much as the first.
    let of_kind = match kind {
        None => "",
        Some(AccountKind::Bank) => " and kind = 'BANK'",
        Some(AccountKind::Upi) => " and kind = 'UPI'",
    };
    let live = format!(
        "from customer_accounts where merchant_id = $1 and customer_id = $2 and deleted_at is null{of_kind}"
    );
    let total: i64 = statement(format!("select count(*) {live}"))
        .key(merchant, id)
        .tuple(connection)?;
    let count = count.min(total - offset).max(0);
    if count == 0 {
        let accounts = Vec::new();
        return Ok(Some(Page { accounts, total }));
    }
    let after = total - offset - count;
    let order = if offset <= after { "desc" } else { "asc" };
    let accounts = statement(format!(
        "{} join (select id {live} order by id {order} limit $3 offset $4) as page on page.id = a.id
         where a.merchant_id = $1 order by a.id desc",
        select_account()
    ))
    .key(merchant, id)
    .bind(count)
    .bind(offset.min(after))
    .load(connection)?;
    Ok(Some(Page { accounts, total }))
}
