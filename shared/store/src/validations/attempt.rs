//! Attempts: one row per gateway call, written before the call.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::budget::{self, WORKER_SLOT};
use crate::column::row;
use crate::statement::{rows, statement, validation_keys};
use khata_domain::gateway::{NOT_RECEIVED, RESPONSE_LOST};
use khata_domain::plan::CallAgain;
use khata_domain::validation::{AttemptState, FailureCode};
use khata_domain::{Class, GatewayAccountId, MerchantId, Method, ValidationKey};

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
        /// Why the account takes no credit by the gateway's word, also where the gateway does not decide about it.
        #[diesel(column_name = failure_code)]
        pub failure: Option<FailureCode>,
        /// The gateway's id for the call.
        pub gateway_reference: Option<String>,
        /// Number of lookups so far.
        pub polls: i16,
        pub started_at: DateTime<Utc>,
        /// When the call was last made.
        pub sent_at: DateTime<Utc>,
    }
}

impl From<Attempt> for khata_domain::attempt::Attempt {
    fn from(row: Attempt) -> Self {
        Self {
            number: row.number,
            gateway_account: row.gateway_account,
            method: row.method,
            state: row.state,
            class: row.class,
            reference: row.reference,
            code: row.code,
            failure: row.failure,
            gateway_reference: row.gateway_reference,
            polls: row.polls,
            started_at: row.started_at,
            sent_at: row.sent_at,
        }
    }
}

/// The `select` list of [`Attempt`], from `validation_attempts t`.
pub(crate) const COLUMNS: &str =
    "t.merchant_id, t.validation_id, t.number, t.gateway_account_id, t.gateway_id, t.method,
    t.reference, t.state, t.class, t.code, t.failure_code, t.gateway_reference, t.polls, t.started_at,
    coalesce(t.sent_at, t.started_at) as sent_at";

/// SQL: whether the penny drop of `validation_attempts t` may have moved a rupee, or may still move one, as
/// [`khata_domain::attempt::Attempt::may_pay`] says.
pub(crate) const MAY_PAY: &str = "coalesce(
    case when t.state <> 'SETTLED' then t.state <> 'UNKNOWN' or t.code is distinct from 'not_received'
         when t.code in ('answer_lost', 'not_yet_received', 'unclear_response') then true
         when t.class = 'RETRYABLE' then t.gateway_reference is not null
         else t.class <> 'MISCONFIGURED' end,
    false)";

/// Returns the SQL of the fields of attempt `t` that could not be read, with these added, an array in SQL.
pub(crate) fn with_not_understood(fields: &str) -> String {
    format!("array(select distinct unnest(t.not_understood || {fields}) order by 1)")
}

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
    /// Whether an attempt before may have dropped a rupee without a known result.
    pub possible_double_drop: bool,
    /// Whether the attempt may drop a rupee after an attempt that may have dropped one.
    pub is_further_drop: bool,
}

/// Writes attempts before their calls are made, and starts unfinished attempts again whose calls are made again: they are sent now,
/// and a worker that takes over looks them up first. Counts the further drops.
pub fn start_attempts(
    connection: &mut PgConnection,
    new: &[NewAttempt],
    again: &[(ValidationKey, CallAgain)],
) -> QueryResult<()> {
    statement(
        "update validation_attempts t
         set state = 'STARTED', code = null, sent_at = now()
         from $1 as again
         where t.merchant_id = again.merchant_id and t.validation_id = again.validation_id and t.number = again.number
           and t.state <> 'SETTLED'",
    )
    .rows(rows!(again, (key, again) => {
        merchant_id = key.merchant,
        validation_id = key.id,
        number = again.number,
    }))
    .run(connection)?;
    statement(
        "insert into validation_attempts (merchant_id, validation_id, number, gateway_account_id, gateway_id, method,
            reference, choice, possible_double_drop, state)
         select merchant_id, validation_id, number, gateway_account_id, gateway_id, method, reference, choice,
            possible_double_drop, 'STARTED'
         from $1 as input",
    )
    .rows(rows!(new, attempt => {
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
    .run(connection)?;
    let new = new.iter().filter(|attempt| attempt.is_further_drop);
    let again = again.iter().filter(|(_, again)| again.is_further_drop);
    let drops = new.map(|attempt| attempt.key);
    let drops: Vec<_> = drops.chain(again.map(|(key, _)| *key)).collect();
    count_further_drops(connection, &drops)
}

/// Writes attempts before their calls are made.
pub fn insert_attempts(connection: &mut PgConnection, attempts: &[NewAttempt]) -> QueryResult<()> {
    start_attempts(connection, attempts, &[])
}

/// Counts a penny drop of each of these validations beside the one that was counted when the validation began: against the
/// merchant's budget, and against the limit of validations of the account. The last statement locks the rows of counts.
fn count_further_drops(connection: &mut PgConnection, drops: &[ValidationKey]) -> QueryResult<()> {
    // The account is found by its key: without statistics a join of three tables may read all of the merchant's rows.
    statement(
        "with drops as (
            select d.merchant_id, (
                select v.account_id from validations v where v.merchant_id = d.merchant_id and v.id = d.id
            ) as account_id
            from $1 as d
         )
         update customer_accounts a
         set revalidated_at = array(
            select at from unnest(a.revalidated_at) as at where at > now() - interval '24 hours') || now()
         from drops
         where a.merchant_id = drops.merchant_id and a.id = drops.account_id",
    )
    .rows(validation_keys(drops))
    .run(connection)?;
    statement(budget::count(&format!(
        "(select merchant_id, {WORKER_SLOT} as slot, count(*) as drops from $1 as further group by merchant_id) as counted"
    )))
    .rows(rows!(drops, key => { merchant_id = key.merchant }))
    .run(connection)
}

/// Reads the penny drops of this day.
pub fn penny_drops_today(
    connection: &mut PgConnection,
    merchants: &[MerchantId],
) -> QueryResult<HashMap<MerchantId, i32>> {
    let used = budget::used(connection, merchants)?;
    let drops = |merchant: &MerchantId| i32::try_from(used.by(*merchant)).unwrap_or(i32::MAX);
    Ok(merchants
        .iter()
        .map(|merchant| (*merchant, drops(merchant)))
        .collect())
}

/// Returns when the budget of the next day begins.
pub fn budget_renewed_at(now: DateTime<Utc>) -> DateTime<Utc> {
    budget::next_day(now)
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
