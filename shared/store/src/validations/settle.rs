//! Settling: what a step found out, written down if its lease still holds.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::{LeaseToken, Slot};
use crate::statement::statement;
use crate::{milliseconds, outcomes};
use khata_domain::ValidationKey;
use khata_domain::validation::{AttemptEnd, FailureCode, Next};
use khata_domain::{AccountStatus, Class, GatewayAccountId, MerchantId, Method, ValidationId};

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
    /// How long the newest call took, in milliseconds; `None` where none was made.
    pub latency_ms: Option<i32>,
    /// The gateway's code stands in none of our tables.
    pub unlisted_code: bool,
    /// At which gateway account the attempt is to be found by the gateway's id, as it calls back with nothing else.
    pub found_at: Option<GatewayAccountId>,
}

/// Who told, for the merchant to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// Which gateway.
    pub gateway_id: i16,
    /// The merchant's name for the gateway account.
    pub gateway_reference_id: String,
    /// How it was asked.
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
    /// Who told; `None` where nobody did.
    pub provenance: Option<Provenance>,
    /// The validation's part.
    pub next: Next,
    /// From now to the next look, where it waits.
    pub delay: Duration,
    /// Name at bank and UTR, sealed for the account.
    pub sealed_result: Option<Vec<u8>>,
    /// Ours, 0–100.
    pub name_match_score: Option<i16>,
    /// The gateway's, 0–100.
    pub gateway_name_match_score: Option<i16>,
    /// Whose result this one is, where no gateway was asked anew.
    pub reused_from: Option<ValidationId>,
    /// The call that is booked for the next look.
    pub slot: Option<Slot>,
}

