//! Merchants' accounts at gateways.

mod credentials;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::column::row;
use super::statement::statement;
use super::validations::MAY_PAY;
use khata_domain::ids::first_at;
use khata_domain::{GatewayAccountId, MerchantId};

row! {
    /// A merchant's account at a gateway, with encrypted credentials.
    #[derive(Clone, Debug, PartialEq)]
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
        /// JSON, encrypted for this gateway account and bound to its addresses: see [`GatewayAccount::credentials`].
        pub sealed_credentials: Option<Vec<u8>>,
        /// The connector's settings.
        pub settings: serde_json::Value,
    }
}

const SELECT: &str =
    "select merchant_id, id, gateway_id, reference_id, priority, pinned_only, enabled, base_url,
    sealed_credentials, settings from gateway_accounts";

/// A gateway account as the operator configures it: see [`GatewayAccount`].
#[derive(Clone, Copy, Debug)]
pub struct NewGatewayAccount<'a> {
    pub id: GatewayAccountId,
    pub gateway_id: i16,
    pub reference_id: &'a str,
    pub priority: i16,
    pub pinned_only: bool,
    pub base_url: Option<&'a str>,
    pub settings: &'a serde_json::Value,
}

/// Lists a merchant's gateway accounts by priority.
pub fn of_merchant(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<Vec<GatewayAccount>> {
    statement(format!(
        "{SELECT} where merchant_id = $1 order by priority, id"
    ))
    .bind(merchant)
    .load(connection)
}

/// Finds the merchant's account with this name at this gateway.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    gateway_id: i16,
    reference_id: &str,
) -> QueryResult<Option<GatewayAccount>> {
    statement(format!(
        "{SELECT} where merchant_id = $1 and gateway_id = $2 and reference_id = $3"
    ))
    .bind(merchant)
    .bind(gateway_id)
    .bind(reference_id)
    .get_result(connection)
    .optional()
}

/// Finds the gateway account with this id of any merchant: for gateway webhooks, which name no merchant.
pub fn find_by_id(
    connection: &mut PgConnection,
    account: GatewayAccountId,
) -> QueryResult<Option<GatewayAccount>> {
    statement(format!("{SELECT} where id = $1"))
        .bind(account)
        .get_result(connection)
        .optional()
}

/// Reads a gateway account and locks its row until the transaction ends, so that a change misses no other change.
pub fn lock(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: GatewayAccountId,
) -> QueryResult<Option<GatewayAccount>> {
    statement(format!(
        "{SELECT} where merchant_id = $1 and id = $2 for update"
    ))
    .key(merchant, account)
    .get_result(connection)
    .optional()
}

/// Inserts a gateway account; `sealed_credentials` must be encrypted by [`NewGatewayAccount::seal`]. Returns `false`, and changes
/// nothing, if the merchant has an account of the same gateway and reference.
pub fn insert(
    connection: &mut PgConnection,
    merchant: MerchantId,
    new: &NewGatewayAccount<'_>,
    sealed_credentials: Option<Vec<u8>>,
) -> QueryResult<bool> {
    statement(
        "insert into gateway_accounts (merchant_id, id, gateway_id, reference_id, priority, pinned_only, base_url,
            sealed_credentials, settings)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (merchant_id, gateway_id, reference_id) do nothing",
    )
    .key(merchant, new.id)
    .bind(new.gateway_id)
    .bind(new.reference_id)
    .bind(new.priority)
    .bind(new.pinned_only)
    .bind(new.base_url)
    .bind(sealed_credentials)
    .bind(new.settings)
    .execute(connection)
    .map(|inserted| inserted > 0)
}

/// Stores the configuration of an existing gateway account. Its gateway and reference stay; `sealed_credentials` as for [`insert`].
pub fn update(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: &NewGatewayAccount<'_>,
    sealed_credentials: Option<Vec<u8>>,
) -> QueryResult<()> {
    statement(
        "update gateway_accounts
         set priority = $1, pinned_only = $2, base_url = $3, sealed_credentials = $4, settings = $5, updated_at = now()
         where merchant_id = $6 and id = $7",
    )
    .bind(account.priority)
    .bind(account.pinned_only)
    .bind(account.base_url)
    .bind(sealed_credentials)
    .bind(account.settings)
    .key(merchant, account.id)
    .run(connection)
}

/// Lets new attempts use a gateway account, or not. Returns whether that changed anything.
pub fn set_enabled(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: GatewayAccountId,
    enabled: bool,
) -> QueryResult<bool> {
    statement(
        "update gateway_accounts set enabled = $1, updated_at = now()
         where merchant_id = $2 and id = $3 and enabled <> $1",
    )
    .bind(enabled)
    .key(merchant, account)
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
        /// Attempts that may have dropped a rupee after one that may have dropped one without a known result.
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
    statement(format!(
        "select gateway_account_id, class, count(*) as attempts,
            count(*) filter (where possible_double_drop) as possible_double_drops
         from (
            select t.gateway_account_id, case when t.state = 'SETTLED' then t.class else t.state end as class,
                t.possible_double_drop and {MAY_PAY} as possible_double_drop
            from validation_attempts t
            where t.merchant_id = $1 and t.validation_id >= $2
            order by t.validation_id desc, t.number desc limit $3
         ) as newest
         group by gateway_account_id, class
         order by gateway_account_id, class"
    ))
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
