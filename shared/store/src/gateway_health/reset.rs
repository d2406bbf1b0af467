//! What is forgotten of a gateway account that ops people have set up anew. In the transaction that does it: whoever plans
//! calls there waits for it and sees both or neither.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Uuid as SqlUuid};

use super::GatewayKey;
use crate::milliseconds;
use crate::statement::statement;

/// For so long workers may still plan by the limit before; who is planned anew is so after it.
const WORKERS_FOLLOW: Duration = Duration::from_secs(6);

/// Forgets that it was down or refused us: with other credentials or another address it may not. A pause that it asked for
/// stays.
pub fn reset(connection: &mut PgConnection, gateway: GatewayKey) -> QueryResult<()> {
    statement(
        "update gateway_states
         set served = 0, failed = 0, counted_at = now(), circuit = 'CLOSED', open_until = null, trips = 0,
            probed_at = null, misconfigured_code = null, misconfigured_since = null
         where merchant_id = $1 and gateway_account_id = $2",
    )
    .bind::<SqlUuid, _>(gateway.merchant.0)
    .bind::<SqlUuid, _>(gateway.account.0)
    .execute(connection)
    .map(drop)
}

/// Forgets the calls that were booked under a limit of calls a minute that is another now. Validations that wait for theirs
/// are due as soon as all workers know the new limit, and book anew: nobody keeps a place that it does not know of. Answers
/// how many. In a transaction.
pub fn forget_bookings(connection: &mut PgConnection, gateway: GatewayKey) -> QueryResult<usize> {
    // The state first: nobody books there until this is committed.
    statement(
        "update gateway_states set next_call_at = null where merchant_id = $1 and gateway_account_id = $2",
    )
    .bind::<SqlUuid, _>(gateway.merchant.0)
    .bind::<SqlUuid, _>(gateway.account.0)
    .execute(connection)?;
    statement(
        "with booked as (
            select id from validations
            where merchant_id = $1 and slot_gateway_account_id = $2 and completed_at is null
            for update skip locked
         )
         update validations v
         set slot_gateway_account_id = null, slot_at = null,
            due_at = case when v.state = 'WAITING' then least(v.due_at, now() + $3 * interval '1 ms') else v.due_at end
         from booked where v.merchant_id = $4 and v.id = booked.id",
    )
    .bind::<SqlUuid, _>(gateway.merchant.0)
    .bind::<SqlUuid, _>(gateway.account.0)
    .bind::<BigInt, _>(milliseconds(WORKERS_FOLLOW))
    .bind::<SqlUuid, _>(gateway.merchant.0)
    .execute(connection)
}
