//! The settlement: the product's attempt driver decides about the result, and one transaction stores it if the lease holds.

use khata_domain::attempt::{Attempt, CallKind, CallResult};
use khata_domain::gateway::RESPONSE_LOST;
use khata_domain::validation::{AttemptContext, AttemptEnd, AttemptState, Next, Outcome, decide};
use khata_domain::{AccountStatus, CallFailure, Class, PendingReason, ValidationState};

use crate::claim::has_unread_outcome;
use crate::scenario::{Repair, Scenario};
use crate::state::{Act, Broken, Held, Phase, ResponseKind, State, Step};
use crate::time::{Seconds, seconds, time};

/// The values that a settlement writes.
struct Settlement {
    attempt: Option<(Attempt, AttemptEnd)>,
    next: Next,
}

impl Scenario {
    /// The worker's step ends. The worker is idle afterwards.
    pub fn settle(&self, state: &mut State, worker: usize) {
        let Some(held) = state.workers[worker].take() else {
            return;
        };
        let Some(settlement) = self.settlement(state, &held) else {
            return;
        };
        self.store(state, &held, settlement);
    }

    /// Returns what the worker settles; `None` if it settles nothing.
    fn settlement(&self, state: &State, held: &Held) -> Option<Settlement> {
        let now = state.now;
        let (row, act) = match held.step {
            Step::Complete(outcome, failure) => {
                return Some(Settlement {
                    attempt: None,
                    next: Next::Complete { outcome, failure },
                });
            }
            Step::Attempt { row, act, .. } => (row, act),
        };
        let (response, is_sent) = match (held.phase, act) {
            (Phase::Called { response, .. }, _) => (response, true),
            (_, Act::UseWebhook(class)) => (ResponseKind::Class(class), true),
            // The lease leaves no time for the call.
            (_, Act::Verify) if self.lacks(Repair::UnsentIsNotLost) => return None,
            (_, Act::Verify) => (ResponseKind::NotSent, false),
            (_, Act::VerifyAgain | Act::Poll) => {
                let pending = row.state == AttemptState::Pending;
                return Some(Settlement {
                    attempt: None,
                    next: without_time(pending, now),
                });
            }
        };
        let response = if response == ResponseKind::Lost && self.lacks(Repair::LostIsNotUnsent) {
            ResponseKind::NotSent
        } else {
            response
        };
        let deadline = state.validations[held.validation].deadline_at;
        self.advance(held, (response, is_sent), now, deadline)
    }

    /// `OpenAttempt::advance` and `OpenAttempt::record` in `gateways/src/attempt.rs`: the product's [`decide`] about the response to a
    /// call, or about a call that was not sent.
    fn advance(
        &self,
        held: &Held,
        (response, is_sent): (ResponseKind, bool),
        now: Seconds,
        deadline: Seconds,
    ) -> Option<Settlement> {
        let Step::Attempt {
            row,
            act,
            setbacks,
            alternative,
            recovered_until,
        } = held.step
        else {
            return None;
        };
        let mut attempt = row.attempt();
        if is_sent && matches!(act, Act::VerifyAgain | Act::Poll) {
            attempt.polls = attempt.polls.saturating_add(1);
        }
        let kind = match act {
            Act::Verify | Act::VerifyAgain => CallKind::Verify,
            Act::Poll | Act::UseWebhook(_) => CallKind::Lookup,
        };
        let result = result(act, response);
        let gateway = &self.gateways[row.gateway];
        let called_at = match held.phase {
            Phase::Called { called_at, .. } if !self.lacks(Repair::LookupTime) => called_at,
            _ => now,
        };
        let context = AttemptContext {
            now: time(now),
            called_at: time(called_at),
            deadline_at: time(deadline),
            attempt: &attempt,
            setbacks,
            reason: None,
            alternative,
            recovery: gateway.recovery(),
            late_calls: gateway.late_calls(self.without),
            recovered_until: recovered_until.map(time),
            polling: &gateway.polling,
            name_mismatch: false,
            jitter: 0.5,
        };
        let decision = decide(&context, kind, &result);
        attempt.state = decision.attempt.state;
        attempt.code = Some(decision.attempt.code.clone());
        if let Ok(response) = &result
            && response.gateway_reference.is_some()
        {
            attempt
                .gateway_reference
                .clone_from(&response.gateway_reference);
        }
        Some(Settlement {
            attempt: Some((attempt, decision.attempt)),
            next: decision.next,
        })
    }

