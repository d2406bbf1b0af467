//! Retries a validation now instead of at its scheduled time.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::column::row;
use super::statement::statement;
use super::validations::is_set_aside;
use khata_domain::ids::first_at;
use khata_domain::validation::Outcome;
use khata_domain::{
    AccountId, GatewayAccountId, MerchantId, ValidationId, ValidationKey, ValidationState,
};

/// The result of [`retry_now`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryResult {
    /// The scheduler publishes a wake-up at its next poll. The validation was `Due` or `Waiting`.
    MadeDue { was: ValidationState },
    /// A worker holds the validation until its lease expires.
    Leased { until: DateTime<Utc> },
    /// The validation is final.
    Completed { outcome: Outcome },
}

/// The waiting validations of a merchant that are retried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting<'a> {
    /// Only those whose newest attempt was at one of these, and those that have no attempt.
    pub gateway_accounts: Option<&'a [GatewayAccountId]>,
    /// Only those that were created since then.
    pub since: Option<DateTime<Utc>>,
    /// Only those that were set aside.
    pub set_aside: bool,
}

/// Lists a merchant's validations that wait for a later time, in its order, or those that [`set_aside()`] lists. One that waits in a gateway
/// account's queue or for a booked call is not among them: it continues by itself. Reads the index of open validations.
pub fn waiting(
    connection: &mut PgConnection,
    merchant: MerchantId,
    wanted: Waiting<'_>,
    limit: i64,
) -> QueryResult<Vec<ValidationId>> {
    let waits = if wanted.set_aside {
        is_set_aside("v")
    } else {
        "v.state = 'WAITING' and v.due_at > now() and v.queued_gateway_account_id is null and coalesce(v.slot_at <= now(), true)"
            .to_owned()
    };
    let ids: Vec<(ValidationId, DateTime<Utc>)> = statement(format!(
        "select v.id, v.due_at from validations v
         left join lateral (
            select t.gateway_account_id from validation_attempts t
            where t.merchant_id = v.merchant_id and t.validation_id = v.id order by t.number desc limit 1
         ) newest on true
         where v.merchant_id = $1 and v.completed_at is null and v.id >= $2 and {waits}
           and ($3 is null or newest.gateway_account_id is null or newest.gateway_account_id = any($3))
         order by v.due_at, v.id limit $4"
    ))
    .key(merchant, wanted.since.map_or(uuid::Uuid::nil(), first_at))
    .bind(wanted.gateway_accounts)
    .bind(limit)
    .tuples(connection)?;
    Ok(ids.into_iter().map(|(id, _)| id).collect())
}

row! {
    /// An account whose validation was set aside, in its masked form.
    #[derive(Clone, Debug)]
    pub struct SetAside {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub merchant_name: String,
        #[diesel(column_name = account_id)]
        pub account: AccountId,
        #[diesel(column_name = validation_id)]
        pub validation: ValidationId,
        /// The number or address that operators may see.
        pub masked: String,
        /// Steps in a row whose lease expired.
        pub failed_steps: i16,
        pub created_at: DateTime<Utc>,
        /// When workers try it again.
        pub due_at: DateTime<Utc>,
        /// When the validation ends without an outcome.
        pub deadline_at: DateTime<Utc>,
    }
}

/// Lists the accounts whose validation was set aside, of one merchant or of all: by the merchant's name, the first deadline first. Reads
/// the open validations that are due within the hour.
pub fn set_aside(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    limit: i64,
) -> QueryResult<Vec<SetAside>> {
    statement(format!(
        "select m.id as merchant_id, m.name as merchant_name, s.* from merchants m
         cross join lateral (
            select v.account_id, v.id as validation_id, a.masked, v.failed_steps, v.created_at, v.due_at, v.deadline_at
            from validations v
            cross join lateral (
                select masked from customer_accounts where merchant_id = v.merchant_id and id = v.account_id limit 1
            ) a
            where v.merchant_id = m.id and v.completed_at is null and {}
            order by v.deadline_at limit $1
         ) s
         where $2 is null or m.id = $2
         order by m.name, s.deadline_at, s.validation_id limit $1",
        is_set_aside("v")
    ))
    .bind(limit)
    .bind(merchant)
    .load(connection)
}

/// Makes an open validation due now, unless a worker holds it; `None` if there is no such validation. Call it in a
/// transaction: the row is locked until it ends.
pub fn retry_now(
    connection: &mut PgConnection,
    key: ValidationKey,
) -> QueryResult<Option<RetryResult>> {
    let row = statement(
        "select state, leased_until, outcome from validations where merchant_id = $1 and id = $2 for update",
    )
    .key(key.merchant, key.id)
    .tuple::<(ValidationState, Option<DateTime<Utc>>, Option<Outcome>)>(connection)
    .optional()?;
    let was = match row {
        None => return Ok(None),
        Some((_, _, Some(outcome))) => return Ok(Some(RetryResult::Completed { outcome })),
        Some((_, Some(until), None)) => return Ok(Some(RetryResult::Leased { until })),
        Some((state, None, None)) => state,
    };
    // A waiting validation stays WAITING: the scheduler takes those even while the queue is deep.
    // One that was set aside counts its failed steps from the beginning.
    statement(
        "update validations set due_at = now(), failed_steps = 0 where merchant_id = $1 and id = $2",
    )
    .key(key.merchant, key.id)
    .run(connection)?;
    Ok(Some(RetryResult::MadeDue { was }))
}
