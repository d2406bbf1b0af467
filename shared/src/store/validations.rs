//! Validations and their attempts: claimed, settled and rung in batches. Each statement is fenced: a row that has
//! moved on is left alone.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::outcomes;
use super::statement::statement;
use crate::domain::routing::Pin;
use crate::domain::validation::{AttemptEnd, AttemptState, Next};
use crate::domain::{
    AccountId, AccountStatus, Class, CustomerId, GatewayAccountId, MerchantId, Method, ValidationId,
};

/// A validation and its merchant: the pair that every row is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValidationKey {
    /// Whose.
    pub merchant: MerchantId,
    /// Which.
    pub id: ValidationId,
}

/// Proof of holding a validation: only who shows it can settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken(pub Uuid);

/// A claimed validation and the account it is about.
#[derive(Clone, Debug, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    /// When trying ends.
    #[diesel(sql_type = Timestamptz)]
    pub deadline_at: DateTime<Utc>,
    /// W3C trace context of the account's trace.
    #[diesel(sql_type = Nullable<Text>)]
    pub trace_parent: Option<String>,
    #[diesel(sql_type = Text)]
    account_status: String,
    /// Sealed for the account's id.
    #[diesel(sql_type = Binary)]
    pub sealed_details: Vec<u8>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pinned_gateway_id: Option<i16>,
    #[diesel(sql_type = Nullable<Text>)]
    pinned_gateway_reference_id: Option<String>,
    #[diesel(sql_type = Nullable<Jsonb>)]
    consent: Option<serde_json::Value>,
    #[diesel(sql_type = SqlUuid)]
    customer_id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    routing_id: Option<String>,
}

impl Claimed {
    /// Its key.
    pub fn key(&self) -> ValidationKey {
        ValidationKey {
            merchant: MerchantId(self.merchant_id),
            id: ValidationId(self.id),
        }
    }

    /// The account it is about.
    pub fn account(&self) -> AccountId {
        AccountId(self.account_id)
    }

    /// `x-routing-id` of the call; where it gave none, the customer's id stands in.
    pub fn routing_id(&self) -> String {
        self.routing_id
            .clone()
            .unwrap_or_else(|| CustomerId(self.customer_id).to_string())
    }

    /// Whether the account was deleted meanwhile.
    pub fn account_is_deleted(&self) -> bool {
        self.account_status == AccountStatus::Deleted.as_str()
    }

    /// What the call asked of the routing.
    pub fn pin(&self) -> Pin {
        Pin {
            gateway_id: self.pinned_gateway_id,
            reference_id: self.pinned_gateway_reference_id.clone(),
        }
    }

    /// The payee's consent, where the merchant sent proof of it.
    pub fn consent(&self) -> Option<crate::domain::Consent> {
        self.consent
            .clone()
            .and_then(|json| serde_json::from_value(json).ok())
    }
}