    /// `settle` in `shared/store/src/validations/settle.rs`.
    fn store(&self, state: &mut State, held: &Held, mut settlement: Settlement) {
        let now = state.now;
        let index = held.validation;
        self.after_webhooks(state, index, &mut settlement);
        let validation = &mut state.validations[index];
        // `v.state = 'LEASED' and v.lease_token = i.lease_token`.
        let is_its = validation.token == Some(held.token) || self.lacks(Repair::LeaseToken);
        if validation.state != ValidationState::Leased || !is_its {
            return;
        }
        let was = validation.outcome;
        validation.token = None;
        validation.failed_steps = 0;
        match &settlement.next {
            Next::Complete { outcome, failure } => {
                validation.state = ValidationState::Completed;
                validation.outcome = Some((*outcome, *failure));
                validation.has_waited = false;
            }
            Next::Wait { until, .. } => {
                validation.state = ValidationState::Waiting;
                validation.outcome = None;
                validation.has_waited = true;
                validation.due_at = if validation.called_back {
                    now
                } else {
                    seconds(*until).max(now)
                };
            }
        }
        let is_changed = was.is_some() && was != validation.outcome;
        if let Some((attempt, end)) = &settlement.attempt {
            self.store_attempt(state, held, attempt, end);
        }
        if is_changed {
            state.breaks(Broken::OutcomeChanged);
        }
        let ended = matches!(&settlement.next, Next::Complete { outcome, .. } if *outcome == Outcome::Unavailable);
        if ended && has_unread_outcome(state, index) {
            state.breaks(Broken::OutcomeIgnored);
        }
        self.follow(state, index, &settlement.next);
    }

    /// `attempt`, the second part of the statement.
    fn store_attempt(&self, state: &mut State, held: &Held, attempt: &Attempt, end: &AttemptEnd) {
        let Step::Attempt { row, .. } = held.step else {
            return;
        };
        if self.lacks(Repair::AttemptRowFirst) && state.row(row.reference).is_none() {
            state.validations[held.validation].attempts.push(row);
        }
        let Some(stored) = state.row(row.reference) else {
            return;
        };
        stored.store(attempt);
        stored.state = end.state;
        stored.class = end.class.or(stored.class);
        let is_lost = stored.state == AttemptState::Settled && stored.code == Some(RESPONSE_LOST);
        if is_lost && !stored.was_sent && !stored.was_abandoned {
            state.breaks(Broken::UnsentCountsAsLost);
        }
    }

    /// `after_webhooks`: an end without an outcome becomes another step if a webhook arrived during this one.
    fn after_webhooks(&self, state: &State, index: usize, settlement: &mut Settlement) {
        let validation = &state.validations[index];
        let is_unavailable = matches!(&settlement.next, Next::Complete { outcome, .. } if *outcome == Outcome::Unavailable);
        let called_back = validation.called_back && validation.state == ValidationState::Leased;
        if !is_unavailable || !called_back || self.lacks(Repair::WebhookBeforeEnd) {
            return;
        }
        let is_pending = settlement.attempt.as_mut().is_some_and(|(attempt, end)| {
            let is_pending = end.class == Some(Class::Pending);
            if is_pending {
                end.state = AttemptState::Pending;
                attempt.state = AttemptState::Pending;
            }
            is_pending
        });
        settlement.next = without_time(is_pending, state.now);
    }

    /// `account`, the third part of the statement: the account follows its newest validation, and never leaves DELETED.
    fn follow(&self, state: &mut State, index: usize, next: &Next) {
        let Some(status) = next.account_status() else {
            return;
        };
        let is_newest = state.account.validation == index || self.lacks(Repair::NewestOnly);
        let account = state.account;
        let is_deleted =
            account.status == AccountStatus::Deleted && !self.lacks(Repair::DeletedStays);
        let has_outcome = matches!(next, Next::Complete { .. });
        if !is_newest || is_deleted || (account.status == status && !has_outcome) {
            return;
        }
        if account.status != status && !account.status.can_become(status) {
            state.breaks(Broken::StatusWentBack);
        }
        state.account.status = status;
        state.account.version += 1;
    }
}

/// Returns another step as soon as possible.
fn without_time(pending: bool, now: Seconds) -> Next {
    use PendingReason::{AwaitingGatewayResult, CheckingPreviousAttempt};
    Next::Wait {
        // `NEXT_LEASE`, or the time of a webhook, which `called_back` makes now.
        until: time(now + 1),
        pending,
        reason: if pending {
            AwaitingGatewayResult
        } else {
            CheckingPreviousAttempt
        },
    }
}

/// `Connector::verify_again` in `gateways/src/connector.rs`: a rejection of a repeated call says nothing about the first one.
fn result(act: Act, response: ResponseKind) -> CallResult {
    match (act, response) {
        (Act::VerifyAgain, ResponseKind::NotSent | ResponseKind::Rejected) => {
            Err(CallFailure::ResponseLost("rejected".into()))
        }
        (Act::Poll, ResponseKind::Rejected) => Err(CallFailure::Rejected { retry_after: None }),
        _ => response.result(),
    }
}
