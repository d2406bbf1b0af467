//! The validation state machine: how the result of a call changes an attempt, a validation and an account.
//!
//! ```text
//!            claim               settle, final
//!   DUE ───────────────▶ LEASED ───────────────▶ COMPLETED
//!    ▲                     │  │
//!    │ scheduler: due,     │  │ settle, not final
//!    │ or lease expired    │  ▼
//!    └─────────────────────┴─ WAITING
//! ```

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::account::AccountType;
use crate::attempt::Attempt;
use crate::backoff::Backoff;
use crate::gateway::{
    CallFailure, GatewayResponse, LateCalls, NOT_RECEIVED, NOT_YET_RECEIVED, RESPONSE_LOST,
    Recovery, UNCLEAR_RESPONSE,
};
use crate::outcome::Class;
use crate::status::AccountStatus;
use crate::validation_state::PendingReason;

pub use crate::attempt::{AttemptState, CallKind, CallResult};
pub use crate::outcome::{FailureCode, Outcome};

/// Delay after a temporary failure.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(10));
/// Delay after every gateway was inconclusive or misconfigured: an operator may have to act.
const NO_GATEWAY_DECIDES: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_mins(30));
/// Delay before a lost response is looked up: the gateway may still be working on the call.
const RECOVER: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_mins(5));
/// Bounds within which a gateway's `Retry-After` is followed.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

/// Steps in a row without a settlement, after which a validation is set aside: it waits until its deadline, and is tried
/// again only now and then.
pub const MAX_FAILED_STEPS: i16 = 10;

/// The personal data that a validation found, stored encrypted beside its outcome.
#[derive(Default, Serialize, Deserialize)]
pub struct ValidationResult {
    /// The holder's name, as the bank has it.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name_at_bank: Option<String>,
    /// Unique transaction reference of the penny drop.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub utr: Option<String>,
    /// Type of the account, if the gateway reported it.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub account_type: Option<AccountType>,
}

impl ValidationResult {
    /// Serializes for encryption.
    pub fn to_plaintext(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses the output of [`Self::to_plaintext`]; `None` for anything else.
    pub fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        serde_json::from_slice(plaintext).ok()
    }
}

/// Delays between polls for a pending outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollSchedule(Vec<Duration>);

impl PollSchedule {
    /// Takes the delays in order; the last one repeats. `None` if there are none.
    pub fn new(delays: Vec<Duration>) -> Option<Self> {
        (!delays.is_empty()).then_some(Self(delays))
    }

    /// Returns the delay before the next poll, after `polls` polls.
    pub fn wait(&self, polls: i16) -> Duration {
        let index = usize::try_from(polls).unwrap_or(0).min(self.0.len() - 1);
        self.0[index]
    }

    /// Whether every delay has been used, after `polls` polls.
    fn is_used_up(&self, polls: i16) -> bool {
        usize::try_from(polls).unwrap_or(0) >= self.0.len()
    }
}

/// Everything that decides about the result of a call.
#[derive(Clone, Debug)]
pub struct AttemptContext<'a> {
    pub now: DateTime<Utc>,
    /// When the call began. A lookup says what the gateway knew then at the earliest, however late the decision comes.
    pub called_at: DateTime<Utc>,
    /// When the validation ends without an outcome.
    pub deadline_at: DateTime<Utc>,
    /// The attempt before the call; its polls include this call.
    pub attempt: &'a Attempt,
    /// Settled attempts of the validation before this one.
    pub setbacks: u32,
    /// The newest reason that a gateway gave, in any attempt, why the account takes no credit.
    pub reason: Option<FailureCode>,
    /// Whether another gateway account is tried next if this one cannot decide.
    pub alternative: bool,
    pub recovery: Recovery,
    pub late_calls: LateCalls,
    /// When a lost response is given up and another gateway account is tried; `None` if there is no other, or none that can take
    /// the validation now that this time has passed.
    pub recovered_until: Option<DateTime<Utc>>,
    pub polling: &'a PollSchedule,
    /// The holder has a different name, and the merchant treats that as a failure.
    pub name_mismatch: bool,
    /// Random, `0.0..1.0`.
    pub jitter: f64,
}

