//! A merchant's settings and numbers, for operators.

use diesel::prelude::*;

use super::budget;
use super::merchants::Merchant;
use super::schema::merchants;
use super::statement::statement;
use khata_domain::{AccountStatus, MerchantId};

/// Changes of the settings of a [`Merchant`]; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = merchants)]
pub struct Changes {
    pub implicit_customers: Option<bool>,
    pub validation_deadline_seconds: Option<i32>,
    pub requests_per_second: Option<i32>,
    pub validations_per_account_per_day: Option<i16>,
    pub reuse_results_seconds: Option<i32>,
    pub recovery_patience_seconds: Option<i32>,
    pub paid_attempts_per_validation: Option<i16>,
    pub penny_drops_per_day: Option<i32>,
    pub fail_names_below: Option<i16>,
    pub review_names_below: Option<i16>,
    pub event_days: Option<i16>,
}

/// Changes settings and returns them before and after. Call it in a transaction: the row is locked until it ends.
pub fn change(
    connection: &mut PgConnection,
    merchant: MerchantId,
    changes: &Changes,
) -> QueryResult<(Merchant, Merchant)> {
    let before: Merchant = merchants::table
        .find(merchant)
        .select(Merchant::as_select())
        .for_no_key_update()
        .first(connection)?;
    if *changes == Changes::default() {
        return Ok((before.clone(), before));
    }
    let after = diesel::update(merchants::table.find(merchant))
        .set(changes)
        .returning(Merchant::as_returning())
        .get_result(connection)?;
    Ok((before, after))
}

/// Numbers of a merchant's keys, gateway accounts and accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Keys that are neither revoked nor expired.
    pub active_keys: i64,
    /// Gateway accounts that new attempts may use.
    pub enabled_gateway_accounts: i64,
    pub gateway_accounts: i64,
    /// Penny drops of this day that count against the budget.
    pub penny_drops_today: i64,
    /// Number of accounts by status, among the newest.
    pub accounts: Vec<(AccountStatus, i64)>,
}

impl Overview {
    /// Returns the number of accounts that were counted.
    pub fn accounts_counted(&self) -> i64 {
        self.accounts.iter().map(|(_, accounts)| accounts).sum()
    }
}

/// Counts the merchant's keys, gateway accounts and accounts. Of the accounts, only the newest `limit` are read, by the
/// primary key: no index contains the status, so that a status change stays a heap-only update.
pub fn overview(
    connection: &mut PgConnection,
    merchant: MerchantId,
    limit: i64,
) -> QueryResult<Overview> {
    let (active_keys, enabled_gateway_accounts, gateway_accounts) = statement(
        "select (select count(*) from api_keys
                 where merchant_id = $1 and revoked_at is null and (expires_at is null or expires_at > now())),
            count(*) filter (where enabled), count(*)
         from gateway_accounts where merchant_id = $1",
    )
    .bind(merchant)
    .tuple(connection)?;
    Ok(Overview {
        active_keys,
        enabled_gateway_accounts,
        gateway_accounts,
        penny_drops_today: budget::used(connection, &[merchant])?.by(merchant),
        accounts: statement(
            "select status, count(*)
             from (select status from customer_accounts where merchant_id = $1 order by id desc limit $2) as newest
             group by status order by status",
        )
        .bind(merchant)
        .bind(limit)
        .tuples(connection)?,
    })
}

/// Deletes at most `limit` counts of penny drops, of days that ended a week ago. Returns their number.
pub fn delete_expired(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    statement(format!(
        "delete from penny_drop_counts c using (
            select merchant_id, day, slot from penny_drop_counts where day < {} - 7 order by day limit $1
         ) old
         where c.merchant_id = old.merchant_id and c.day = old.day and c.slot = old.slot",
        budget::DAY
    ))
    .bind(limit)
    .execute(connection)
}
