//! Retries a validation now instead of at its scheduled time.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::statement::statement;
use khata_domain::ids::first_at;
use khata_domain::validation::Outcome;
use khata_domain::{GatewayAccountId, MerchantId, ValidationId, ValidationKey, ValidationState};

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

/// Lists a merchant's validations that wait for a later time, in its order: those created since then and, with gateway accounts, those whose
/// newest attempt was at one of them or that have no attempt. One that waits in a gateway account's queue or for a booked call is not
/// among them: it continues by itself. Reads the index of open validations.
pub fn waiting(
    connection: &mut PgConnection,
    merchant: MerchantId,
    gateway_accounts: Option<&[GatewayAccountId]>,
    since: Option<DateTime<Utc>>,
    limit: i64,
) -> QueryResult<Vec<ValidationId>> {
    let ids: Vec<(ValidationId, DateTime<Utc>)> = statement(
        "select v.id, v.due_at from validations v
         left join lateral (
            select t.gateway_account_id from validation_attempts t
            where t.merchant_id = v.merchant_id and t.validation_id = v.id order by t.number desc limit 1
         ) newest on true
         where v.merchant_id = $1 and v.completed_at is null and v.state = 'WAITING' and v.due_at > now() and v.id >= $2
           and v.queued_gateway_account_id is null and coalesce(v.slot_at <= now(), true)
           and ($3 is null or newest.gateway_account_id is null or newest.gateway_account_id = any($3))
         order by v.due_at, v.id limit $4",
    )
    .key(merchant, since.map_or(uuid::Uuid::nil(), first_at))
    .bind(gateway_accounts)
    .bind(limit)
    .tuples(connection)?;
    Ok(ids.into_iter().map(|(id, _)| id).collect())
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