/// Leases those of the wanted validations that are DUE, for `lease`. What another worker holds, waits or is completed
/// is left out of the answer.
pub fn claim(
    connection: &mut PgConnection,
    wanted: &[ValidationKey],
    token: LeaseToken,
    lease: Duration,
) -> QueryResult<Vec<Claimed>> {
    statement(
        "with mine as (
            select v.merchant_id, v.id
            from unnest($1::uuid[], $2::uuid[]) as wanted (merchant_id, id)
            join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
            where v.state = 'DUE'
            for update of v skip locked
         )
         update validations v
         set state = 'LEASED', lease_token = $3, leased_until = now() + $4 * interval '1 ms'
         from mine, customer_accounts a
         where v.merchant_id = mine.merchant_id and v.id = mine.id
           and a.merchant_id = v.merchant_id and a.id = v.account_id
         returning v.merchant_id, v.id, v.account_id, v.deadline_at, v.trace_parent, a.status as account_status,
            a.sealed_details, a.pinned_gateway_id, a.pinned_gateway_reference_id, a.consent,
            a.customer_id, a.routing_id",
    )
    .bind::<Array<SqlUuid>, _>(wanted.iter().map(|key| key.merchant.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(wanted.iter().map(|key| key.id.0).collect::<Vec<_>>())
    .bind::<SqlUuid, _>(token.0)
    .bind::<BigInt, _>(milliseconds(lease))
    .load(connection)
}

/// An attempt as it stands.
#[derive(Clone, Debug, QueryableByName)]
pub struct Attempt {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    validation_id: Uuid,
    /// 1 for the first.
    #[diesel(sql_type = SmallInt)]
    pub number: i16,
    #[diesel(sql_type = SqlUuid)]
    gateway_account_id: Uuid,
    /// At which gateway.
    #[diesel(sql_type = SmallInt)]
    pub gateway_id: i16,
    #[diesel(sql_type = Text)]
    method: String,
    /// Ours, at the gateway.
    #[diesel(sql_type = Text)]
    pub reference: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    class: Option<String>,
    /// The gateway's own word, or ours for its silence.
    #[diesel(sql_type = Nullable<Text>)]
    pub code: Option<String>,
    /// The gateway's id for the call.
    #[diesel(sql_type = Nullable<Text>)]
    pub gateway_reference: Option<String>,
    /// Looks made at it.
    #[diesel(sql_type = SmallInt)]
    pub polls: i16,
    /// When it was written down.
    #[diesel(sql_type = Timestamptz)]
    pub started_at: DateTime<Utc>,
}

impl Attempt {
    /// Whom it asked.
    pub fn gateway_account(&self) -> GatewayAccountId {
        GatewayAccountId(self.gateway_account_id)
    }

    /// How it asked; a penny drop if the row names none we know, as that is the careful reading.
    pub fn method(&self) -> Method {
        Method::parse(&self.method).unwrap_or(Method::PennyDrop)
    }

    /// How far it came.
    pub fn state(&self) -> AttemptState {
        AttemptState::parse(&self.state).unwrap_or(AttemptState::Unknown)
    }

    /// What came of it.
    pub fn class(&self) -> Option<Class> {
        self.class.as_deref().and_then(Class::parse)
    }
}

/// All attempts of these validations, in order of number.
pub fn attempts(
    connection: &mut PgConnection,
    keys: &[ValidationKey],
) -> QueryResult<HashMap<ValidationKey, Vec<Attempt>>> {
    let rows: Vec<Attempt> = statement(
        "select t.merchant_id, t.validation_id, t.number, t.gateway_account_id, t.gateway_id, t.method, t.reference,
            t.state, t.class, t.code, t.gateway_reference, t.polls, t.started_at
         from unnest($1::uuid[], $2::uuid[]) as wanted (merchant_id, id)
         join validation_attempts t on t.merchant_id = wanted.merchant_id and t.validation_id = wanted.id
         order by t.merchant_id, t.validation_id, t.number",
    )
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.merchant.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(keys.iter().map(|key| key.id.0).collect::<Vec<_>>())
    .load(connection)?;
    let mut by_validation: HashMap<ValidationKey, Vec<Attempt>> = HashMap::new();
    for row in rows {
        let key = ValidationKey {
            merchant: MerchantId(row.merchant_id),
            id: ValidationId(row.validation_id),
        };
        by_validation.entry(key).or_default().push(row);
    }
    Ok(by_validation)
}

/// An attempt about to be made.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Of which validation.
    pub key: ValidationKey,
    /// 1 for the first.
    pub number: i16,
    /// Whom it asks.
    pub gateway_account: GatewayAccountId,
    /// At which gateway.
    pub gateway_id: i16,
    /// How.
    pub method: Method,
    /// Our reference at the gateway.
    pub reference: String,
    /// Why the routing chose it.
    pub choice: String,
    /// Whether the attempt before may have dropped its rupee unseen.
    pub possible_double_drop: bool,
}

