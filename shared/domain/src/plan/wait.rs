//! Validations for which no call can be made now.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::budgets::RateBudgets;
use super::input::{GatewayProfile, PlanInput};
use super::output::Plan;
use crate::attempt::AttemptState;
use crate::traffic::{PostponeReason, Postponed, QueuePlace, QueueRank, Slot};
use crate::validation::Next;
use crate::validation_state::PendingReason;

/// Delay before the worker checks again whether a gateway account is available: an operator may be adding one.
const NO_GATEWAY_RETRY: TimeDelta = TimeDelta::seconds(30);
/// Period over which validations that wait for one gateway are spread, so that they do not all reach it at once.
const SPREAD: Duration = Duration::from_secs(10);

/// How far ahead a call is booked. Beyond, a validation waits by its rank: a caller waits no longer than for the booked calls,
/// and few calls are lost if no worker makes them in time.
const BOOKED_AHEAD: TimeDelta = TimeDelta::seconds(2);

/// Delay after which a validation in the queue of a gateway account is planned again, in case another account can take it.
const REPLAN: TimeDelta = TimeDelta::hours(1);

/// Plans for a validation that has no gateway account until an operator changes something.
pub(super) fn no_gateway(input: &PlanInput<'_>, why: String) -> Plan {
    if input.is_over() {
        return Plan::settle(input.unavailable(), why);
    }
    let at = input.now + NO_GATEWAY_RETRY;
    Plan::settle(until(input, at, PendingReason::NoGatewayAvailable), why)
}

/// Plans for a gateway account that cannot take the call now. If its quota is used up, the validation enters the account's
/// queue; the next call of an unfinished attempt is booked instead if the calls per minute allow it in a moment. A validation in
/// the queue keeps its place while the account is down or paused. `open` is the reason to report for an unfinished attempt: its
/// wait ends when the attempt is given up.
pub(super) fn postpone(
    input: &PlanInput<'_>,
    gateway: &GatewayProfile<'_>,
    postponed: Postponed,
    open: Option<PendingReason>,
    budgets: &mut RateBudgets,
    why: String,
) -> Plan {
    if input.is_over() {
        return Plan::settle(input.unavailable(), why);
    }
    let is_soon = postponed.at - input.now <= BOOKED_AHEAD;
    let booked = match postponed.why {
        PostponeReason::Rate if open.is_some() && is_soon => {
            budgets.book(gateway.key, gateway.traffic, input.now)
        }
        PostponeReason::Rate
        | PostponeReason::Busy
        | PostponeReason::Down
        | PostponeReason::Paused
        | PostponeReason::Hours => None,
    };
    let has_queue = match postponed.why {
        PostponeReason::Rate | PostponeReason::Busy => true,
        PostponeReason::Down | PostponeReason::Paused => {
            input.validation.queued_at == Some(gateway.key.account)
        }
        PostponeReason::Hours => false,
    };
    let queue = (has_queue && booked.is_none()).then_some(QueuePlace {
        gateway_account: gateway.key.account,
        rank: match open {
            _ if input.validation.awaited => QueueRank::Awaited,
            Some(_) => QueueRank::Unfinished,
            None => QueueRank::New,
        },
    });
    let at = match (booked, queue) {
        (Some(booked), _) => booked,
        (None, Some(_)) => input.now + REPLAN,
        (None, None) => postponed.at + SPREAD.mul_f64(input.jitter),
    };
    let given_up_at = open.and_then(|_| given_up_at(input, gateway));
    let at = given_up_at.map_or(at, |given_up_at| at.min(given_up_at));
    let reason = open.unwrap_or(match postponed.why {
        PostponeReason::Down => PendingReason::GatewayUnavailable,
        PostponeReason::Hours => PendingReason::OutsideGatewayHours,
        PostponeReason::Paused | PostponeReason::Rate | PostponeReason::Busy => {
            PendingReason::RateLimited
        }
    });
    Plan::Settle {
        next: until(input, at, reason),
        slot: booked.map(|at| Slot {
            gateway_account: gateway.key.account,
            at,
        }),
        queue,
        why,
        postponed: Some((gateway.key.account, postponed.why)),
    }
}

/// Returns when the unfinished attempt is given up and another gateway account is called, if there is one.
fn given_up_at(input: &PlanInput<'_>, gateway: &GatewayProfile<'_>) -> Option<DateTime<Utc>> {
    let open = input.attempts.last()?;
    let is_recovered = open.state != AttemptState::Pending && input.has_other(gateway.key.account);
    let given_up_at = is_recovered.then(|| input.recovered_until(open, gateway));
    given_up_at.filter(|at| *at > input.now)
}

/// Waits until then, at most until the deadline.
fn until(input: &PlanInput<'_>, at: DateTime<Utc>, reason: PendingReason) -> Next {
    Next::Wait {
        until: at.min(input.validation.deadline_at).max(input.now),
        pending: reason == PendingReason::AwaitingGatewayResult,
        reason,
    }
}
