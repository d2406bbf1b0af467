//! Due validations: the scheduler makes them DUE and publishes their wake-ups.

use std::time::Duration;

use diesel::prelude::*;

use crate::column::row;
use crate::statement::{milliseconds, statement};
use khata_domain::{ValidationKey, ValidationState};

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
    }
}

/// Makes at most `limit` validations DUE and returns them: those whose wait is over, those with an expired lease and, unless
/// `hold`, those that had a wake-up and were not claimed. If the new wake-up is lost too, the scheduler takes the validation
/// again after `wakeup_grace`. Several workers may call this at once: no row is returned twice.
pub fn take_due(
    connection: &mut PgConnection,
    limit: i64,
    hold: bool,
    wakeup_grace: Duration,
) -> QueryResult<Vec<DueRow>> {
    statement(
        "with due as (
            select merchant_id, id, state from validations
            where completed_at is null and due_at <= now()
              and (state = 'WAITING' or (state = 'DUE' and not $1) or (state = 'LEASED' and leased_until < now()))
            order by due_at limit $2
            for update skip locked
         )
         update validations v
         set state = 'DUE', due_at = now() + $3 * interval '1 ms', lease_token = null, leased_until = null
         from due where v.merchant_id = due.merchant_id and v.id = due.id
         returning v.merchant_id, v.id as validation_id, v.trace_parent, due.state as was",
    )
    .bind(hold)
    .bind(limit)
    .bind(milliseconds(wakeup_grace))
    .load(connection)
}
