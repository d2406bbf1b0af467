//! Work that no worker does: expired leases, due validations, validations that were set aside, due deliveries.

use diesel::prelude::*;
use khata_domain::MerchantId;

use super::finding::Found;
use crate::statement::statement;
use crate::validations::is_set_aside;

/// Open validations, and due deliveries of an endpoint, that are read at most: those that were due first.
const READ: i64 = 100_000;

/// Finds open validations that should have gone on. A scheduler takes an expired lease back within a minute, and publishes a wake-up for a
/// due validation within seconds; a validation that was set aside is due within the hour.
pub fn overdue_validations(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<Vec<Found>> {
    let set_aside = is_set_aside("v");
    statement(format!(
        "select case when {set_aside} then 'set-aside' when v.state = 'LEASED' then 'lease-expired'
                     else 'due-and-not-claimed' end as rule,
            v.account_id as account, v.id as validation, null::smallint as number, null::uuid as event, null::uuid as endpoint,
            case v.state when 'LEASED' then v.leased_until else v.due_at end as since,
            'the validation is ' || v.state || case when v.failed_steps > 0 then ' after ' || v.failed_steps || ' failed steps' else '' end
                as detail
         from (
            select id, account_id, state, due_at, leased_until, failed_steps, queued_gateway_account_id, slot_at from validations
            where merchant_id = $1 and completed_at is null and due_at <= now() + interval '1 hour'
            order by due_at, id limit $2
         ) v
         where {set_aside}
            or v.state = 'LEASED' and v.leased_until < now() - interval '2 min'
            or v.state <> 'LEASED' and v.queued_gateway_account_id is null and v.due_at < now() - interval '2 min'"
    ))
    .bind(merchant)
    .bind(READ)
    .load(connection)
}

/// Finds deliveries that have been due for ten minutes, to endpoints that work, and those whose attempt has had no result for five.
pub fn overdue_deliveries(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<Vec<Found>> {
    statement(
        "select 'delivery-not-attempted' as rule, null::uuid as account, null::uuid as validation, null::smallint as number,
            d.event_id as event, w.id as endpoint, coalesce(d.started_at, d.due_at) as since,
            case when d.started_at is null then 'the delivery is due' else 'the attempt of the delivery has no result' end as detail
         from webhook_endpoints w
         cross join lateral (
            select d.event_id, d.due_at, d.started_at from webhook_deliveries d
            where d.merchant_id = w.merchant_id and d.endpoint_id = w.id and d.state = 'OPEN'
              and d.due_at < now() - interval '10 min'
            order by d.due_at limit $1
         ) d
         where w.merchant_id = $2 and w.disabled_at is null and w.failing_since is null
           and (d.started_at is null or d.started_at < now() - interval '5 min')",
    )
    .bind(READ)
    .bind(merchant)
    .load(connection)
}
