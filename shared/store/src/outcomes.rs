//! Who waits for a validation's outcome is told of it by Postgres (`notify`), in the transaction that settles it. Like a
//! ring it may be lost, so whoever waits also looks now and then; and nobody is told of what nobody waits for.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::{Array, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::statement::statement;
use khata_domain::ValidationKey;
use khata_domain::{MerchantId, ValidationId};

const CHANNEL: &str = "khata_outcomes";
/// Ids in one notification: a payload is less than 8,000 bytes, an id 32 and a space.
const IDS: usize = 200;

/// Tells those who listen, once the transaction commits.
pub(super) fn tell(connection: &mut PgConnection, finished: &[ValidationId]) -> QueryResult<()> {
    if finished.is_empty() {
        return Ok(());
    }
    let payloads: Vec<String> = finished
        .chunks(IDS)
        .map(|ids| {
            let ids: Vec<String> = ids.iter().map(|id| id.0.simple().to_string()).collect();
            ids.join(" ")
        })
        .collect();
    statement("select pg_notify('khata_outcomes', payload) from unnest($1::text[]) as payload")
        .bind::<Array<Text>, _>(payloads)
        .execute(connection)
        .map(drop)
}

/// Makes this connection hear of outcomes.
pub fn listen(connection: &mut PgConnection) -> QueryResult<()> {
    connection.batch_execute(&format!("listen {CHANNEL}"))
}

/// What this connection has heard since it was last asked; does not wait.
pub fn heard(connection: &mut PgConnection) -> QueryResult<Vec<ValidationId>> {
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

/// Has whoever finishes these validations tell of it: for those that began without anybody waiting. Answers for which of
/// them that is so now; the others are finished, or somebody is at work on them this moment. Never waits for who is, so
/// that nobody waits for it in turn.
pub fn join(
    connection: &mut PgConnection,
    keys: &[ValidationKey],
    until: DateTime<Utc>,
) -> QueryResult<Vec<ValidationKey>> {
    let rows: Vec<JoinedRow> = statement(
        "with mine as (
            select v.merchant_id, v.id from unnest($1::uuid[], $2::uuid[]) as wanted (merchant_id, id)
            join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
            where v.state <> 'COMPLETED' for update of v skip locked
         )
         update validations v set awaited_until = greatest(v.awaited_until, $3)
         from mine where v.merchant_id = mine.merchant_id and v.id = mine.id
         returning v.merchant_id, v.id",
    )
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.merchant.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.id.0).collect::<Vec<_>>())
    .bind::<Timestamptz, _>(until)
    .load(connection)?;
    let key = |row: JoinedRow| ValidationKey {
        merchant: MerchantId(row.merchant_id),
        id: ValidationId(row.id),
    };
    Ok(rows.into_iter().map(key).collect())
}

#[derive(QueryableByName)]
struct JoinedRow {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}
