//! The claim: one transaction that leases a due validation, plans its next step with the product's [`plan`], and stores what the step
//! needs before its call. Comments name the product's statements.

use std::time::Duration;

use khata_domain::attempt::{Attempt, AttemptState};
use khata_domain::gateway::{GatewayKey, NOT_RECEIVED, RESPONSE_LOST};
use khata_domain::plan::{
    Bounds, ClaimedValidation, GatewayProfile, Plan, PlanInput, Planned, RateBudgets,
    WebhookReceived, plan,
};
use khata_domain::routing::Pin;
use khata_domain::score::Score;
use khata_domain::traffic::UNLIMITED;
use khata_domain::validation::{FailureCode, Next, Outcome};
use khata_domain::{
    AccountKind, AccountStatus, Class, Gateway, MerchantId, Method, PendingReason, ValidationState,
};
use uuid::Uuid;

use crate::scenario::{LEASE, Repair, SETTLE_RESERVE, Scenario, ScriptedGateway};
use crate::state::{
    Act, AttemptRow, Broken, Held, Phase, State, Step, Webhook, gateway_id, response, validation_id,
};
use crate::time::{seconds, time};

/// The merchant's settings, as they are by default.
const BOUNDS: Bounds = Bounds {
    recovery_patience: Duration::from_mins(2),
    paid_attempts: 3,
};

impl Scenario {
    /// An idle worker takes a wake-up. The message is acknowledged when the claim is committed, or finds nothing to do.
    pub fn claim(&self, state: &mut State, worker: usize, index: usize) {
        state.validations[index].wakeups -= 1;
        // `lock_due`: only a validation that is DUE.
        let is_due = match state.validations[index].state {
            ValidationState::Due => true,
            ValidationState::Leased | ValidationState::Waiting => self.lacks(Repair::DueOnly),
            ValidationState::Completed => false,
        };
        if !is_due {
            return;
        }
        let planned = self.planned(state, index);
        self.store_attempts(state, index, &planned);
        let now = state.now;
        let step = match planned.plan {
            Plan::Settle {
                next: Next::Wait { until, .. },
                ..
            } => {
                // `postpone`.
                let validation = &mut state.validations[index];
                validation.state = ValidationState::Waiting;
                validation.due_at = seconds(until).max(now);
                validation.has_waited = true;
                validation.called_back = false;
                return;
            }
            Plan::Settle {
                next: Next::Complete { outcome, failure },
                ..
            } => Step::Complete(outcome, failure),
            Plan::Attempt {
                attempt,
                action,
                setbacks,
                alternative,
                recovered_until,
                ..
            } => Step::Attempt {
                row: Self::row_of(state, index, &attempt),
                act: Act::of(&action),
                setbacks,
                alternative,
                recovered_until: recovered_until.map(seconds),
            },
            Plan::Reuse => unreachable!("there is no earlier result"),
        };
        // `lease`.
        let token = state.free_token(index);
        let validation = &mut state.validations[index];
        validation.state = ValidationState::Leased;
        validation.token = Some(token);
        validation.leased_until = now + LEASE;
        validation.due_at = validation.due_at.min(now + LEASE);
        validation.called_back = false;
        state.workers[worker] = Some(Held {
            validation: index,
            token,
            lease_ends: now + LEASE - SETTLE_RESERVE,
            step,
            phase: Phase::Claimed,
            is_paused: false,
        });
    }

    /// The stored row of the planned attempt, or the one that would be stored.
    fn row_of(state: &State, index: usize, attempt: &Attempt) -> AttemptRow {
        let rows = &state.validations[index].attempts;
        let stored = rows
            .iter()
            .find(|row| row.reference.number == attempt.number);
        let mut row = stored
            .copied()
            .or_else(|| AttemptRow::new(attempt, false))
            .unwrap_or_else(|| unreachable!("the product's reference is well formed"));
        row.store(attempt);
        row
    }

    fn planned(&self, state: &mut State, index: usize) -> Planned {
        let attempts: Vec<Attempt> = self.attempts(state, index);
        let webhooks = self.webhooks(state, index);
        let profiles: Vec<_> = self.profiles(state);
        let validation = &state.validations[index];
        let input = PlanInput {
            validation: ClaimedValidation {
                id: validation_id(index),
                account_is_deleted: state.account.status == AccountStatus::Deleted,
                deadline_at: time(validation.deadline_at),
                failed_steps: validation.failed_steps,
                pin: Pin::default(),
                awaited: false,
                slot: None,
                queued_at: None,
            },
            bounds: BOUNDS,
            kind: Some(AccountKind::Bank),
            attempts: &attempts,
            webhooks: &webhooks,
            budget_renewed_at: None,
            has_reusable_result: false,
            gateways: &profiles,
            now: time(state.now),
            jitter: 0.5,
        };
        let mut planned = plan(&input, &mut RateBudgets::default());
        if self.lacks(Repair::ExhaustedEnds) {
            wait_for_deadline(&mut planned.plan, &input);
        }
        let has_outcome = has_unread_outcome(state, index);
        if has_outcome && planned.new_attempt.is_some() {
            state.breaks(Broken::OutcomeIgnored);
        }
        planned
    }

