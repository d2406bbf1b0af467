//! Settling: ends a worker's step on a validation, in one transaction, if its lease still holds.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use chrono::Utc;
use diesel::prelude::*;

use super::attempt::with_not_understood;
use super::claim::LeaseToken;
use crate::column::row;
use crate::events;
use crate::outcomes;
use crate::statement::{Rows, milliseconds, rows, statement, validation_keys};
use khata_domain::mutants::{self, Mutant};
use khata_domain::validation::{AttemptEnd, AttemptState, FailureCode, Next, Outcome};
use khata_domain::{
    Class, EventId, GatewayAccountId, Method, PendingReason, ValidationId, ValidationKey,
    ValidationState,
};

/// The result of a step for the attempt that it made or looked up.
#[derive(Clone, Debug)]
pub struct AttemptReport {
    pub number: i16,
    /// The attempt's new state.
    pub end: AttemptEnd,
    /// The gateway's id for the attempt, once known.
    pub gateway_reference: Option<String>,
    /// Number of lookups so far.
    pub polls: i16,
    /// Milliseconds that the newest call took; `None` if there was no call.
    pub latency_ms: Option<i32>,
    /// The gateway's code is in none of the connector's tables.
    pub unlisted_code: bool,
    /// Why the account takes no credit by the gateway's word.
    pub failure: Option<FailureCode>,
    /// Fields of the response that could not be read, by name.
    pub not_understood: Vec<String>,
    /// Gateway account whose webhooks name the attempt by the gateway's id only: the attempt must be found by it.
    pub webhook_gateway_account: Option<GatewayAccountId>,
}

row! {
    /// Where a result comes from, for the merchant to see.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Provenance {
        pub gateway_id: i16,
        /// The merchant's name for the gateway account.
        pub gateway_reference_id: String,
        pub method: Method,
    }
}

/// The end of a step: what [`settle`] writes if the lease still holds.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub key: ValidationKey,
    /// Lease of the claim.
    pub token: LeaseToken,
    /// The attempt's part; `None` if no gateway was called.
    pub attempt: Option<AttemptReport>,
    /// Where the result comes from, if there is one.
    pub provenance: Option<Provenance>,
    /// The validation's part.
    pub next: Next,
    /// Time from now to the next step, if the validation waits.
    pub delay: Duration,
    /// Name at bank, UTR and account type, encrypted for the account.
    pub sealed_result: Option<Vec<u8>>,
    /// Khata's own score, 0–100.
    pub name_match_score: Option<i16>,
    /// The gateway's score, 0–100.
    pub gateway_name_match_score: Option<i16>,
    /// The validation whose result this one reuses.
    pub reused_from: Option<ValidationId>,
}

impl Settlement {
    /// A settlement that only completes the validation, or sets its next step.
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
        }
    }
}

/// The columns of a settlement; a null keeps what a `coalesce` in the statement keeps.
fn columns(settlements: &[Settlement]) -> Rows<'_> {
    let settlements: Vec<_> = settlements
        .iter()
        .map(|s| match s.next {
            Next::Complete {
                outcome, failure, ..
            } => (s, ValidationState::Completed, Some(outcome), failure, None),
            Next::Wait { reason, .. } => (s, ValidationState::Waiting, None, None, Some(reason)),
        })
        .collect();
    rows!(&settlements, (s, state, outcome, failure, pending_reason) => {
        merchant_id = s.key.merchant,
        id = s.key.id,
        lease_token = s.token.0,
        // The validation.
        state = *state,
        delay_ms = milliseconds(s.delay),
        outcome = *outcome,
        failure_code = *failure,
        failure_reason = failure.map(FailureCode::reason),
        pending_reason = *pending_reason,
        gateway_id = s.provenance.as_ref().map(|p| p.gateway_id),
        gateway_reference_id =
            s.provenance.as_ref().map(|p| p.gateway_reference_id.as_str()),
        method = s.provenance.as_ref().map(|p| p.method),
        sealed_result = s.sealed_result.as_deref(),
        name_match_score = s.name_match_score,
        gateway_name_match_score = s.gateway_name_match_score,
        reused_from = s.reused_from,
        // The account and its event.
        account_status = s.next.account_status(),
        event_id = EventId::new(),
        // The attempt.
        number = s.attempt.as_ref().map(|a| a.number),
        attempt_state = s.attempt.as_ref().map(|a| a.end.state),
        class = s.attempt.as_ref().and_then(|a| a.end.class),
        code = s.attempt.as_ref().map(|a| a.end.code.as_str()),
        gateway_reference =
            s.attempt.as_ref().and_then(|a| a.gateway_reference.as_deref()),
        polls = s.attempt.as_ref().map(|a| a.polls),
        latency_ms = s.attempt.as_ref().and_then(|a| a.latency_ms),
        unlisted_code = s.attempt.as_ref().map(|a| a.unlisted_code),
        attempt_failure = s.attempt.as_ref().and_then(|a| a.failure),
        not_understood = s.attempt.as_ref().map(|a| a.not_understood.join(",")),
        webhook_gateway_account_id =
            s.attempt.as_ref().and_then(|a| a.webhook_gateway_account),
    })
}

