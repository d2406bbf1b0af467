//! Postgres notifies callers that wait for a validation's outcome (`notify`), in the transaction that completes it. A
//! notification may be lost, as a wake-up may, so a waiting caller also polls. Outcomes without a waiting caller are not
//! published.

use std::str::FromStr;

use chrono::TimeDelta;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use uuid::Uuid;

use super::statement::{rows, statement, validation_keys};
use khata_domain::{ValidationId, ValidationKey};

const CHANNEL: &str = "khata_outcomes";
/// Ids in one notification: Postgres takes less than 8,000 bytes, and an id takes 32 and a space.
const IDS: usize = 200;

/// Notifies the listeners when the transaction commits.
pub(super) fn notify(connection: &mut PgConnection, finished: &[ValidationId]) -> QueryResult<()> {
    let payloads: Vec<String> = finished
        .chunks(IDS)
        .map(|ids| {
            let ids = ids.iter().map(|id| id.0.simple().to_string());
            ids.collect::<Vec<_>>().join(" ")
        })
        .collect();
    statement(format!(
        "select pg_notify('{CHANNEL}', payload) from $1 as input"
    ))
    .rows(rows!(&payloads, ids => { payload = ids.as_str() }))
    .run(connection)
}

/// Subscribes this connection to outcomes.
pub fn listen(connection: &mut PgConnection) -> QueryResult<()> {
    connection.batch_execute(&format!("listen {CHANNEL}"))
}

/// Returns the notifications that this connection received since the last call; does not wait.
pub fn received(connection: &mut PgConnection) -> QueryResult<Vec<ValidationId>> {
    let mut finished = Vec::new();
    for notification in connection.notifications_iter() {
        let payload = notification?.payload;
        finished.extend(
            payload
                .split(' ')
                .filter_map(|id| Uuid::from_str(id).ok())
                .map(ValidationId),
        );
    }
    Ok(finished)
}

/// Asks for a notification of these validations, which began without a waiting caller. Returns the validations that will
/// notify; the others are completed, or another transaction has them locked. Never waits for a lock, so that it cannot
/// take part in a deadlock.
pub fn subscribe(
    connection: &mut PgConnection,
    validations: &[ValidationKey],
    wait: TimeDelta,
) -> QueryResult<Vec<ValidationKey>> {
    statement(
        "with mine as (
            select v.merchant_id, v.id from $1 as wanted
            join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
            where v.state <> 'COMPLETED' for update of v skip locked
         )
         update validations v
         set awaited_until = greatest(v.awaited_until, now() + $2 * interval '1 ms'), queue_rank = case when v.queue_rank is not null then 0 end
         from mine where v.merchant_id = mine.merchant_id and v.id = mine.id
         returning v.merchant_id, v.id as validation_id",
    )
    .rows(validation_keys(validations))
    .bind(wait.num_milliseconds())
    .load(connection)
}
