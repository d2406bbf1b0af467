//! Everything that happens beside the workers' steps: the scheduler, webhooks of gateways, calls of the merchant, and faults.

use khata_domain::gateway::{NOT_RECEIVED, RESPONSE_LOST};
use khata_domain::validation::{AttemptState, MAX_FAILED_STEPS};
use khata_domain::{AccountStatus, Class, ValidationState};

use crate::scenario::{DEADLINE, Repair, Scenario};
use crate::state::{Broken, State, Step, Validation, Webhook};
use crate::time::Seconds;

/// Time after which the scheduler repeats a wake-up: `REPEAT_AFTER` in `worker/src/scheduler.rs`.
const REPEAT_AFTER: Seconds = 15;
/// Interval at which a validation that was set aside is tried again: `SET_ASIDE_RETRY` in `shared/store/src/validations/due.rs`.
const SET_ASIDE_RETRY: Seconds = 3_600;

impl Scenario {
    /// When the scheduler takes a validation; `None` if it never does.
    pub fn scheduled_at(&self, validation: &Validation) -> Option<Seconds> {
        let at = match validation.state {
            ValidationState::Completed => return None,
            ValidationState::Due if self.lacks(Repair::LostWakeupsRepeated) => return None,
            ValidationState::Due | ValidationState::Waiting => validation.due_at,
            // `v.leased_until < now()`.
            ValidationState::Leased => validation.due_at.max(validation.leased_until + 1),
        };
        (!self.lacks(Repair::Scheduler)).then_some(at)
    }

    /// The scheduler takes a due validation: `make_due` in `shared/store/src/validations/due.rs`.
    pub fn schedule(state: &mut State, index: usize) {
        let now = state.now;
        let mut held = state.workers.iter().flatten();
        let is_held = held.any(|held| held.validation == index);
        let validation = &mut state.validations[index];
        let was_leased = validation.state == ValidationState::Leased;
        let is_set_aside = was_leased && validation.failed_steps + 1 >= MAX_FAILED_STEPS;
        if was_leased {
            validation.failed_steps += 1;
            // The worker kept it longer than its lease.
            if let Some(last) = validation.attempts.last_mut() {
                last.was_abandoned |= is_held;
            }
        }
        validation.token = None;
        if is_set_aside {
            validation.state = ValidationState::Waiting;
            validation.due_at = (now + SET_ASIDE_RETRY).min(validation.deadline_at);
            return;
        }
        validation.state = ValidationState::Due;
        validation.due_at = now + REPEAT_AFTER;
        validation.publish();
    }

    /// Whether a webhook about a received call has an outcome.
    pub fn is_decided(&self, state: &State, received: usize) -> bool {
        let received = state.received[received];
        state.now >= received.at + self.gateways[received.gateway].pending_for
    }

    /// A gateway sends a webhook about a call that it has received: `found` and `receive` in
    /// `shared/store/src/gateway_webhooks.rs`.
    pub fn webhook(&self, state: &mut State, received: usize, is_hint: bool) {
        let received = state.received[received];
        let class = (!is_hint).then(|| self.gateways[received.gateway].script);
        let number = received.reference.number;
        let now = state.now;
        let validation = &mut state.validations[received.reference.validation];
        let last = validation.attempts.last();
        let is_last = last.is_some_and(|last| last.reference.number == number);
        let mut rows = validation.attempts.iter();
        let Some(row) = rows.find(|row| row.reference.number == number) else {
            return;
        };
        let given_up = row.code == Some(RESPONSE_LOST) || row.code == Some(NOT_RECEIVED);
        let is_open = row.state != AttemptState::Settled || given_up && is_last;
        let webhook = Webhook { number, class };
        if validation.is_completed() || !is_open || validation.webhooks.contains(&webhook) {
            return;
        }
        validation.webhooks.push(webhook);
        validation.called_back = true;
        if validation.state == ValidationState::Waiting {
            validation.state = ValidationState::Due;
            validation.due_at = now + REPEAT_AFTER;
            validation.publish();
        }
    }

    /// Whether *validate again* begins another validation: `check` in `shared/store/src/accounts/change.rs`.
    pub fn may_validate_again(&self, state: &State) -> bool {
        let newest = &state.validations[state.account.validation];
        state.account.status != AccountStatus::Deleted
            && (newest.is_completed() || self.again_while_open)
    }

    /// The merchant validates the account again: `begin` in `shared/store/src/accounts/change.rs`.
    pub fn validate_again(state: &mut State) {
        let again = Validation::new(state.now, DEADLINE);
        state.validations.push(again);
        let account = &mut state.account;
        account.validation = state.validations.len() - 1;
        account.version += 1;
        if matches!(
            account.status,
            AccountStatus::Active | AccountStatus::Failure
        ) {
            account.status = AccountStatus::Pending;
        }
    }

    /// The merchant deletes the account: `delete` in `shared/store/src/accounts/change.rs`.
    pub fn delete(state: &mut State) {
        let now = state.now;
        let validation = &mut state.validations[state.account.validation];
        if matches!(
            validation.state,
            ValidationState::Due | ValidationState::Waiting
        ) {
            validation.state = ValidationState::Due;
            validation.due_at = now + 5;
            validation.publish();
        }
        if !state.account.status.can_become(AccountStatus::Deleted) {
            state.breaks(Broken::StatusWentBack);
        }
        state.account.status = AccountStatus::Deleted;
        state.account.version += 1;
    }

    /// A worker is killed and starts again without its validation.
    pub fn crash(state: &mut State, worker: usize) {
        let Some(held) = state.workers[worker].take() else {
            return;
        };
        if let Step::Attempt { row, .. } = held.step
            && let Some(row) = state.row(row.reference)
        {
            row.was_abandoned = true;
        }
    }
}

/// The classes that a gateway's script may have, and the outcome that each dictates.
pub fn dictated(class: Class) -> Option<khata_domain::validation::Outcome> {
    use khata_domain::validation::Outcome;
    match class {
        Class::Valid => Some(Outcome::Valid),
        Class::Invalid => Some(Outcome::Invalid),
        Class::Review => Some(Outcome::Review),
        Class::Pending | Class::Retryable | Class::Inconclusive | Class::Misconfigured => None,
    }
}
