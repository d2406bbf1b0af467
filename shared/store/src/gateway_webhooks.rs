//! Gateway webhooks. The API stores a webhook beside its validation and makes the validation due; a worker settles it under a
//! lease, as it settles the response to its own call. A duplicate, late or unknown webhook changes nothing.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::column::row;
use super::gateway_health::GatewayKey;
use super::statement::{Statement, statement, validation_keys};
use super::validations::with_not_understood;
use khata_domain::gateway::{NOT_RECEIVED, RESPONSE_LOST};
use khata_domain::ids::AttemptReference;
use khata_domain::{MerchantId, ValidationId, ValidationKey, ValidationState};

/// An attempt whose outcome a gateway may report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    pub key: ValidationKey,
    /// 1 for the first.
    pub number: i16,
    /// W3C trace context of the account's trace.
    pub trace_parent: Option<String>,
    /// A caller waits for the outcome.
    pub awaited: bool,
}

/// The attempt that a webhook names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundAttempt {
    /// Its outcome is still open: the attempt is unfinished, or it was given up and no other one was made.
    Open(OpenAttempt),
    /// The attempt or its validation has ended, or another attempt was made.
    Ended,
    /// No attempt has this reference yet: a gateway may call before the worker has stored the gateway's id.
    Unknown,
}

/// Returns the start of a statement that finds an attempt `t` of a validation `v`.
fn select() -> String {
    format!(
        "select t.validation_id, t.number, v.trace_parent,
            v.completed_at is null and (t.state <> 'SETTLED' or t.code in ('{RESPONSE_LOST}', '{NOT_RECEIVED}') and not exists (
                select from validation_attempts n
                where n.merchant_id = t.merchant_id and n.validation_id = t.validation_id and n.number > t.number)),
            coalesce(v.awaited_until > now(), false)"
    )
}

fn found(
    statement: Statement<'_>,
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<FoundAttempt> {
    let row: Option<(ValidationId, i16, Option<String>, bool, bool)> =
        statement.tuple(connection).optional()?;
    Ok(match row {
        None => FoundAttempt::Unknown,
        Some((id, number, trace_parent, true, awaited)) => FoundAttempt::Open(OpenAttempt {
            key: ValidationKey { merchant, id },
            number,
            trace_parent,
            awaited,
        }),
        Some((_, _, _, false, _)) => FoundAttempt::Ended,
    })
}

/// Finds the attempt at this gateway account by Khata's reference.
pub fn by_our_reference(
    connection: &mut PgConnection,
    gateway: GatewayKey,
    reference: &AttemptReference,
) -> QueryResult<FoundAttempt> {
    let statement = statement(format!(
        "{} from validation_attempts t
         join validations v on v.merchant_id = t.merchant_id and v.id = t.validation_id
         where t.merchant_id = $1 and t.validation_id = $2 and t.number = $3 and t.gateway_account_id = $4",
        select()
    ))
    .key(gateway.merchant, reference.validation)
    .bind(reference.number)
    .bind(gateway.account);
    found(statement, connection, gateway.merchant)
}

/// Finds the attempt at this gateway account by the gateway's own id.
pub fn by_their_reference(
    connection: &mut PgConnection,
    gateway: GatewayKey,
    reference: &str,
) -> QueryResult<FoundAttempt> {
    // By whole keys: joined without statistics, Postgres may read all attempts of the merchant.
    let statement = statement(format!(
        "{} from gateway_references r
         cross join lateral (
            select * from validation_attempts
            where merchant_id = r.merchant_id and validation_id = r.validation_id and number = r.number limit 1
         ) t
         cross join lateral (select * from validations where merchant_id = t.merchant_id and id = t.validation_id limit 1) v
         where r.merchant_id = $1 and r.gateway_account_id = $2 and r.gateway_reference = $3",
        select()
    ))
    .key(gateway.merchant, gateway.account)
    .bind(reference);
    found(statement, connection, gateway.merchant)
}

/// The effect of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The webhook is stored and the validation is due: publish its wake-up.
    Due,
    /// The webhook is stored; the validation is due already, or a worker holds it and its next step begins at once.
    Stored,
    /// The webhook is a duplicate, or the validation is completed.
    Ignored,
}

/// Time between two lookups that hints about one attempt cause.
const HINT_INTERVAL: TimeDelta = TimeDelta::seconds(10);

