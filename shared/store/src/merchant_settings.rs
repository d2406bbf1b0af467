//! A merchant's settings and numbers, for operators.

use diesel::prelude::*;

use super::merchants::{Merchant, is_active};
use super::schema::{api_keys, gateway_accounts, merchants};
use super::statement::statement;
use khata_domain::{AccountStatus, MerchantId};

/// Changes of a merchant's settings; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = merchants)]
pub struct Changes {
    /// Whether *create accounts* registers an unknown customer reference.
    pub implicit_customers: Option<bool>,
    /// Time after which a validation is given up, in seconds: 60 to 2,592,000.
    pub validation_deadline_seconds: Option<i32>,
    /// Maximum requests per second of one key, in each process: 1 to 1,000,000.
    pub requests_per_second: Option<i32>,
    /// Maximum validations of the same details in 24 hours: 1 to 32,767.
    pub validations_per_account_per_day: Option<i16>,
    /// Whether an account fails if its holder's name does not match.
    pub fail_on_name_mismatch: Option<bool>,
    /// Maximum age of a result that is reused for the same details, in seconds: 0 (never) to 31,536,000.
    pub reuse_results_seconds: Option<i32>,
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
    let keys = api_keys::table.filter(api_keys::merchant_id.eq(merchant));
    let gateways = gateway_accounts::table.filter(gateway_accounts::merchant_id.eq(merchant));
    Ok(Overview {
        active_keys: keys.filter(is_active()).count().get_result(connection)?,
        enabled_gateway_accounts: gateways
            .filter(gateway_accounts::enabled)
            .count()
            .get_result(connection)?,
        gateway_accounts: gateways.count().get_result(connection)?,
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
