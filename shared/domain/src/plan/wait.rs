//! Validations for which no call can be made now.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::budgets::RateBudgets;
use super::input::{GatewayProfile, PlanInput};
use super::output::Plan;
use crate::traffic::{PostponeReason, Postponed, Slot};
use crate::validation::{Next, unavailable};
use crate::validation_state::PendingReason;

/// Delay before the worker checks again whether a gateway account is available: an operator may be adding one.
const NO_GATEWAY_RETRY: TimeDelta = TimeDelta::seconds(30);
/// Period over which validations that wait for one gateway are spread, so that they do not all reach it at once.
const SPREAD: Duration = Duration::from_secs(10);

/// Plans for a validation that has no gateway account until an operator changes something.
pub(super) fn no_gateway(input: &PlanInput<'_>, why: String) -> Plan {
    if input.is_over() {
        return Plan::settle(unavailable(), why);
    }
    let at = input.now + NO_GATEWAY_RETRY;
    Plan::settle(until(input, at, PendingReason::NoGatewayAvailable), why)
}

/// Plans for a gateway account that cannot take the call now. If its calls per minute are used up, a later one is booked.
/// `open` is the reason to report for an unfinished attempt.
pub(super) fn postpone(
    input: &PlanInput<'_>,
    gateway: &GatewayProfile<'_>,
    postponed: Postponed,
    open: Option<PendingReason>,
    budgets: &mut RateBudgets,
    why: String,
) -> Plan {
    if input.is_over() {
        return Plan::settle(unavailable(), why);
    }
    let booked = match postponed.why {
        PostponeReason::Rate => budgets.book(gateway.key, gateway.traffic, input.now),
        PostponeReason::Busy => {
            budgets.reject(gateway.key);
            None
        }
        PostponeReason::Down | PostponeReason::Paused | PostponeReason::Hours => None,
    };
    let at = match (booked, postponed.why) {
        (Some(booked), _) => booked,
        (None, PostponeReason::Busy) => postponed.at + (postponed.at - input.now) / 4,
        (None, _) => postponed.at + SPREAD.mul_f64(input.jitter),
    };
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
        why,
        postponed: Some((gateway.key.account, postponed.why)),
    }
}

/// Waits until then, at most until the deadline.
fn until(input: &PlanInput<'_>, at: DateTime<Utc>, reason: PendingReason) -> Next {
    Next::Wait {
        until: at.min(input.validation.deadline_at).max(input.now),
        pending: reason == PendingReason::AwaitingGatewayResult,
        reason,
    }
}
