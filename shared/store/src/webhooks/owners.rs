//! Ownership: one worker makes the calls of an endpoint.

use std::time::Duration;

use diesel::prelude::*;
use uuid::Uuid;

use super::endpoints::{COLUMNS, Endpoint};
use crate::column::row;
use crate::statement::{milliseconds, rows, statement};
use khata_domain::MerchantId;
use khata_domain::events::EndpointKey;

row! {
    /// An endpoint of this worker.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Owned {
        #[diesel(embed)]
        pub key: EndpointKey,
        /// The version of its settings.
        pub version: i32,
        /// Calls may be made.
        pub is_enabled: bool,
    }
}

/// Takes at most `limit` endpoints that have due deliveries and no owner, for `lease`.
pub fn acquire(
    connection: &mut PgConnection,
    worker: Uuid,
    lease: Duration,
    limit: i64,
) -> QueryResult<Vec<EndpointKey>> {
    statement(
        "with free as (
            select w.merchant_id, w.id from webhook_endpoints w
            where w.disabled_at is null and (w.owned_until is null or w.owned_until < now())
              -- Not `exists`: as a join it may read every open delivery of all merchants.
              and (select true from webhook_deliveries d
                where d.merchant_id = w.merchant_id and d.endpoint_id = w.id and d.state = 'OPEN' and d.due_at <= now()
                order by d.due_at limit 1)
            order by w.merchant_id, w.id limit $1 for no key update of w skip locked
         )
         update webhook_endpoints w set owner_id = $2, owned_until = now() + $3 * interval '1 ms'
         from free f where w.merchant_id = f.merchant_id and w.id = f.id
         returning w.merchant_id, w.id as endpoint_id",
    )
    .bind(limit)
    .bind(worker)
    .bind(milliseconds(lease))
    .load(connection)
}

/// Renews the ownership of these endpoints; returns those that the worker still owns.
pub fn renew(
    connection: &mut PgConnection,
    worker: Uuid,
    endpoints: &[EndpointKey],
    lease: Duration,
) -> QueryResult<Vec<Owned>> {
    statement(
        "update webhook_endpoints w set owned_until = now() + $1 * interval '1 ms'
         from $2 as mine
         where w.merchant_id = mine.merchant_id and w.id = mine.id and w.owner_id = $3
         returning w.merchant_id, w.id as endpoint_id, w.version, w.disabled_at is null as is_enabled",
    )
    .bind(milliseconds(lease))
    .rows(endpoint_keys(endpoints))
    .bind(worker)
    .load(connection)
}

/// Reads the endpoints of this worker, with their settings.
pub fn owned(
    connection: &mut PgConnection,
    endpoints: &[EndpointKey],
) -> QueryResult<Vec<Endpoint>> {
    statement(format!(
        "select {COLUMNS} from $1 as mine
         join webhook_endpoints w on w.merchant_id = mine.merchant_id and w.id = mine.id"
    ))
    .rows(endpoint_keys(endpoints))
    .load(connection)
}

/// Returns those of these merchants that have an enabled endpoint which the worker does not own: others need its signals.
pub fn owned_by_others(
    connection: &mut PgConnection,
    worker: Uuid,
    merchants: &[MerchantId],
) -> QueryResult<Vec<MerchantId>> {
    statement(
        "select mine.merchant_id from $1 as mine
         where exists (
            select from webhook_endpoints w
            where w.merchant_id = mine.merchant_id and w.disabled_at is null and w.owner_id is distinct from $2)",
    )
    .rows(rows!(merchants, merchant => { merchant_id = *merchant }))
    .bind(worker)
    .tuples(connection)
}

/// Gives endpoints up, so that another worker may take them at once.
pub fn release(
    connection: &mut PgConnection,
    worker: Uuid,
    endpoints: &[EndpointKey],
) -> QueryResult<()> {
    statement(
        "update webhook_endpoints w set owner_id = null, owned_until = null
         from $1 as mine
         where w.merchant_id = mine.merchant_id and w.id = mine.id and w.owner_id = $2",
    )
    .rows(endpoint_keys(endpoints))
    .bind(worker)
    .run(connection)
}

/// The keys as rows `(merchant_id, id)`.
pub(super) fn endpoint_keys(keys: &[EndpointKey]) -> crate::statement::Rows<'_> {
    rows!(keys, key => { merchant_id = key.merchant, id = key.id })
}
