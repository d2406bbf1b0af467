//! The attempts of an account's validations.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::column::row;
use crate::statement::statement;
use khata_domain::validation::AttemptState;
use khata_domain::{Class, GatewayAccountId, MerchantId, Method, ValidationId};

row! {
    /// An attempt, with the merchant's name for the gateway account.
    #[derive(Clone, Debug)]
    pub struct Attempt {
        #[diesel(column_name = validation_id)]
        pub validation: ValidationId,
        /// 1 for the first.
        pub number: i16,
        #[diesel(column_name = gateway_account_id)]
        pub gateway_account: GatewayAccountId,
        pub gateway_id: i16,
        /// The merchant's name for the gateway account.
        pub gateway_reference_id: Option<String>,
        pub method: Method,
        /// Khata's reference at the gateway.
        pub reference: String,
        /// Why the routing chose this gateway account.
        pub choice: String,
        pub state: AttemptState,
        pub class: Option<Class>,
        /// The gateway's code, or Khata's for a missing response.
        pub code: Option<String>,
        /// The gateway's code is in none of the connector's tables.
        pub unlisted_code: bool,
        /// The gateway's id for the call.
        pub gateway_reference: Option<String>,
        /// Number of lookups so far.
        pub polls: i16,
        /// Milliseconds that the newest call took.
        pub latency_ms: Option<i32>,
        /// Whether the attempt before may have dropped a rupee too.
        pub possible_double_drop: bool,
        pub started_at: DateTime<Utc>,
        pub settled_at: Option<DateTime<Utc>>,
    }
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
    .bind(validations)
    .bind(merchant)
    .load(connection)
}
