//! Retries a validation now instead of at its scheduled time.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::statement::statement;
use khata_domain::validation::Outcome;
use khata_domain::{ValidationKey, ValidationState};

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
