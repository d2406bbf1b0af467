//! What gateways call back with. The call-back is stored beside the validation it is about, and the validation becomes
//! due: a worker settles it under a lease, as it settles what it heard itself. What comes twice, too late or about nothing
//! changes nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::gateway_health::GatewayKey;
use super::statement::statement;
use khata_domain::ValidationKey;
use khata_domain::ids::AttemptReference;
use khata_domain::{MerchantId, ValidationId};

/// An attempt whose outcome a gateway may tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Its validation.
    pub key: ValidationKey,
    /// 1 for the first.
    pub number: i16,
    /// W3C trace context of the account's trace.
    pub trace_parent: Option<String>,
}

/// What a gateway speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An attempt whose outcome is still open.
    Open(OpenAttempt),
    /// One that is over.
    Over,
    /// Nothing that is known yet: a gateway may be quicker than we are to write down its own id.
    Unknown,
}

#[derive(QueryableByName)]
struct FoundRow {
    #[diesel(sql_type = SqlUuid)]
    validation_id: Uuid,
    #[diesel(sql_type = SmallInt)]
    number: i16,
    #[diesel(sql_type = Nullable<Text>)]
    trace_parent: Option<String>,
    #[diesel(sql_type = Bool)]
    is_open: bool,
}

fn found(merchant: MerchantId, row: Option<FoundRow>) -> Found {
    match row {
        None => Found::Unknown,
        Some(row) if row.is_open => Found::Open(OpenAttempt {
            key: ValidationKey {
                merchant,
                id: ValidationId(row.validation_id),
            },
            number: row.number,
            trace_parent: row.trace_parent,
        }),
        Some(_) => Found::Over,
    }
}

/// The attempt at this gateway account with this reference of ours.
pub fn by_our_reference(
    connection: &mut PgConnection,
    gateway: GatewayKey,
    reference: &AttemptReference,
) -> QueryResult<Found> {
    let row = statement(
        "select t.validation_id, t.number, v.trace_parent,
            t.state <> 'SETTLED' and v.completed_at is null as is_open
         from validation_attempts t
         join validations v on v.merchant_id = t.merchant_id and v.id = t.validation_id
         where t.merchant_id = $1 and t.validation_id = $2 and t.number = $3 and t.gateway_account_id = $4",
    )
    .bind::<SqlUuid, _>(gateway.merchant.0)
    .bind::<SqlUuid, _>(reference.validation.0)
    .bind::<SmallInt, _>(reference.number)
    .bind::<SqlUuid, _>(gateway.account.0)
    .get_result(connection)
    .optional()?;
    Ok(found(gateway.merchant, row))
}

/// The attempt that the gateway knows by this id of its own.
pub fn by_their_reference(
    connection: &mut PgConnection,
    gateway: GatewayKey,
    reference: &str,
) -> QueryResult<Found> {
    let row = statement(
        "select t.validation_id, t.number, v.trace_parent,
            t.state <> 'SETTLED' and v.completed_at is null as is_open
         from gateway_references r
         join validation_attempts t
           on t.merchant_id = r.merchant_id and t.validation_id = r.validation_id and t.number = r.number
         join validations v on v.merchant_id = t.merchant_id and v.id = t.validation_id
         where r.merchant_id = $1 and r.gateway_account_id = $2 and r.gateway_reference = $3",
    )
    .bind::<SqlUuid, _>(gateway.merchant.0)
    .bind::<SqlUuid, _>(gateway.account.0)
    .bind::<Text, _>(reference)
    .get_result(connection)
    .optional()?;
    Ok(found(gateway.merchant, row))
}

/// What became of a call-back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is stored, and the validation is due: ring for it.
    Due,
    /// It is stored; a worker has the validation in hand and looks again.
    InHand,
    /// It was stored before, or the validation is over.
    Nothing,
}

#[derive(QueryableByName)]
struct Standing {
    #[diesel(sql_type = Text)]
    state: String,
}

