//! Resets the state of a gateway account after an operator has reconfigured it, in the transaction of the change: a worker
//! that plans calls there waits for it and sees both or neither.

use std::time::Duration;

use diesel::prelude::*;

use crate::statement::{milliseconds, statement};
use khata_domain::gateway::GatewayKey;

/// How long workers may still plan by the old limit. Validations are planned again after that.
const SETTINGS_DELAY: Duration = Duration::from_secs(6);

/// Closes the circuit and clears the configuration error, as other credentials or another address may work. A pause that the
/// gateway asked for stays.
pub fn reset(connection: &mut PgConnection, gateway: GatewayKey) -> QueryResult<()> {
    statement(
        "update gateway_states
         set served = 0, failed = 0, counted_at = now(), circuit = 'CLOSED', open_until = null, trips = 0,
            probed_at = null, misconfigured_code = null, misconfigured_since = null
         where merchant_id = $1 and gateway_account_id = $2",
    )
    .key(gateway.merchant, gateway.account)
    .run(connection)
}

/// Cancels the calls that were booked under an old rate limit. Their validations become due as soon as all workers know the
/// new limit, and book again. Returns their number. Call it in a transaction.
pub fn forget_bookings(connection: &mut PgConnection, gateway: GatewayKey) -> QueryResult<usize> {
    // The state first: its lock keeps other workers from booking until this transaction ends.
    statement(
        "update gateway_states set next_call_at = null where merchant_id = $1 and gateway_account_id = $2",
    )
    .key(gateway.merchant, gateway.account)
    .run(connection)?;
    statement(
        "with booked as (
            select id from validations
            where merchant_id = $1 and slot_gateway_account_id = $2 and completed_at is null
            for update skip locked
         )
         update validations v
         set slot_gateway_account_id = null, slot_at = null,
            due_at = case when v.state = 'WAITING' then least(v.due_at, now() + $3 * interval '1 ms') else v.due_at end
         from booked where v.merchant_id = $1 and v.id = booked.id",
    )
    .key(gateway.merchant, gateway.account)
    .bind(milliseconds(SETTINGS_DELAY))
    .execute(connection)
}
