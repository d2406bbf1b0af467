//! What ops people set of a merchant, and what they see of it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::schema::{api_keys, gateway_accounts, merchants};
use super::statement::statement;
use khata_domain::MerchantId;

/// The settings of a merchant that are to change; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, AsChangeset)]
#[diesel(table_name = merchants)]
pub struct Changes {
    /// Whether *create accounts* registers an unknown customer reference.
    pub implicit_customers: Option<bool>,
    /// How long a validation is tried, in seconds: 60 to 2,592,000.
    pub validation_deadline_seconds: Option<i32>,
    /// Requests that one key may make in a second, in each process: 1 to 1,000,000.
    pub requests_per_second: Option<i32>,
    /// Validations that the same details may have in 24 hours: 1 to 32,767.
    pub validations_per_account_per_day: Option<i16>,
    /// Whether an account whose holder has quite another name fails.
    pub fail_on_name_mismatch: Option<bool>,
    /// How old a result of the same details may be to be used again, in seconds: 0 (never) to 31,536,000.
    pub reuse_results_seconds: Option<i32>,
}

impl Changes {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A merchant with all its settings.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = merchants, check_for_backend(diesel::pg::Pg))]
pub struct Settings {
    id: Uuid,
    /// Unique.
    pub name: String,
    /// Whether *create accounts* registers an unknown customer reference.
    pub implicit_customers: bool,
    /// How long a validation is tried, in seconds.
    pub validation_deadline_seconds: i32,
    /// Requests that one key may make in a second, in each process.
    pub requests_per_second: i32,
    /// Validations that the same details may have in 24 hours.
    pub validations_per_account_per_day: i16,
    /// Whether an account whose holder has quite another name fails.
    pub fail_on_name_mismatch: bool,
    /// How old a result of the same details may be to be used again, in seconds; 0: never.
    pub reuse_results_seconds: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

impl Settings {
    /// The merchant's id.
    pub fn merchant(&self) -> MerchantId {
        MerchantId(self.id)
    }
}

/// Every merchant, by name.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Settings>> {
    merchants::table
        .order(merchants::name)
        .select(Settings::as_select())
        .load(connection)
}

/// The merchant's settings.
pub fn of_merchant(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<Settings> {
    merchants::table
        .find(merchant.0)
        .select(Settings::as_select())
        .first(connection)
}

/// Changes settings and answers them as they were before and are now. In a transaction: nobody else changes them
/// meanwhile.
pub fn change(
    connection: &mut PgConnection,
    merchant: MerchantId,
    changes: &Changes,
) -> QueryResult<(Settings, Settings)> {
    let before: Settings = merchants::table
        .find(merchant.0)
        .select(Settings::as_select())
        .for_no_key_update()
        .first(connection)?;
    if changes.is_empty() {
        return Ok((before.clone(), before));
    }
    let after = diesel::update(merchants::table.find(merchant.0))
        .set(changes)
        .returning(Settings::as_returning())
        .get_result(connection)?;
    Ok((before, after))
}

/// What a merchant has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Keys that are neither revoked nor expired.
    pub active_keys: i64,
    /// Gateway accounts that new attempts may use.
    pub enabled_gateway_accounts: i64,
    /// All gateway accounts.
    pub gateway_accounts: i64,
    /// Of the newest accounts looked at, how many have which status.
    pub accounts: Vec<StatusCount>,
}

impl Holdings {
    /// How many accounts were looked at.
    pub fn accounts_counted(&self) -> i64 {
        self.accounts.iter().map(|row| row.accounts).sum()
    }
}

/// Accounts with one status.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct StatusCount {
    /// `AccountStatus` by its word.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub accounts: i64,
}

/// What the merchant has. No index names the status, on purpose: of the accounts only the newest `limit` are read, by
/// the primary key, whose ids begin with their time.
pub fn holdings(
    connection: &mut PgConnection,
    merchant: MerchantId,
    limit: i64,
) -> QueryResult<Holdings> {
    let keys = api_keys::table
        .filter(api_keys::merchant_id.eq(merchant.0))
        .filter(api_keys::revoked_at.is_null())
        .filter(
            api_keys::expires_at
                .is_null()
                .or(api_keys::expires_at.gt(diesel::dsl::now)),
        );
    let gateways = gateway_accounts::table.filter(gateway_accounts::merchant_id.eq(merchant.0));
    Ok(Holdings {
        active_keys: keys.count().get_result(connection)?,
        enabled_gateway_accounts: gateways
            .filter(gateway_accounts::enabled)
            .count()
            .get_result(connection)?,
        gateway_accounts: gateways.count().get_result(connection)?,
        accounts: statement(
            "select status, count(*) as accounts
             from (select status from customer_accounts where merchant_id = $1 order by id desc limit $2) as newest
             group by status order by status",
        )
        .bind::<SqlUuid, _>(merchant.0)
        .bind::<BigInt, _>(limit)
        .load(connection)?,
    })
}
