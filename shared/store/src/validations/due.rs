//! What is due: what the scheduler wakeups for.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use uuid::Uuid;

use crate::milliseconds;
use crate::statement::statement;
use khata_domain::ValidationKey;
use khata_domain::{MerchantId, ValidationId};

/// A validation to ring for.
#[derive(Clone, Debug, QueryableByName)]
pub struct DueRow {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// W3C trace context of the account's trace.
    #[diesel(sql_type = Nullable<Text>)]
    pub trace_parent: Option<String>,
    /// The state it was in: `DUE` (the ring was lost), `WAITING` (its time has come) or `LEASED` (its worker died).
    #[diesel(sql_type = Text)]
    pub was: String,
}

impl DueRow {
    /// Its key.
    pub fn key(&self) -> ValidationKey {
        ValidationKey {
            merchant: MerchantId(self.merchant_id),
            id: ValidationId(self.id),
        }
    }
}

/// Makes DUE what must be looked at now, at most `limit`, and answers it: what waited until now, what a dead worker
/// held, and, unless `hold`, what was rung for and not claimed. Each is looked at again `ring_again` later if the
/// ring is lost. Several workers may call at once: no row is answered twice.
pub fn take_due(
    connection: &mut PgConnection,
    limit: i64,
    hold: bool,
    ring_again: Duration,
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
         returning v.merchant_id, v.id, v.trace_parent, due.state as was",
    )
    .bind::<Bool, _>(hold)
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(milliseconds(ring_again))
    .load(connection)
}
