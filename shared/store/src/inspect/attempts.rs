//! The attempts of an account's validations.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};

use crate::statement::statement;
use khata_domain::validation::AttemptState;
use khata_domain::{Class, GatewayAccountId, MerchantId, Method, ValidationId};

/// An attempt, with the merchant's name for the gateway account.
#[derive(Clone, Debug, QueryableByName)]
pub struct Attempt {
    #[diesel(sql_type = SqlUuid, column_name = validation_id)]
    pub validation: ValidationId,
    /// 1 for the first.
    #[diesel(sql_type = SmallInt)]
    pub number: i16,
    #[diesel(sql_type = SqlUuid, column_name = gateway_account_id)]
    pub gateway_account: GatewayAccountId,
    #[diesel(sql_type = SmallInt)]
    pub gateway_id: i16,
    /// The merchant's name for the gateway account.
    #[diesel(sql_type = Nullable<Text>)]
    pub gateway_reference_id: Option<String>,
    #[diesel(sql_type = Text)]
    pub method: Method,
    /// Khata's reference at the gateway.
    #[diesel(sql_type = Text)]
    pub reference: String,
    /// Why the routing chose this gateway account.
    #[diesel(sql_type = Text)]
    pub choice: String,
    #[diesel(sql_type = Text)]
    pub state: AttemptState,
    #[diesel(sql_type = Nullable<Text>)]
    pub class: Option<Class>,
    /// The gateway's code, or Khata's for a missing response.
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
    /// The gateway's code is in none of the connector's tables.
    #[diesel(sql_type = Bool)]
    pub unlisted_code: bool,
    /// The gateway's id for the call.
    #[diesel(sql_type = Nullable<Text>)]
    pub gateway_reference: Option<String>,
    /// Number of lookups so far.
    #[diesel(sql_type = SmallInt)]
    pub polls: i16,
    /// Milliseconds that the newest call took.
    #[diesel(sql_type = Nullable<Integer>)]
    pub latency_ms: Option<i32>,
    /// Whether the attempt before may have dropped a rupee too.
    #[diesel(sql_type = Bool)]
    pub possible_double_drop: bool,
    #[diesel(sql_type = Timestamptz)]
    pub started_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub settled_at: Option<DateTime<Utc>>,
}

/// Reads all attempts of these validations, in order.
pub fn attempts(
    connection: &mut PgConnection,
    merchant: MerchantId,
    validations: &[ValidationId],
) -> QueryResult<Vec<Attempt>> {
    statement(
        "select t.validation_id, t.number, t.gateway_account_id, t.gateway_id, g.reference_id as gateway_reference_id,
            t.method, t.reference, t.choice, t.state, t.class, t.code, t.unlisted_code, t.gateway_reference, t.polls,
            t.latency_ms, t.possible_double_drop, t.started_at, t.settled_at
         from unnest($1) as wanted (id)
         join validation_attempts t on t.merchant_id = $2 and t.validation_id = wanted.id
         left join gateway_accounts g on g.merchant_id = t.merchant_id and g.id = t.gateway_account_id
         order by t.validation_id, t.number",
    )
    .bind::<Array<SqlUuid>, _>(validations)
    .bind::<SqlUuid, _>(merchant)
    .load(connection)
}