row! {
    /// A validation that was settled.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Settled {
        #[diesel(embed)]
        pub key: ValidationKey,
        /// Completed, and a caller waits for the outcome.
        awaited: bool,
        /// Events of the same statement are delivered to endpoints of the merchant.
        pub has_deliveries: bool,
    }
}

/// Returns the settlements, with another step in place of an end as UNAVAILABLE if a gateway webhook arrived during the step: the
/// webhook may have the outcome. Such ends are rare, so that others pay no statement for them.
fn after_webhooks<'a>(
    connection: &mut PgConnection,
    settlements: &'a [Settlement],
) -> QueryResult<Cow<'a, [Settlement]>> {
    let is_unavailable = |settlement: &Settlement| matches!(&settlement.next, Next::Complete { outcome, .. } if *outcome == Outcome::Unavailable);
    let ends = settlements
        .iter()
        .filter(|settlement| is_unavailable(settlement));
    let ends: Vec<ValidationKey> = ends.map(|settlement| settlement.key).collect();
    // The lock comes before a webhook that arrives now, which then finds the validation completed.
    let called_back: Vec<ValidationKey> = statement(
        "select v.merchant_id, v.id as validation_id from $1 as wanted
         join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
         where v.called_back and v.state = 'LEASED'
         for no key update of v",
    )
    .rows(validation_keys(&ends))
    .load(connection)?;
    if called_back.is_empty() {
        return Ok(Cow::Borrowed(settlements));
    }
    let called_back: HashSet<_> = called_back.into_iter().collect();
    let mut settlements = settlements.to_vec();
    for settlement in &mut settlements {
        if !is_unavailable(settlement) || !called_back.contains(&settlement.key) {
            continue;
        }
        // A pending attempt stays pending, so that a webhook without the outcome leads to a poll.
        let end = settlement.attempt.as_mut().map(|attempt| &mut attempt.end);
        let is_pending = end.is_some_and(|end| {
            let is_pending = end.class == Some(Class::Pending);
            if is_pending {
                end.state = AttemptState::Pending;
            }
            is_pending
        });
        settlement.delay = Duration::ZERO;
        settlement.next = Next::Wait {
            until: Utc::now(),
            pending: is_pending,
            reason: if is_pending {
                PendingReason::AwaitingGatewayResult
            } else {
                PendingReason::CheckingPreviousAttempt
            },
        };
    }
    Ok(Cow::Owned(settlements))
}