/// The new state of the attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    pub state: AttemptState,
    /// Required if the state is `Settled`.
    pub class: Option<Class>,
    /// The gateway's code, or ours for a call without a response.
    pub code: String,
}

/// The next state of the validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Complete {
        outcome: Outcome,
        /// `None` only for VALID and CANCELLED.
        failure: Option<FailureCode>,
    },
    Wait {
        until: DateTime<Utc>,
        /// Whether the account becomes PENDING: a gateway has accepted the call.
        pending: bool,
        reason: PendingReason,
    },
}

impl Next {
    /// Returns the end of a validation whose details are real, and about whose name a person decides: no worker takes it again,
    /// so that nothing is paid meanwhile.
    pub fn name_review() -> Self {
        Self::Complete {
            outcome: Outcome::Review,
            failure: Some(FailureCode::NameMismatch),
        }
    }

    /// Returns the new status of the account; `None` if it does not change.
    pub fn account_status(&self) -> Option<AccountStatus> {
        match self {
            Self::Complete {
                outcome: Outcome::Valid,
                ..
            } => Some(AccountStatus::Active),
            Self::Complete {
                outcome: Outcome::Cancelled,
                ..
            }
            | Self::Wait { pending: false, .. } => None,
            Self::Wait { pending: true, .. }
            | Self::Complete {
                outcome: Outcome::Review,
                failure: Some(FailureCode::NameMismatch),
            } => Some(AccountStatus::Pending),
            Self::Complete { .. } => Some(AccountStatus::Failure),
        }
    }
}

/// How the result of a call changes the attempt and the validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub attempt: AttemptEnd,
    pub next: Next,
}

/// Decides about the result of a call. A wait ends at the deadline at the latest; at or after the deadline a result that
/// is not final completes the validation as `UNAVAILABLE`.
pub fn decide(context: &AttemptContext<'_>, kind: CallKind, result: &CallResult) -> Decision {
    let (mut attempt, mut next) = match result {
        Ok(response) => after_response(context, response),
        Err(failure) => after_failure(context, kind, failure),
    };
    if let Next::Wait { until, .. } = &mut next {
        *until = context.deadline_at.min(*until);
        if context.now >= context.deadline_at {
            attempt.state = AttemptState::Settled;
            attempt.class = attempt.class.or(Some(Class::Retryable));
            let failure = result.as_ref().ok().and_then(|response| response.failure);
            next = undecided(failure.or(context.attempt.failure).or(context.reason));
        }
    }
    Decision { attempt, next }
}

/// Returns the end of a validation whose details are real.
pub fn valid(name_mismatch: bool) -> Next {
    let (outcome, failure) = if name_mismatch {
        (Outcome::Invalid, Some(FailureCode::NameMismatch))
    } else {
        (Outcome::Valid, None)
    };
    Next::Complete { outcome, failure }
}

/// Returns the end of a validation that no gateway decided in time.
pub fn unavailable() -> Next {
    undecided(None)
}

/// Returns the end of a validation that no gateway decided in time, for the reason that a gateway gave, if one did: the payee can
/// act on it.
pub fn undecided(reason: Option<FailureCode>) -> Next {
    Next::Complete {
        outcome: Outcome::Unavailable,
        failure: reason.or(Some(FailureCode::ValidationUnavailable)),
    }
}