/// Stores a webhook about an open attempt, in a transaction of its own. A webhook without an outcome is a hint, which any sender
/// may send: an attempt has one row for its hints, one pending hint, and one lookup by hint in ten seconds. `digest` must
/// therefore be equal for all hints about one attempt. `not_understood`: fields of the webhook that could not be read, by name;
/// the attempt keeps them, also those of a webhook that is not stored.
pub fn receive(
    connection: &mut PgConnection,
    attempt: &OpenAttempt,
    digest: &[u8; 32],
    sealed_response: Option<&[u8]>,
    not_understood: &[String],
) -> QueryResult<Received> {
    let key = attempt.key;
    connection.transaction(|connection| {
        // The lock comes before the insert: a concurrent settlement is either visible here or sees the webhook. The lock goes
        // by primary key alone, so that the plan cannot walk the index of open validations.
        let row: Option<(ValidationState, bool, DateTime<Utc>)> = statement(
            "select state, called_back, now() from validations where merchant_id = $1 and id = $2 for no key update",
        )
        .key(key.merchant, key.id)
        .tuple(connection)
        .optional()?;
        let Some((state, is_pending, now)) = row.filter(|(state, ..)| state.is_open()) else {
            return Ok(Received::Ignored);
        };
        keep_not_understood(connection, attempt, not_understood)?;
        let is_hint = sealed_response.is_none();
        let hinted_at: Option<DateTime<Utc>> = statement(
            "select received_at from gateway_notices where merchant_id = $1 and digest = $2",
        )
        .bind(key.merchant)
        .bind(&digest[..])
        .tuple(connection)
        .optional()?;
        let due_at = match hinted_at {
            None => now,
            Some(_) if !is_hint || is_pending => return Ok(Received::Ignored),
            Some(hinted_at) => now.max(hinted_at + HINT_INTERVAL),
        };
        // A worker that holds the validation looks the outcome up itself.
        if due_at > now && state == ValidationState::Leased {
            return Ok(Received::Ignored);
        }
        statement(
            "insert into gateway_notices (merchant_id, digest, validation_id, number, sealed_answer, received_at)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (merchant_id, digest) do update set received_at = excluded.received_at",
        )
        .bind(key.merchant)
        .bind(&digest[..])
        .bind(key.id)
        .bind(attempt.number)
        .bind(sealed_response)
        .bind(due_at)
        .run(connection)?;
        let wakes = state == ValidationState::Waiting && due_at <= now;
        // If the wake-up is lost, the scheduler publishes another. It takes a later hint when the hint is due.
        statement(
            "update validations set called_back = true,
                due_at = case when $1 then now() + interval '15 s' when state = 'WAITING' then least(due_at, $2) else due_at end,
                state = case when $1 then 'DUE' else state end
             where merchant_id = $3 and id = $4",
        )
        .bind(wakes)
        .bind(due_at)
        .key(key.merchant, key.id)
        .run(connection)?;
        Ok(if wakes {
            Received::Due
        } else {
            Received::Stored
        })
    })
}

/// Adds fields that could not be read to those of the attempt. Fields that it has write nothing: any sender may send hints.
fn keep_not_understood(
    connection: &mut PgConnection,
    attempt: &OpenAttempt,
    fields: &[String],
) -> QueryResult<()> {
    if fields.is_empty() {
        return Ok(());
    }
    statement(format!(
        "update validation_attempts t
         set not_understood = {}
         where t.merchant_id = $2 and t.validation_id = $3 and t.number = $4 and not t.not_understood @> $1",
        with_not_understood("$1")
    ))
    .bind(fields.to_vec())
    .key(attempt.key.merchant, attempt.key.id)
    .bind(attempt.number)
    .run(connection)
}

row! {
    /// A stored webhook.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct StoredWebhook {
        #[diesel(embed)]
        key: ValidationKey,
        /// Number of the attempt.
        pub number: i16,
        /// The outcome, encrypted for the validation; `None` if the worker must look it up.
        #[diesel(column_name = sealed_answer)]
        pub sealed_response: Option<Vec<u8>>,
        pub received_at: DateTime<Utc>,
    }
}

/// Reads the webhooks about these validations, the newest last.
pub fn stored(
    connection: &mut PgConnection,
    validations: &[ValidationKey],
) -> QueryResult<HashMap<ValidationKey, Vec<StoredWebhook>>> {
    let mut by_validation: HashMap<_, Vec<_>> = HashMap::new();
    let rows: Vec<StoredWebhook> = statement(
        "select n.merchant_id, n.validation_id, n.number, n.sealed_answer, n.received_at
         from $1 as wanted
         join gateway_notices n on n.merchant_id = wanted.merchant_id and n.validation_id = wanted.id
         order by n.received_at",
    )
    .rows(validation_keys(validations))
    .load(connection)?;
    for row in rows {
        by_validation.entry(row.key).or_default().push(row);
    }
    Ok(by_validation)
}

/// Deletes at most `limit` webhooks, and as many references of gateways, that are older than the longest possible
/// validation. Returns their number.
pub fn delete_expired(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    let webhooks = statement(
        "delete from gateway_notices n using (
            select merchant_id, digest from gateway_notices
            where received_at < now() - interval '31 days' order by received_at limit $1
         ) old
         where n.merchant_id = old.merchant_id and n.digest = old.digest",
    )
    .bind(limit)
    .execute(connection)?;
    let references = statement(
        "delete from gateway_references r using (
            select merchant_id, gateway_account_id, gateway_reference from gateway_references
            where created_at < now() - interval '31 days' order by created_at limit $1
         ) old
         where r.merchant_id = old.merchant_id and r.gateway_account_id = old.gateway_account_id
           and r.gateway_reference = old.gateway_reference",
    )
    .bind(limit)
    .execute(connection)?;
    Ok(webhooks + references)
}