/// Writes attempts down, before their calls are made.
pub fn insert_attempts(connection: &mut PgConnection, attempts: &[NewAttempt]) -> QueryResult<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    statement(
        "insert into validation_attempts (merchant_id, validation_id, number, gateway_account_id, gateway_id, method,
            reference, choice, possible_double_drop, state)
         select *, 'STARTED' from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::uuid[], $5::smallint[],
            $6::text[], $7::text[], $8::text[], $9::bool[])",
    )
    .bind::<Array<SqlUuid>, _>(attempts.iter().map(|a| a.key.merchant.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(attempts.iter().map(|a| a.key.id.0).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(attempts.iter().map(|a| a.number).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(attempts.iter().map(|a| a.gateway_account.0).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(attempts.iter().map(|a| a.gateway_id).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(attempts.iter().map(|a| a.method.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(attempts.iter().map(|a| a.reference.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(attempts.iter().map(|a| a.choice.as_str()).collect::<Vec<_>>())
    .bind::<Array<Bool>, _>(attempts.iter().map(|a| a.possible_double_drop).collect::<Vec<_>>())
    .execute(connection)
    .map(drop)
}

/// Gives up attempts whose answers are lost and cannot be looked up.
pub fn give_up_attempts(
    connection: &mut PgConnection,
    lost: &[(ValidationKey, i16)],
) -> QueryResult<()> {
    if lost.is_empty() {
        return Ok(());
    }
    statement(
        "update validation_attempts t
         set state = 'SETTLED', class = 'RETRYABLE', code = lost.code, settled_at = now()
         from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[]) as lost (merchant_id, validation_id, number, code)
         where t.merchant_id = lost.merchant_id and t.validation_id = lost.validation_id and t.number = lost.number
           and t.state <> 'SETTLED'",
    )
    .bind::<Array<SqlUuid>, _>(lost.iter().map(|(key, _)| key.merchant.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(lost.iter().map(|(key, _)| key.id.0).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(lost.iter().map(|(_, number)| *number).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(lost.iter().map(|_| crate::domain::gateway::ANSWER_LOST).collect::<Vec<_>>())
    .execute(connection)
    .map(drop)
}

/// What a step found out about the attempt it made or looked after.
#[derive(Clone, Debug)]
pub struct AttemptReport {
    /// Which attempt.
    pub number: i16,
    /// What became of it.
    pub end: AttemptEnd,
    /// The gateway's id for it, once known.
    pub gateway_reference: Option<String>,
    /// Looks made so far.
    pub polls: i16,
    /// How long the newest call took, in milliseconds.
    pub latency_ms: i32,
    /// At which gateway, for the merchant to see.
    pub gateway_id: i16,
    /// The merchant's name for the gateway account.
    pub gateway_reference_id: String,
    /// How it asked.
    pub method: Method,
}

/// The end of a step: what to write, if the lease still holds.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Which validation.
    pub key: ValidationKey,
    /// The lease it was claimed under.
    pub token: LeaseToken,
    /// The attempt's part; `None` where no gateway was asked.
    pub attempt: Option<AttemptReport>,
    /// The validation's part.
    pub next: Next,
    /// From now to the next look, where it waits.
    pub delay: Duration,
    /// Name at bank and UTR, sealed for the account.
    pub sealed_result: Option<Vec<u8>>,
    /// 0–100.
    pub name_match_score: Option<i16>,
}

#[derive(QueryableByName)]
struct SettledRow {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// Finished, and somebody waits for it.
    #[diesel(sql_type = Bool)]
    awaited: bool,
}

impl SettledRow {
    fn key(&self) -> ValidationKey {
        ValidationKey {
            merchant: MerchantId(self.merchant_id),
            id: ValidationId(self.id),
        }
    }
}

/// Settles: attempt, validation and account in one statement, for those whose lease still holds. Answers the keys
/// that were settled; for the others somebody else decides. An account follows only its newest validation, and
/// never out of deletion.
pub fn settle(
    connection: &mut PgConnection,
    settlements: &[Settlement],
) -> QueryResult<Vec<ValidationKey>> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    macro_rules! column {
        ($row:pat => $value:expr) => {
            settlements.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    macro_rules! of_attempt {
        ($attempt:pat => $value:expr) => {
            settlements
                .iter()
                .map(|s| s.attempt.as_ref().and_then(|$attempt| $value))
                .collect::<Vec<_>>()
        };
    }
    let rows: Vec<SettledRow> = statement(
        "with input as (
            select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::bytea[], $11::smallint[], $12::smallint[], $13::text[], $14::text[],
                $15::text[], $16::text[], $17::smallint[], $18::integer[], $19::smallint[], $20::text[], $21::text[])
            as t (merchant_id, id, lease_token, state, delay_ms, outcome, failure_code, failure_reason,
                account_status, sealed_result, name_match_score, number, attempt_state, class, code,
                gateway_reference, polls, latency_ms, gateway_id, gateway_reference_id, method)
         ), settled as (
            update validations v
            set state = i.state,
                due_at = now() + i.delay_ms * interval '1 ms',
                lease_token = null, leased_until = null,
                attempts = coalesce(i.number, v.attempts),
                outcome = i.outcome, failure_code = i.failure_code, failure_reason = i.failure_reason,
                gateway_id = coalesce(i.gateway_id, v.gateway_id),
                gateway_reference_id = coalesce(i.gateway_reference_id, v.gateway_reference_id),
                method = coalesce(i.method, v.method),
                sealed_result = coalesce(i.sealed_result, v.sealed_result),
                name_match_score = coalesce(i.name_match_score, v.name_match_score),
                completed_at = case when i.state = 'COMPLETED' then now() end
            from input i
            where v.merchant_id = i.merchant_id and v.id = i.id
              and v.state = 'LEASED' and v.lease_token = i.lease_token
            returning v.merchant_id, v.id, v.account_id, v.outcome, i.account_status, i.number, i.attempt_state,
                i.class, i.code, i.gateway_reference, i.polls, i.latency_ms,
                coalesce(v.state = 'COMPLETED' and v.awaited_until > now(), false) as awaited
         ), attempt as (
            update validation_attempts t
            set state = s.attempt_state, class = coalesce(s.class, t.class), code = s.code,
                gateway_reference = coalesce(s.gateway_reference, t.gateway_reference), polls = s.polls,
                latency_ms = s.latency_ms, settled_at = case when s.attempt_state = 'SETTLED' then now() end
            from settled s
            where t.merchant_id = s.merchant_id and t.validation_id = s.id and t.number = s.number
         ), account as (
            update customer_accounts a
            set status = s.account_status, updated_at = now(),
                last_validated_at = case when s.outcome in ('VALID', 'INVALID', 'REVIEW') then now()
                                         else a.last_validated_at end
            from settled s
            where s.account_status is not null
              and a.merchant_id = s.merchant_id and a.id = s.account_id and a.validation_id = s.id
              and a.deleted_at is null and (a.status <> s.account_status or s.outcome is not null)
         )
         select merchant_id, id, awaited from settled",
    )
    .bind::<Array<SqlUuid>, _>(column!(s => s.key.merchant.0))
    .bind::<Array<SqlUuid>, _>(column!(s => s.key.id.0))
    .bind::<Array<SqlUuid>, _>(column!(s => s.token.0))
    .bind::<Array<Text>, _>(column!(s => state_word(&s.next)))
    .bind::<Array<BigInt>, _>(column!(s => milliseconds(s.delay)))
    .bind::<Array<Nullable<Text>>, _>(column!(s => outcome_words(&s.next).0))
    .bind::<Array<Nullable<Text>>, _>(column!(s => outcome_words(&s.next).1))
    .bind::<Array<Nullable<Text>>, _>(column!(s => outcome_words(&s.next).2))
    .bind::<Array<Nullable<Text>>, _>(column!(s => s.next.account_status().map(AccountStatus::as_str)))
    .bind::<Array<Nullable<Binary>>, _>(column!(s => s.sealed_result.as_deref()))
    .bind::<Array<Nullable<SmallInt>>, _>(column!(s => s.name_match_score))
    .bind::<Array<Nullable<SmallInt>>, _>(of_attempt!(a => Some(a.number)))
    .bind::<Array<Nullable<Text>>, _>(of_attempt!(a => Some(a.end.state.as_str())))
    .bind::<Array<Nullable<Text>>, _>(of_attempt!(a => a.end.class.map(Class::as_str)))
    .bind::<Array<Nullable<Text>>, _>(of_attempt!(a => Some(a.end.code.as_str())))
    .bind::<Array<Nullable<Text>>, _>(of_attempt!(a => a.gateway_reference.as_deref()))
    .bind::<Array<Nullable<SmallInt>>, _>(of_attempt!(a => Some(a.polls)))
    .bind::<Array<Nullable<diesel::sql_types::Integer>>, _>(of_attempt!(a => Some(a.latency_ms)))
    .bind::<Array<Nullable<SmallInt>>, _>(of_attempt!(a => Some(a.gateway_id)))
    .bind::<Array<Nullable<Text>>, _>(of_attempt!(a => Some(a.gateway_reference_id.as_str())))
    .bind::<Array<Nullable<Text>>, _>(of_attempt!(a => Some(a.method.as_str())))
    .load(connection)?;
    let awaited: Vec<ValidationId> = rows
        .iter()
        .filter(|row| row.awaited)
        .map(|row| ValidationId(row.id))
        .collect();
    outcomes::tell(connection, &awaited)?;
    Ok(rows.iter().map(SettledRow::key).collect())
}

fn state_word(next: &Next) -> &'static str {
    match next {
        Next::Complete { .. } => "COMPLETED",
        Next::Wait { .. } => "WAITING",
    }
}

type Words = (
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
);

fn outcome_words(next: &Next) -> Words {
    match next {
        Next::Complete { outcome, failure } => (
            Some(outcome.as_str()),
            failure.map(super::super::domain::validation::FailureCode::as_str),
            failure.map(crate::domain::validation::FailureCode::reason),
        ),
        Next::Wait { .. } => (None, None, None),
    }
}

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

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
