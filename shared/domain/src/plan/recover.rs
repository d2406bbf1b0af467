//! Unfinished attempts: a worker was stopped, a response was lost, or the gateway reports later.

use chrono::TimeDelta;

use super::budgets::RateBudgets;
use super::choose::{self, Routes};
use super::input::{GatewayProfile, PlanInput};
use super::output::{Plan, Planned};
use super::wait;
use crate::account::AccountKind;
use crate::attempt::{Attempt, AttemptState, NextAction};
use crate::outcome::Class;
use crate::routing::Ineligible;
use crate::validation_state::PendingReason;

/// Plans the next call for the unfinished attempt, or a new attempt if the gateway offers no way to find out its result.
pub(super) fn unfinished(
    input: &PlanInput<'_>,
    kind: AccountKind,
    open: &Attempt,
    budgets: &mut RateBudgets,
) -> Planned {
    let why = match input.gateway(open.gateway_account) {
        None => "the gateway account of the unfinished attempt is gone",
        Some(gateway) if gateway.eligibility == Err(Ineligible::NoConnector) => {
            "the gateway account of the unfinished attempt has no working connector"
        }
        Some(gateway) => return at_gateway(input, kind, open, gateway, budgets),
    };
    wait::no_gateway(input, why.to_owned()).into()
}

fn at_gateway(
    input: &PlanInput<'_>,
    kind: AccountKind,
    open: &Attempt,
    gateway: &GatewayProfile<'_>,
    budgets: &mut RateBudgets,
) -> Planned {
    let routes = Routes::new(input, kind, None);
    let Some(mut action) = next_action(input, open, gateway, &routes) else {
        return choose::new_attempt(input, kind, Some(open.number), budgets);
    };
    let now = input.now;
    if action.calls() > 0 {
        let slot = input.slot_at(open.gateway_account);
        let budget = budgets.of(gateway.key, now);
        let check = |calls| budget.check(gateway.traffic, calls, slot, now);
        // A recovery needs room for a second call, which a low quota never has. Then the worker looks the response up
        // without sending the call again, so that the quota holds.
        let postponed = match check(action.calls()) {
            Err(_) if action == NextAction::Recover => {
                action = NextAction::Poll;
                check(1).err()
            }
            result => result.err(),
        };
        if let Some(postponed) = postponed {
            let reason = match open.state {
                AttemptState::Pending => PendingReason::AwaitingGatewayResult,
                _ => PendingReason::CheckingPreviousAttempt,
            };
            let why = "the next call of the attempt is postponed".to_owned();
            return wait::postpone(input, gateway, postponed, Some(reason), budgets, why).into();
        }
        budgets.take(gateway.key, gateway.traffic, action.calls(), slot, now);
    }
    Plan::Attempt {
        setbacks: routes.setbacks(),
        alternative: routes.has_alternative(open.gateway_account, budgets),
        attempt: open.clone(),
        action,
    }
    .into()
}

/// Returns how to continue; `None`: give the attempt up.
fn next_action(
    input: &PlanInput<'_>,
    open: &Attempt,
    gateway: &GatewayProfile<'_>,
    routes: &Routes<'_>,
) -> Option<NextAction> {
    let of_attempt = |number| number == open.number;
    let webhooks = input
        .webhooks
        .iter()
        .filter(|webhook| of_attempt(webhook.number));
    let has_webhook = webhooks.clone().next().is_some();
    let response = webhooks
        .filter_map(|webhook| webhook.response.as_ref())
        // A final outcome is not replaced by a later webhook that is not final.
        .max_by_key(|response| response.class != Class::Pending);
    if let Some(response) = response {
        return Some(NextAction::UseWebhook(Box::new(response.clone())));
    }
    // A webhook proves that the gateway knows the attempt.
    if has_webhook && open.gateway_reference.is_some() {
        return Some(NextAction::Poll);
    }
    let action = NextAction::resume(open.state, gateway.recovery)?;
    let recover_for = TimeDelta::from_std(gateway.traffic.recover_for).unwrap_or(TimeDelta::MAX);
    let is_too_late = input.now - open.started_at > recover_for;
    let gives_up = open.state != AttemptState::Pending
        && is_too_late
        && routes.has_other(open.gateway_account);
    (!gives_up).then_some(action)
}