fn after_response(context: &AttemptContext<'_>, response: &GatewayResponse) -> (AttemptEnd, Next) {
    let complete = |outcome, default| Next::Complete {
        outcome,
        failure: Some(response.failure.unwrap_or(default)),
    };
    let next = match response.class {
        Class::Valid => valid(context.name_mismatch),
        Class::Invalid => complete(Outcome::Invalid, FailureCode::InvalidAccount),
        Class::Review => complete(Outcome::Review, FailureCode::SuspectedFraud),
        Class::Pending => wait(
            context,
            context.polling.wait(context.attempt.polls),
            PendingReason::AwaitingGatewayResult,
        ),
        Class::Retryable => {
            // The gateway accepted the call and may have moved a rupee: only few such attempts are allowed.
            let accepted =
                context.attempt.method.moves_money() && response.gateway_reference.is_some();
            let backoff = if accepted && context.setbacks > 0 && !context.alternative {
                NO_GATEWAY_DECIDES
            } else {
                RETRY
            };
            let delay = backoff.wait(context.setbacks, context.jitter);
            let delay = at_least(response.retry_after, delay);
            wait(context, delay, PendingReason::Retrying)
        }
        Class::Inconclusive | Class::Misconfigured => after_undecided(context),
    };
    let attempt = AttemptEnd {
        state: match response.class {
            Class::Pending => AttemptState::Pending,
            _ => AttemptState::Settled,
        },
        class: Some(response.class),
        code: response.code.clone(),
    };
    (attempt, next)
}

fn after_failure(
    context: &AttemptContext<'_>,
    kind: CallKind,
    failure: &CallFailure,
) -> (AttemptEnd, Next) {
    let is_pending = context.attempt.state == AttemptState::Pending;
    let is_forgotten = is_pending && *failure == CallFailure::NotReceived;
    // A gateway that accepted the call and does not know it contradicts itself, once the call is not on its way any more.
    let is_unclear = failure.is_unclear() || is_forgotten && cannot_arrive(context);
    // A pending attempt is not given up while its gateway may still decide.
    let may_give_up = !is_pending || is_unclear;
    let given_up_at = context.recovered_until.filter(|_| may_give_up);
    let within_patience = |delay: Duration| {
        let until = given_up_at.map(|at| (at - context.now).to_std().unwrap_or_default());
        until.map_or(delay, |until| delay.min(until))
    };
    let polls = u32::try_from(context.attempt.polls).unwrap_or(0);
    let mut recover = RECOVER.wait(polls, context.jitter);
    let can_recover = context.attempt.method.moves_money() && context.recovery != Recovery::None;
    if is_unclear && context.attempt.is_unclear() && (kind == CallKind::Lookup || can_recover) {
        // The gateway does not change its answer within seconds.
        recover = recover.max(context.polling.wait(context.attempt.polls));
        if given_up_at.is_none() && context.polling.is_used_up(context.attempt.polls) {
            return unclear_to_the_end(context);
        }
    }
    let recover = within_patience(recover);
    // The gateway has accepted a forgotten call, and may have moved a rupee.
    let mut code = if is_forgotten {
        RESPONSE_LOST
    } else {
        failure.code()
    };
    let (state, class, delay, reason) = match (kind, failure) {
        (CallKind::Lookup, CallFailure::NotReceived) if !is_pending => {
            let (state, class, found, wait) = not_received(context);
            code = found;
            let reason = match state {
                AttemptState::Settled => PendingReason::Retrying,
                _ => PendingReason::CheckingPreviousAttempt,
            };
            (state, class, recover.min(wait), reason)
        }
        // The lookup failed, not the attempt: an unfinished attempt stays unfinished.
        (CallKind::Lookup, _) => {
            let (state, reason) = if is_pending {
                (AttemptState::Pending, PendingReason::AwaitingGatewayResult)
            } else {
                (
                    AttemptState::Unknown,
                    PendingReason::CheckingPreviousAttempt,
                )
            };
            let delay = within_patience(at_least(failure.retry_after(), recover));
            (state, None, delay, reason)
        }
        (CallKind::Verify, CallFailure::ResponseLost(_)) if can_recover => (
            AttemptState::Unknown,
            None,
            recover,
            PendingReason::CheckingPreviousAttempt,
        ),
        // A new attempt: nothing was sent, or a second call costs nothing, or nothing can be found out.
        (CallKind::Verify, _) => {
            let retry = RETRY.wait(context.setbacks, context.jitter);
            let reason = match failure {
                CallFailure::Rejected { .. } => PendingReason::RateLimited,
                CallFailure::NotSent(_)
                | CallFailure::ResponseLost(_)
                | CallFailure::NotReceived => PendingReason::Retrying,
            };
            let delay = at_least(failure.retry_after(), retry);
            (AttemptState::Settled, Some(Class::Retryable), delay, reason)
        }
    };
    if is_unclear && state != AttemptState::Settled {
        code = UNCLEAR_RESPONSE;
    }
    let attempt = AttemptEnd {
        state,
        class,
        code: code.to_owned(),
    };
    (attempt, wait(context, delay, reason))
}

