//! Work that no worker does: validations that were set aside, expired leases, due validations, due deliveries. Each statement stops at a
//! limit of findings; a row that is no finding does not count, so that a long queue hides nothing.

use diesel::prelude::*;
use khata_domain::MerchantId;

use super::finding::Found;
use crate::statement::statement;
use crate::validations::is_set_aside;

/// Finds the validations that were set aside, at most `limit`: those that are due first. Reads the open validations that are due within
/// the hour.
pub fn set_aside(
    connection: &mut PgConnection,
    merchant: MerchantId,
    limit: i64,
) -> QueryResult<Vec<Found>> {
    open_validations(connection, merchant, limit, "set-aside", &is_set_aside("v"))
}

/// Finds validations whose lease expired over two minutes ago, at most `limit`: those that are due first. A scheduler takes an expired
/// lease back within a minute.
pub fn expired_leases(
    connection: &mut PgConnection,
    merchant: MerchantId,
    limit: i64,
) -> QueryResult<Vec<Found>> {
    let expired = "v.state = 'LEASED' and v.leased_until < now() - interval '2 min'";
    open_validations(connection, merchant, limit, "lease-expired", expired)
}

/// Finds validations that have been due for two minutes, at most `limit`: those that are due first. A scheduler publishes a wake-up for a
/// due validation within seconds. One that was set aside is another finding, and one in a gateway account's queue waits for its turn.
pub fn overdue_validations(
    connection: &mut PgConnection,
    merchant: MerchantId,
    limit: i64,
) -> QueryResult<Vec<Found>> {
    let overdue = format!(
        "v.state <> 'LEASED' and v.queued_gateway_account_id is null and v.due_at < now() - interval '2 min' and not {}",
        is_set_aside("v")
    );
    open_validations(connection, merchant, limit, "due-and-not-claimed", &overdue)
}

/// Finds the open validations that fulfil a condition.
fn open_validations(
    connection: &mut PgConnection,
    merchant: MerchantId,
    limit: i64,
    rule: &str,
    condition: &str,
) -> QueryResult<Vec<Found>> {
    statement(format!(
        "select '{rule}' as rule, v.account_id as account, v.id as validation, null::smallint as number, null::uuid as event,
            null::uuid as endpoint, case v.state when 'LEASED' then v.leased_until else v.due_at end as since,
            'the validation is ' || v.state || case when v.failed_steps > 0 then ' after ' || v.failed_steps || ' failed steps' else '' end
                as detail
         from validations v
         where v.merchant_id = $1 and v.completed_at is null and v.due_at <= now() + interval '1 hour' and {condition}
         order by v.due_at, v.id limit $2"
    ))
    .bind(merchant)
    .bind(limit)
    .load(connection)
}

/// Finds deliveries that have been due for ten minutes, to endpoints that work, and those whose attempt has had no result for five. Returns
/// at most `limit`.
pub fn overdue_deliveries(
    connection: &mut PgConnection,
    merchant: MerchantId,
    limit: i64,
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
              and (d.started_at is null or d.started_at < now() - interval '5 min')
            order by d.due_at limit $1
         ) d
         where w.merchant_id = $2 and w.disabled_at is null and w.failing_since is null
         limit $1",
    )
    .bind(limit)
    .bind(merchant)
    .load(connection)
}
