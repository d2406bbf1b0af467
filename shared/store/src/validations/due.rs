//! Due validations: the scheduler makes them DUE and publishes their wake-ups.

use std::time::Duration;

use diesel::prelude::*;

use crate::column::row;
use crate::statement::{milliseconds, statement};
use khata_domain::validation::MAX_FAILED_STEPS;
use khata_domain::{ValidationKey, ValidationState};

/// Interval at which a validation that is set aside is tried again, until its deadline.
const SET_ASIDE_RETRY: Duration = Duration::from_hours(1);

row! {
    /// A validation that needs a wake-up.
    #[derive(Clone, Debug)]
    pub struct DueRow {
        #[diesel(embed)]
        pub key: ValidationKey,
        /// W3C trace context of the account's trace.
        pub trace_parent: Option<String>,
        /// The state before: `Due` (the wake-up was lost), `Waiting` (the wait is over) or `Leased` (the worker stopped).
        pub was: ValidationState,
        /// The lease of [`MAX_FAILED_STEPS`] steps or more expired: the validation waits, and needs no wake-up.
        pub set_aside: bool,
    }
}

/// Makes at most `limit` validations DUE and returns them: those whose wait is over, those with an expired lease and, unless
/// `hold`, those that had a wake-up and were not claimed. If the new wake-up is lost too, the scheduler takes the validation
/// again after `wakeup_grace`. Several workers may call this at once: no row is returned twice.
///
/// An expired lease counts as a failed step. A validation is set aside after [`MAX_FAILED_STEPS`] of them in a row: it waits
/// for an hour, or until its deadline. It is not completed, because its attempt may have paid a rupee.
pub fn take_due(
    connection: &mut PgConnection,
    limit: i64,
    hold: bool,
    wakeup_grace: Duration,
) -> QueryResult<Vec<DueRow>> {
    statement(
        "with due as (
            select merchant_id, id, state, state = 'LEASED' and failed_steps + 1 >= $1 as set_aside
            from validations
            where completed_at is null and due_at <= now()
              and (state = 'WAITING' or (state = 'DUE' and not $2) or (state = 'LEASED' and leased_until < now()))
            order by due_at limit $3
            for update skip locked
         )
         update validations v
         set state = case when due.set_aside then 'WAITING' else 'DUE' end,
            due_at = case when due.set_aside then least(now() + $4 * interval '1 ms', greatest(v.deadline_at, now()))
                          else now() + $5 * interval '1 ms' end,
            failed_steps = case when due.state = 'LEASED' then least(v.failed_steps + 1, 1000) else v.failed_steps end,
            lease_token = null, leased_until = null
         from due where v.merchant_id = due.merchant_id and v.id = due.id
         returning v.merchant_id, v.id as validation_id, v.trace_parent, due.state as was,
            due.set_aside",
    )
    .bind(MAX_FAILED_STEPS)
    .bind(hold)
    .bind(limit)
    .bind(milliseconds(SET_ASIDE_RETRY))
    .bind(milliseconds(wakeup_grace))
    .load(connection)
}
