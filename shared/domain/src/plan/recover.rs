//! Unfinished attempts: a worker was stopped, a response was lost, or the gateway reports later.

use super::budgets::RateBudgets;
use super::choose::{self, Routes};
use super::input::{GatewayProfile, PlanInput};
use super::output::Planned;
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
    let give_up =
        |budgets: &mut RateBudgets| choose::new_attempt(input, kind, Some(open.number), budgets);
    let routes = Routes::new(input, kind, None);
    let Some(action) = next_action(input, open, gateway, &routes) else {
        return give_up(budgets);
    };
    if open.is_not_received() && input.is_over() {
        return give_up(budgets);
    }
    let makes_call_again = matches!(action, NextAction::Verify | NextAction::VerifyAgain);
    if makes_call_again && !gateway.enabled {
        if open.is_not_received() || !open.method.moves_money() {
            return give_up(budgets);
        }
        let why = "the gateway account of the unfinished attempt is disabled".to_owned();
        return wait::no_gateway(input, why).into();
    }
    let now = input.now;
    if action.is_call() {
        let slot = input.slot_at(open.gateway_account);
        let budget = input.budget(budgets, gateway.key);
        if let Err(postponed) = budget.check(gateway.traffic, 1, slot, now) {
            if open.is_not_received() {
                // Nothing was moved: whichever gateway account is available first makes the attempt.
                return give_up(budgets);
            }
            let reason = match open.state {
                AttemptState::Pending => PendingReason::AwaitingGatewayResult,
                _ => PendingReason::CheckingPreviousAttempt,
            };
            let why = "the next call of the attempt is postponed".to_owned();
            return wait::postpone(input, gateway, postponed, Some(reason), budgets, why).into();
        }
        budgets.take(gateway.key, gateway.traffic, 1, slot, now);
    }
    Planned {
        sent_again: action == NextAction::Verify,
        ..routes
            .attempt(open.clone(), action, gateway, budgets)
            .into()
    }
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
    let action = NextAction::resume(open, gateway.recovery)?;
    let gives_up = open.state != AttemptState::Pending
        && !open.is_not_received()
        && input.now >= input.recovered_until(open, gateway)
        && routes.has_other(open.gateway_account);
    (!gives_up).then_some(action)
}