/// Stores a call-back about an open attempt. In a transaction of its own.
pub fn receive(
    connection: &mut PgConnection,
    attempt: &OpenAttempt,
    digest: &[u8; 32],
    sealed_answer: Option<&[u8]>,
) -> QueryResult<Received> {
    let key = attempt.key;
    connection.transaction(|connection| {
        // Locked before it is stored: a worker that settles meanwhile either comes before and is seen, or sees it. By its
        // key and nothing else, or the index of what is open might be walked in its place.
        let standing: Option<Standing> = statement(
            "select state from validations where merchant_id = $1 and id = $2 for no key update",
        )
        .bind::<SqlUuid, _>(key.merchant.0)
        .bind::<SqlUuid, _>(key.id.0)
        .get_result(connection)
        .optional()?;
        let Some(standing) = standing.filter(|standing| standing.state != "COMPLETED") else {
            return Ok(Received::Nothing);
        };
        let stored = statement(
            "insert into gateway_notices (merchant_id, digest, validation_id, number, sealed_answer)
             values ($1, $2, $3, $4, $5) on conflict do nothing",
        )
        .bind::<SqlUuid, _>(key.merchant.0)
        .bind::<Binary, _>(&digest[..])
        .bind::<SqlUuid, _>(key.id.0)
        .bind::<SmallInt, _>(attempt.number)
        .bind::<Nullable<Binary>, _>(sealed_answer)
        .execute(connection)?;
        if stored == 0 {
            return Ok(Received::Nothing);
        }
        // Should the ring be lost, the scheduler wakeups as for any other.
        statement(
            "update validations set webhook_received = true,
                due_at = case when state = 'WAITING' then now() + interval '15 s' else due_at end,
                state = case when state = 'WAITING' then 'DUE' else state end
             where merchant_id = $1 and id = $2",
        )
        .bind::<SqlUuid, _>(key.merchant.0)
        .bind::<SqlUuid, _>(key.id.0)
        .execute(connection)?;
        Ok(if standing.state == "WAITING" {
            Received::Due
        } else {
            Received::InHand
        })
    })
}

/// A call-back that was stored.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct StoredNotice {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    validation_id: Uuid,
    /// About which attempt.
    #[diesel(sql_type = SmallInt)]
    pub number: i16,
    /// The outcome, sealed for the validation; `None`: it is to be asked for.
    #[diesel(sql_type = Nullable<Binary>)]
    pub sealed_answer: Option<Vec<u8>>,
    /// When the gateway called back.
    #[diesel(sql_type = Timestamptz)]
    pub received_at: DateTime<Utc>,
}

/// What gateways have called back with about these validations, the newest last.
pub fn notices(
    connection: &mut PgConnection,
    keys: &[ValidationKey],
) -> QueryResult<HashMap<ValidationKey, Vec<StoredNotice>>> {
    let mut by_validation: HashMap<_, Vec<_>> = HashMap::new();
    if keys.is_empty() {
        return Ok(by_validation);
    }
    let rows: Vec<StoredNotice> = statement(
        "select n.merchant_id, n.validation_id, n.number, n.sealed_answer, n.received_at
         from unnest($1::uuid[], $2::uuid[]) as wanted (merchant_id, id)
         join gateway_notices n on n.merchant_id = wanted.merchant_id and n.validation_id = wanted.id
         order by n.received_at",
    )
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.merchant.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.id.0).collect::<Vec<_>>())
    .load(connection)?;
    for row in rows {
        let key = ValidationKey {
            merchant: MerchantId(row.merchant_id),
            id: ValidationId(row.validation_id),
        };
        by_validation.entry(key).or_default().push(row);
    }
    Ok(by_validation)
}

/// Forgets at most `limit` call-backs, and as many references of gateways, that are older than the longest time a
/// validation may take. Answers how many.
pub fn forget(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    let notices = statement(
        "delete from gateway_notices n using (
            select merchant_id, digest from gateway_notices
            where received_at < now() - interval '31 days' order by received_at limit $1
         ) old
         where n.merchant_id = old.merchant_id and n.digest = old.digest",
    )
    .bind::<BigInt, _>(limit)
    .execute(connection)?;
    let references = statement(
        "delete from gateway_references r using (
            select merchant_id, gateway_account_id, gateway_reference from gateway_references
            where created_at < now() - interval '31 days' order by created_at limit $1
         ) old
         where r.merchant_id = old.merchant_id and r.gateway_account_id = old.gateway_account_id
           and r.gateway_reference = old.gateway_reference",
    )
    .bind::<BigInt, _>(limit)
    .execute(connection)?;
    Ok(notices + references)
}
