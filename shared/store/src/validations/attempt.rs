//! Attempts: one row per gateway call, written before the call.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::budget::{self, WORKER_SLOT};
use crate::column::row;
use crate::statement::{rows, statement, validation_keys};
use khata_domain::gateway::{NOT_RECEIVED, RESPONSE_LOST};
use khata_domain::validation::AttemptState;
use khata_domain::{Class, GatewayAccountId, Method, ValidationKey};

row! {
    /// An attempt.
    #[derive(Clone, Debug)]
    pub struct Attempt {
        #[diesel(embed)]
        pub key: ValidationKey,
        /// 1 for the first.
        pub number: i16,
        #[diesel(column_name = gateway_account_id)]
        pub gateway_account: GatewayAccountId,
        pub gateway_id: i16,
        pub method: Method,
        /// Khata's reference at the gateway.
        pub reference: String,
        pub state: AttemptState,
        pub class: Option<Class>,
        /// The gateway's code, or Khata's for a missing response.
        pub code: Option<String>,
        /// The gateway's id for the call.
        pub gateway_reference: Option<String>,
        /// Number of lookups so far.
        pub polls: i16,
        pub started_at: DateTime<Utc>,
        /// When the call was last made.
        pub sent_at: DateTime<Utc>,
    }
}

/// The `select` list of [`Attempt`], from `validation_attempts t`.
pub(crate) const COLUMNS: &str =
    "t.merchant_id, t.validation_id, t.number, t.gateway_account_id, t.gateway_id, t.method,
    t.reference, t.state, t.class, t.code, t.gateway_reference, t.polls, t.started_at,
    coalesce(t.sent_at, t.started_at) as sent_at";

/// Reads all attempts of these validations, in order of number.
pub fn attempts(
    connection: &mut PgConnection,
    validations: &[ValidationKey],
) -> QueryResult<HashMap<ValidationKey, Vec<Attempt>>> {
    let rows: Vec<Attempt> = statement(format!(
        "select {COLUMNS} from $1 as wanted
         join validation_attempts t on t.merchant_id = wanted.merchant_id and t.validation_id = wanted.id
         order by t.merchant_id, t.validation_id, t.number"
    ))
    .rows(validation_keys(validations))
    .load(connection)?;
    let mut by_validation: HashMap<ValidationKey, Vec<Attempt>> = HashMap::new();
    for row in rows {
        by_validation.entry(row.key).or_default().push(row);
    }
    Ok(by_validation)
}

/// An attempt that is about to be made.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    pub key: ValidationKey,
    /// 1 for the first.
    pub number: i16,
    pub gateway_account: GatewayAccountId,
    pub gateway_id: i16,
    pub method: Method,
    /// Khata's reference at the gateway.
    pub reference: String,
    /// Why the routing chose this gateway account.
    pub choice: String,
    /// Whether the attempt before may have dropped a rupee without a known result.
    pub possible_double_drop: bool,
}

/// Writes attempts before their calls are made. The call that began a validation counted its first penny drop against the
/// merchant's budget; further ones count here.
pub fn insert_attempts(connection: &mut PgConnection, attempts: &[NewAttempt]) -> QueryResult<()> {
    let count_drops = budget::count("drops");
    statement(format!(
        "with attempt as (
            insert into validation_attempts (merchant_id, validation_id, number, gateway_account_id, gateway_id, method,
                reference, choice, possible_double_drop, state)
            select merchant_id, validation_id, number, gateway_account_id, gateway_id, method, reference, choice,
                possible_double_drop, 'STARTED'
            from $1 as input
            returning merchant_id, method, number
         ), drops as (
            select merchant_id, {WORKER_SLOT} as slot from attempt where method = 'PENNY_DROP' and number > 1
         )
         {count_drops}"
    ))
    .rows(rows!(attempts, attempt => {
        merchant_id = attempt.key.merchant,
        validation_id = attempt.key.id,
        number = attempt.number,
        gateway_account_id = attempt.gateway_account,
        gateway_id = attempt.gateway_id,
        method = attempt.method,
        reference = attempt.reference.as_str(),
        choice = attempt.choice.as_str(),
        possible_double_drop = attempt.possible_double_drop,
    }))
    .run(connection)
}

/// Gives up unfinished attempts: as lost, unless the gateway has not received the call.
pub fn give_up_attempts(
    connection: &mut PgConnection,
    lost: &[(ValidationKey, i16)],
) -> QueryResult<()> {
    statement(
        "update validation_attempts t
         set state = 'SETTLED', class = 'RETRYABLE', settled_at = now(),
            code = case t.code when lost.not_received then t.code else lost.code end
         from $1 as lost
         where t.merchant_id = lost.merchant_id and t.validation_id = lost.validation_id and t.number = lost.number
           and t.state <> 'SETTLED'",
    )
    .rows(rows!(lost, (key, number) => {
        merchant_id = key.merchant,
        validation_id = key.id,
        number = *number,
        code = RESPONSE_LOST,
        not_received = NOT_RECEIVED,
    }))
    .run(connection)
}

/// Starts attempts again whose calls the gateway has not received. Their calls may move a rupee again from now on, so that a
/// worker that takes over looks them up first.
pub fn restart_attempts(
    connection: &mut PgConnection,
    attempts: &[(ValidationKey, i16)],
) -> QueryResult<()> {
    statement(
        "update validation_attempts t
         set state = 'STARTED', code = null, sent_at = now()
         from $1 as again
         where t.merchant_id = again.merchant_id and t.validation_id = again.validation_id and t.number = again.number
           and t.state <> 'SETTLED'",
    )
    .rows(rows!(attempts, (key, number) => {
        merchant_id = key.merchant,
        validation_id = key.id,
        number = *number,
    }))
    .run(connection)
}