/// Settles attempt, validation and account in one statement, where the lease still holds. Returns those that it settled;
/// the others belong to another worker now. An account follows only its newest validation, and never leaves DELETED.
pub fn settle(
    connection: &mut PgConnection,
    settlements: &[Settlement],
) -> QueryResult<Vec<Settled>> {
    let settlements = after_webhooks(connection, settlements)?;
    let position = events::POSITION;
    let record = events::record(
        &["trace_parent", events::SNAPSHOT_COLUMNS],
        if mutants::is_on(Mutant::LostEvent) {
            "select * from account where random() < 0.97"
        } else {
            "select * from account"
        },
    );
    let fence = if mutants::is_on(Mutant::UnfencedSettlement) {
        "true"
    } else {
        "v.state = 'LEASED' and v.lease_token = i.lease_token"
    };
    let (is_live, revive) = if mutants::is_on(Mutant::RevivedAccount) {
        ("true", "deleted_at = null, ")
    } else {
        ("a.status <> 'DELETED'", "")
    };
    let snapshot = events::SNAPSHOT.replace("v.", "s.");
    let rows: Vec<Settled> = statement(format!(
        "with input as (
            select * from $1 as input
         ), settled as (
            update validations v
            set state = i.state,
                -- After a gateway webhook that arrived during the step, the next step begins at once.
                due_at = case when v.called_back then now() else now() + i.delay_ms * interval '1 ms' end,
                lease_token = null, leased_until = null, failed_steps = 0,
                attempts = coalesce(i.number, v.attempts),
                outcome = i.outcome, failure_code = i.failure_code, failure_reason = i.failure_reason,
                pending_reason = i.pending_reason,
                gateway_id = coalesce(i.gateway_id, v.gateway_id),
                gateway_reference_id = coalesce(i.gateway_reference_id, v.gateway_reference_id),
                method = coalesce(i.method, v.method),
                sealed_result = coalesce(i.sealed_result, v.sealed_result),
                name_match_score = coalesce(i.name_match_score, v.name_match_score),
                gateway_name_match_score = coalesce(i.gateway_name_match_score, v.gateway_name_match_score),
                reused_from = coalesce(i.reused_from, v.reused_from),
                completed_at = case when i.state = 'COMPLETED' then now() end
            from input i
            where v.merchant_id = i.merchant_id and v.id = i.id
              and {fence}
            returning v.merchant_id, v.id, v.account_id, v.outcome, v.reused_from, v.trace_parent, v.attempts, v.gateway_id,
                v.gateway_reference_id, v.method, v.failure_code, v.pending_reason, v.due_at, v.completed_at,
                v.queued_gateway_account_id, i.account_status, i.event_id, i.number,
                i.attempt_state, i.class, i.code, i.gateway_reference, i.polls, i.latency_ms, i.unlisted_code,
                i.attempt_failure, i.not_understood,
                i.webhook_gateway_account_id,
                coalesce(v.state = 'COMPLETED' and v.awaited_until > now(), false) as awaited
         ), attempt as (
            update validation_attempts t
            set state = s.attempt_state, class = coalesce(s.class, t.class), code = s.code,
                gateway_reference = coalesce(s.gateway_reference, t.gateway_reference), polls = s.polls,
                latency_ms = coalesce(s.latency_ms, t.latency_ms),
                unlisted_code = t.unlisted_code or s.unlisted_code,
                failure_code = coalesce(s.attempt_failure, t.failure_code),
                not_understood = case when s.not_understood = '' then t.not_understood else {not_understood} end,
                settled_at = case when s.attempt_state = 'SETTLED' then now() end
            from settled s
            where t.merchant_id = s.merchant_id and t.validation_id = s.id and t.number = s.number
         ), reference as (
            insert into gateway_references (merchant_id, gateway_account_id, gateway_reference, validation_id, number)
            select merchant_id, webhook_gateway_account_id, gateway_reference, id, number from settled
            where webhook_gateway_account_id is not null and gateway_reference is not null
              and attempt_state <> 'SETTLED'
            on conflict do nothing
         ), account as (
            update customer_accounts a
            set {revive}status = s.account_status, updated_at = now(), version = a.version + 1,
                event_position = greatest({position}, a.event_position),
                last_validated_at = case when s.outcome in ('VALID', 'INVALID', 'REVIEW') then now()
                                         else a.last_validated_at end,
                told_validation_id = case when s.outcome in ('VALID', 'INVALID', 'REVIEW') and s.reused_from is null
                                          then s.id else a.told_validation_id end
            from settled s
            where s.account_status is not null
              and a.merchant_id = s.merchant_id and a.id = s.account_id and a.validation_id = s.id
              -- Not by deleted_at: a plan made while the table was empty would walk a partial index for it.
              and {is_live} and (a.status <> s.account_status or s.outcome is not null)
            returning a.merchant_id, s.event_id, a.event_position, a.id as account_id, a.version,
                'CUSTOMER_ACCOUNT_' || a.status, now(), s.trace_parent, {snapshot}
         ), {record}
         select merchant_id, id as validation_id, awaited,
            merchant_id in (select merchant_id from delivery) as has_deliveries
         from settled",
         not_understood = with_not_understood("string_to_array(s.not_understood, ',')"),
    ))
    .rows(columns(&settlements))
    .load(connection)?;
    let awaited = rows.iter().filter(|row| row.awaited);
    let awaited: Vec<ValidationId> = awaited.map(|row| row.key.id).collect();
    outcomes::notify(connection, &awaited)?;
    Ok(rows)
}