/// Returns the end of an attempt whose gateway says nothing clear, however often it is asked: inconclusive, and a rupee may have
/// moved.
fn unclear_to_the_end(context: &AttemptContext<'_>) -> (AttemptEnd, Next) {
    let attempt = AttemptEnd {
        state: AttemptState::Settled,
        class: Some(Class::Inconclusive),
        code: RESPONSE_LOST.to_owned(),
    };
    (attempt, after_undecided(context))
}

/// Returns the wait after a gateway could not decide.
fn after_undecided(context: &AttemptContext<'_>) -> Next {
    let (delay, reason) = if context.alternative {
        (Duration::ZERO, PendingReason::Retrying)
    } else {
        let delay = NO_GATEWAY_DECIDES.wait(context.setbacks, context.jitter);
        (delay, PendingReason::NoGatewayAvailable)
    };
    wait(context, delay, reason)
}

/// Returns the longer of our own delay and the gateway's `Retry-After`, within bounds.
fn at_least(retry_after: Option<Duration>, own: Duration) -> Duration {
    retry_after.map_or(own, |theirs| {
        theirs.clamp(RETRY_AFTER.0, RETRY_AFTER.1).max(own)
    })
}

/// Returns the time from the last call that may move money to the lookup.
fn since_sent(context: &AttemptContext<'_>) -> Duration {
    let since_sent = (context.called_at - context.attempt.sent_at).to_std();
    since_sent.unwrap_or_default()
}

/// Whether a call that a lookup does not find will never arrive, or would move nothing.
fn cannot_arrive(context: &AttemptContext<'_>) -> bool {
    !context.attempt.method.moves_money() || since_sent(context) >= context.late_calls.settles_after
}

/// Returns what a lookup that does not find the call makes of the attempt: its state, class and code, and the longest wait before
/// the next step.
fn not_received(
    context: &AttemptContext<'_>,
) -> (AttemptState, Option<Class>, &'static str, Duration) {
    let (late, since_sent) = (context.late_calls, since_sent(context));
    if cannot_arrive(context) {
        // A call that has not arrived by now never will: it can be made again, without a second rupee.
        (AttemptState::Unknown, None, NOT_RECEIVED, Duration::ZERO)
    } else if late.refuses_repeats {
        let code = NOT_YET_RECEIVED;
        (AttemptState::Unknown, None, code, Duration::ZERO)
    } else if late.given_up_after.is_some_and(|time| since_sent >= time) {
        let class = Some(Class::Retryable);
        (AttemptState::Settled, class, RESPONSE_LOST, Duration::ZERO)
    } else {
        let time = late.given_up_after.unwrap_or(late.settles_after);
        let wait = time.saturating_sub(since_sent);
        (AttemptState::Unknown, None, RESPONSE_LOST, wait)
    }
}

/// The account is PENDING exactly while its gateway has accepted the call.
fn wait(context: &AttemptContext<'_>, delay: Duration, reason: PendingReason) -> Next {
    let delay = TimeDelta::from_std(delay).unwrap_or(TimeDelta::days(1));
    Next::Wait {
        until: context.now + delay,
        pending: reason == PendingReason::AwaitingGatewayResult,
        reason,
    }
}

#[cfg(test)]
mod tests;