    /// `attempts`.
    fn attempts(&self, state: &State, index: usize) -> Vec<Attempt> {
        let rows = state.validations[index].attempts.iter();
        let mut attempts: Vec<_> = rows.map(AttemptRow::attempt).collect();
        if self.lacks(Repair::Recovery) {
            let is_open = |attempt: &&mut Attempt| attempt.state != AttemptState::Settled;
            for open in attempts.iter_mut().filter(is_open) {
                open.state = AttemptState::Settled;
                open.class = Some(Class::Retryable);
                open.code = None;
            }
        }
        attempts
    }

    /// `gateway_webhooks::stored`, by `worker/src/related.rs`.
    fn webhooks(&self, state: &State, index: usize) -> Vec<WebhookReceived> {
        let validation = &state.validations[index];
        if self.lacks(Repair::WebhooksReadAgain) && !validation.called_back {
            return Vec::new();
        }
        let webhooks = validation.webhooks.iter();
        let read = |webhook: &Webhook| WebhookReceived {
            number: webhook.number,
            response: webhook.class.map(response),
        };
        webhooks.map(read).collect()
    }

    /// The gateway accounts of the merchant, in the order of their priority.
    fn profiles(&self, state: &State) -> Vec<GatewayProfile<'static>> {
        let profile = |(priority, gateway): (usize, &ScriptedGateway)| GatewayProfile {
            key: GatewayKey {
                merchant: MerchantId(Uuid::from_u128(7)),
                account: gateway_id(priority),
            },
            gateway: Gateway::Cashfree,
            reference_id: "main",
            priority: i16::try_from(priority).unwrap_or(i16::MAX),
            pinned_only: false,
            enabled: priority > 0 || !state.is_first_gateway_disabled,
            eligibility: Ok(Method::PennyDrop),
            recovery: gateway.recovery(),
            late_calls: gateway.late_calls(self.without),
            traffic: &UNLIMITED,
            score: Score::new(time(0)),
        };
        self.gateways.iter().enumerate().map(profile).collect()
    }

    /// `give_up_attempts` and `start_attempts`, in the transaction of the claim.
    fn store_attempts(&self, state: &mut State, index: usize, planned: &Planned) {
        let mut unjustly_lost = false;
        let rows = &mut state.validations[index].attempts;
        let given_up = planned.given_up.and_then(|number| {
            rows.iter_mut()
                .find(|row| row.reference.number == number && row.state != AttemptState::Settled)
        });
        if let Some(row) = given_up {
            row.state = AttemptState::Settled;
            row.class = Some(Class::Retryable);
            if row.code != Some(NOT_RECEIVED) {
                row.code = Some(RESPONSE_LOST);
                unjustly_lost = !row.was_sent && !row.was_abandoned;
            }
        }
        if unjustly_lost {
            state.breaks(Broken::UnsentCountsAsLost);
        }
        let Plan::Attempt { attempt, .. } = &planned.plan else {
            return;
        };
        let rows = &mut state.validations[index].attempts;
        let is_it = |row: &&mut AttemptRow| row.reference.number == attempt.number;
        if let Some(new) = &planned.new_attempt {
            if !self.lacks(Repair::AttemptRowFirst) {
                rows.extend(AttemptRow::new(attempt, new.possible_double_drop));
            }
        } else if planned.sent_again.is_some()
            && let Some(row) = rows.iter_mut().find(is_it)
        {
            row.store(attempt);
        }
    }
}

/// Whether the newest attempt has a stored outcome that is not used yet.
pub fn has_unread_outcome(state: &State, index: usize) -> bool {
    let validation = &state.validations[index];
    let Some(last) = validation.attempts.last() else {
        return false;
    };
    let is_final = |class: Option<Class>| class.is_some_and(Class::is_final);
    let mut webhooks = validation.webhooks.iter();
    !is_final(last.class)
        && webhooks
            .any(|webhook| webhook.number == last.reference.number && is_final(webhook.class))
}

/// Replaces an end after the last permitted attempt by a wait, as it was before the repair.
fn wait_for_deadline(plan: &mut Plan, input: &PlanInput<'_>) {
    if let Plan::Settle { next, .. } = plan
        && let Next::Complete {
            outcome: Outcome::Unavailable,
            failure: Some(FailureCode::AttemptsExhausted),
        } = next
    {
        let until = input.now + chrono::TimeDelta::seconds(30);
        *next = Next::Wait {
            until: until.min(input.validation.deadline_at),
            pending: false,
            reason: PendingReason::NoGatewayAvailable,
        };
    }
}