impl Settlement {
    /// One that changes nothing but when, or whether, the validation is looked at again.
    pub fn without_attempt(
        key: ValidationKey,
        token: LeaseToken,
        next: Next,
        delay: Duration,
    ) -> Self {
        Self {
            key,
            token,
            attempt: None,
            provenance: None,
            next,
            delay,
            sealed_result: None,
            name_match_score: None,
            gateway_name_match_score: None,
            reused_from: None,
            slot: None,
        }
    }
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
    macro_rules! of {
        ($part:ident, $row:pat => $value:expr) => {
            settlements
                .iter()
                .map(|s| s.$part.as_ref().and_then(|$row| $value))
                .collect::<Vec<_>>()
        };
    }
    let rows: Vec<SettledRow> = statement(
        "with input as (
            select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::bytea[], $11::smallint[], $12::smallint[], $13::text[], $14::text[],
                $15::text[], $16::text[], $17::smallint[], $18::integer[], $19::bool[], $20::uuid[], $21::smallint[],
                $22::text[], $23::text[], $24::smallint[], $25::uuid[], $26::uuid[], $27::timestamptz[])
            as t (merchant_id, id, lease_token, state, delay_ms, outcome, failure_code, failure_reason,
                account_status, sealed_result, name_match_score, number, attempt_state, class, code,
                gateway_reference, polls, latency_ms, unlisted_code, found_at, gateway_id,
                gateway_reference_id, method, gateway_name_match_score, reused_from, slot_gateway_account_id, slot_at)
         ), settled as (
            update validations v
            set state = i.state,
                -- A gateway that called back while its validation was in hand was not heard yet.
                due_at = case when v.webhook_received then now() else now() + i.delay_ms * interval '1 ms' end,
                lease_token = null, leased_until = null,
                attempts = coalesce(i.number, v.attempts),
                outcome = i.outcome, failure_code = i.failure_code, failure_reason = i.failure_reason,
                gateway_id = coalesce(i.gateway_id, v.gateway_id),
                gateway_reference_id = coalesce(i.gateway_reference_id, v.gateway_reference_id),
                method = coalesce(i.method, v.method),
                sealed_result = coalesce(i.sealed_result, v.sealed_result),
                name_match_score = coalesce(i.name_match_score, v.name_match_score),
                gateway_name_match_score = coalesce(i.gateway_name_match_score, v.gateway_name_match_score),
                reused_from = coalesce(i.reused_from, v.reused_from),
                slot_gateway_account_id = i.slot_gateway_account_id, slot_at = i.slot_at,
                completed_at = case when i.state = 'COMPLETED' then now() end
            from input i
            where v.merchant_id = i.merchant_id and v.id = i.id
              and v.state = 'LEASED' and v.lease_token = i.lease_token
            returning v.merchant_id, v.id, v.account_id, v.outcome, v.reused_from, i.account_status, i.number, i.attempt_state,
                i.class, i.code, i.gateway_reference, i.polls, i.latency_ms, i.unlisted_code, i.found_at,
                coalesce(v.state = 'COMPLETED' and v.awaited_until > now(), false) as awaited
         ), attempt as (
            update validation_attempts t
            set state = s.attempt_state, class = coalesce(s.class, t.class), code = s.code,
                gateway_reference = coalesce(s.gateway_reference, t.gateway_reference), polls = s.polls,
                latency_ms = coalesce(s.latency_ms, t.latency_ms),
                unlisted_code = t.unlisted_code or s.unlisted_code, settled_at = case when s.attempt_state = 'SETTLED' then now() end
            from settled s
            where t.merchant_id = s.merchant_id and t.validation_id = s.id and t.number = s.number
         ), reference as (
            insert into gateway_references (merchant_id, gateway_account_id, gateway_reference, validation_id, number)
            select merchant_id, found_at, gateway_reference, id, number from settled
            where found_at is not null and gateway_reference is not null and attempt_state <> 'SETTLED'
            on conflict do nothing
         ), account as (
            update customer_accounts a
            set status = s.account_status, updated_at = now(),
                last_validated_at = case when s.outcome in ('VALID', 'INVALID', 'REVIEW') then now()
                                         else a.last_validated_at end,
                told_validation_id = case when s.outcome in ('VALID', 'INVALID', 'REVIEW') and s.reused_from is null
                                          then s.id else a.told_validation_id end
            from settled s
            where s.account_status is not null
              and a.merchant_id = s.merchant_id and a.id = s.account_id and a.validation_id = s.id
              -- Not by deleted_at: a plan made while the table was empty would walk a partial index for it.
              and a.status <> 'DELETED' and (a.status <> s.account_status or s.outcome is not null)
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
    .bind::<Array<Nullable<SmallInt>>, _>(of!(attempt, a => Some(a.number)))
    .bind::<Array<Nullable<Text>>, _>(of!(attempt, a => Some(a.end.state.as_str())))
    .bind::<Array<Nullable<Text>>, _>(of!(attempt, a => a.end.class.map(Class::as_str)))
    .bind::<Array<Nullable<Text>>, _>(of!(attempt, a => Some(a.end.code.as_str())))
    .bind::<Array<Nullable<Text>>, _>(of!(attempt, a => a.gateway_reference.as_deref()))
    .bind::<Array<Nullable<SmallInt>>, _>(of!(attempt, a => Some(a.polls)))
    .bind::<Array<Nullable<Integer>>, _>(of!(attempt, a => a.latency_ms))
    .bind::<Array<Nullable<Bool>>, _>(of!(attempt, a => Some(a.unlisted_code)))
    .bind::<Array<Nullable<SqlUuid>>, _>(of!(attempt, a => a.found_at.map(|account| account.0)))
    .bind::<Array<Nullable<SmallInt>>, _>(of!(provenance, t => Some(t.gateway_id)))
    .bind::<Array<Nullable<Text>>, _>(of!(provenance, t => Some(t.gateway_reference_id.as_str())))
    .bind::<Array<Nullable<Text>>, _>(of!(provenance, t => Some(t.method.as_str())))
    .bind::<Array<Nullable<SmallInt>>, _>(column!(s => s.gateway_name_match_score))
    .bind::<Array<Nullable<SqlUuid>>, _>(column!(s => s.reused_from.map(|validation| validation.0)))
    .bind::<Array<Nullable<SqlUuid>>, _>(of!(slot, slot => Some(slot.gateway_account.0)))
    .bind::<Array<Nullable<Timestamptz>>, _>(of!(slot, slot => Some(slot.at)))
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
            failure.map(FailureCode::as_str),
            failure.map(FailureCode::reason),
        ),
        Next::Wait { .. } => (None, None, None),
    }
}
