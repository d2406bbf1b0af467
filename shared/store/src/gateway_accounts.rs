//! Merchants' accounts at gateways.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::column::row;
use super::schema::gateway_accounts;
use super::statement::statement;
use khata_domain::ids::first_at;
use khata_domain::{GatewayAccountId, MerchantId};

/// A merchant's account at a gateway, with encrypted credentials.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = gateway_accounts, check_for_backend(diesel::pg::Pg))]
pub struct GatewayAccount {
    #[diesel(column_name = merchant_id)]
    pub merchant: MerchantId,
    pub id: GatewayAccountId,
    /// Juspay's gateway id; this build may have no connector for it.
    pub gateway_id: i16,
    /// The merchant's name for the gateway account.
    pub reference_id: String,
    /// Lower is called first.
    pub priority: i16,
    /// Used only by requests that name the gateway.
    pub pinned_only: bool,
    /// Whether new attempts may use it; open attempts are finished in any case.
    pub enabled: bool,
    /// Overrides the gateway's public address.
    pub base_url: Option<String>,
    /// JSON, encrypted for this gateway account.
    pub sealed_credentials: Option<Vec<u8>>,
    /// The connector's settings.
    pub settings: serde_json::Value,
}

/// A gateway account as the operator configures it.
#[derive(Clone, Debug)]
pub struct NewGatewayAccount<'a> {
    /// Id for a new gateway account.
    pub id: GatewayAccountId,
    /// Juspay's gateway id.
    pub gateway_id: i16,
    /// The merchant's name for the gateway account.
    pub reference_id: &'a str,
    /// Lower is called first.
    pub priority: i16,
    /// Used only by requests that name the gateway.
    pub pinned_only: bool,
    /// Overrides the gateway's public address.
    pub base_url: Option<&'a str>,
    /// The connector's settings.
    pub settings: &'a serde_json::Value,
}

/// Lists a merchant's gateway accounts by priority.
pub fn of_merchant(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<Vec<GatewayAccount>> {
    gateway_accounts::table
        .filter(gateway_accounts::merchant_id.eq(merchant))
        .order((gateway_accounts::priority, gateway_accounts::id))
        .select(GatewayAccount::as_select())
        .load(connection)
}

/// Finds the merchant's account with this name at this gateway.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    gateway_id: i16,
    reference_id: &str,
) -> QueryResult<Option<GatewayAccount>> {
    gateway_accounts::table
        .filter(gateway_accounts::merchant_id.eq(merchant))
        .filter(gateway_accounts::gateway_id.eq(gateway_id))
        .filter(gateway_accounts::reference_id.eq(reference_id))
        .select(GatewayAccount::as_select())
        .first(connection)
        .optional()
}

/// Finds the gateway account with this id of any merchant: for gateway webhooks, which name no merchant.
pub fn find_by_id(
    connection: &mut PgConnection,
    account: GatewayAccountId,
) -> QueryResult<Option<GatewayAccount>> {
    gateway_accounts::table
        .filter(gateway_accounts::id.eq(account))
        .select(GatewayAccount::as_select())
        .first(connection)
        .optional()
}

/// Inserts a gateway account, or updates the one of the same gateway and reference; `sealed_credentials` must be encrypted
/// for the id in `new`.
pub fn upsert(
    connection: &mut PgConnection,
    merchant: MerchantId,
    new: &NewGatewayAccount<'_>,
    sealed_credentials: Option<Vec<u8>>,
) -> QueryResult<()> {
    let changeable = (
        gateway_accounts::priority.eq(new.priority),
        gateway_accounts::pinned_only.eq(new.pinned_only),
        gateway_accounts::base_url.eq(new.base_url),
        gateway_accounts::sealed_credentials.eq(sealed_credentials),
        gateway_accounts::settings.eq(new.settings),
    );
    diesel::insert_into(gateway_accounts::table)
        .values((
            gateway_accounts::merchant_id.eq(merchant),
            gateway_accounts::id.eq(new.id),
            gateway_accounts::gateway_id.eq(new.gateway_id),
            gateway_accounts::reference_id.eq(new.reference_id),
            changeable.clone(),
        ))
        .on_conflict((
            gateway_accounts::merchant_id,
            gateway_accounts::gateway_id,
            gateway_accounts::reference_id,
        ))
        .do_update()
        .set((
            changeable,
            gateway_accounts::updated_at.eq(diesel::dsl::now),
        ))
        .execute(connection)
        .map(drop)
}

/// Lets new attempts use a gateway account, or not. Returns whether that changed anything.
pub fn set_enabled(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: GatewayAccountId,
    enabled: bool,
) -> QueryResult<bool> {
    diesel::update(gateway_accounts::table)
        .filter(gateway_accounts::merchant_id.eq(merchant))
        .filter(gateway_accounts::id.eq(account))
        .filter(gateway_accounts::enabled.ne(enabled))
        .set((
            gateway_accounts::enabled.eq(enabled),
            gateway_accounts::updated_at.eq(diesel::dsl::now),
        ))
        .execute(connection)
        .map(|changed| changed > 0)
}

row! {
    /// Number of attempts at one gateway account with one class.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct AttemptCount {
        #[diesel(column_name = gateway_account_id)]
        pub gateway_account: GatewayAccountId,
        /// The class of a settled attempt, the state of an open one.
        pub class: String,
        pub attempts: i64,
        /// Attempts that followed one that may have dropped a rupee without a known result.
        pub possible_double_drops: i64,
    }
}

/// Counts the attempts of the validations that were created after `since`, by gateway account and class. The ids of
/// validations begin with their time, so this is one range of the attempts' primary key; only its newest `limit` rows are
/// read.
pub fn attempts_by_class(
    connection: &mut PgConnection,
    merchant: MerchantId,
    since: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Vec<AttemptCount>> {
    statement(
        "select gateway_account_id, class, count(*) as attempts,
            count(*) filter (where possible_double_drop) as possible_double_drops
         from (
            select gateway_account_id, case when state = 'SETTLED' then class else state end as class,
                possible_double_drop
            from validation_attempts
            where merchant_id = $1 and validation_id >= $2
            order by validation_id desc, number desc limit $3
         ) as newest
         group by gateway_account_id, class
         order by gateway_account_id, class",
    )
    .key(merchant, first_at(since))
    .bind(limit)
    .load(connection)
}

row! {
    /// Number of attempts at one gateway account with a code that is in none of the connector's tables.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct UnlistedCode {
        #[diesel(column_name = gateway_account_id)]
        pub gateway_account: GatewayAccountId,
        /// The gateway's code.
        pub code: String,
        pub attempts: i64,
    }
}

/// Counts the unknown codes among the attempts that [`attempts_by_class`] counts; the most frequent first.
pub fn unlisted_codes(
    connection: &mut PgConnection,
    merchant: MerchantId,
    since: DateTime<Utc>,
    limit: i64,
) -> QueryResult<Vec<UnlistedCode>> {
    statement(
        "select gateway_account_id, code, count(*) as attempts
         from (
            select gateway_account_id, code, unlisted_code from validation_attempts
            where merchant_id = $1 and validation_id >= $2
            order by validation_id desc, number desc limit $3
         ) as newest
         where unlisted_code and code is not null
         group by gateway_account_id, code
         order by gateway_account_id, attempts desc, code",
    )
    .key(merchant, first_at(since))
    .bind(limit)
    .load(connection)
}
