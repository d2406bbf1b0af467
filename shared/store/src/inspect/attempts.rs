//! The attempts of an account's validations.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use crate::statement::statement;
use khata_domain::{GatewayAccountId, MerchantId, ValidationId};

/// An attempt, with the merchant's name for the gateway account it was made at.
#[derive(Clone, Debug, QueryableByName)]
pub struct Attempt {
    #[diesel(sql_type = SqlUuid)]
    validation_id: Uuid,
    /// 1 for the first.
    #[diesel(sql_type = SmallInt)]
    pub number: i16,
    #[diesel(sql_type = SqlUuid)]
    gateway_account_id: Uuid,
    /// At which gateway.
    #[diesel(sql_type = SmallInt)]
    pub gateway_id: i16,
    /// The merchant's name for the gateway account.
    #[diesel(sql_type = Nullable<Text>)]
    pub gateway_reference_id: Option<String>,
    /// `Method` by its word.
    #[diesel(sql_type = Text)]
    pub method: String,
    /// Ours, at the gateway.
    #[diesel(sql_type = Text)]
    pub reference: String,
    /// Why the routing chose this gateway account.
    #[diesel(sql_type = Text)]
    pub choice: String,
    /// `AttemptState` by its word.
    #[diesel(sql_type = Text)]
    pub state: String,
    /// `Class` by its word.
    #[diesel(sql_type = Nullable<Text>)]
    pub class: Option<String>,
    /// The gateway's own word, or ours for its silence.
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
    /// The gateway's word stands in none of our tables.
    #[diesel(sql_type = Bool)]
    pub unlisted_code: bool,
    /// The gateway's id for the call.
    #[diesel(sql_type = Nullable<Text>)]
    pub gateway_reference: Option<String>,
    /// Looks made at it.
    #[diesel(sql_type = SmallInt)]
    pub polls: i16,
    /// Milliseconds that the newest call took.
    #[diesel(sql_type = Nullable<Integer>)]
    pub latency_ms: Option<i32>,
    /// Whether the rupee of the attempt before may have been dropped as well.
    #[diesel(sql_type = Bool)]
    pub possible_double_drop: bool,
    /// When it was written down.
    #[diesel(sql_type = Timestamptz)]
    pub started_at: DateTime<Utc>,
    /// When nothing more could come of it.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub settled_at: Option<DateTime<Utc>>,
}

impl Attempt {
    /// Of which validation.
    pub fn validation(&self) -> ValidationId {
        ValidationId(self.validation_id)
    }

    /// At which gateway account.
    pub fn gateway_account(&self) -> GatewayAccountId {
        GatewayAccountId(self.gateway_account_id)
    }
}

/// All attempts of these validations, in order.
pub fn attempts(
    connection: &mut PgConnection,
    merchant: MerchantId,
    validations: &[ValidationId],
) -> QueryResult<Vec<Attempt>> {
    statement(
        "select t.validation_id, t.number, t.gateway_account_id, t.gateway_id, g.reference_id as gateway_reference_id,
            t.method, t.reference, t.choice, t.state, t.class, t.code, t.unlisted_code, t.gateway_reference, t.polls,
            t.latency_ms, t.possible_double_drop, t.started_at, t.settled_at
         from unnest($1::uuid[]) as wanted (id)
         join validation_attempts t on t.merchant_id = $2 and t.validation_id = wanted.id
         left join gateway_accounts g on g.merchant_id = t.merchant_id and g.id = t.gateway_account_id
         order by t.validation_id, t.number",
    )
    .bind::<Array<SqlUuid>, _>(validations.iter().map(|id| id.0).collect::<Vec<_>>())
    .bind::<SqlUuid, _>(merchant.0)
    .load(connection)
}
