//! Unfinished attempts: a worker was stopped, a response was lost, or the gateway reports later.

use chrono::TimeDelta;

use super::budgets::RateBudgets;
use super::choose::{self, Routes};
use super::input::{GatewayProfile, PlanInput};
use super::output::{CallAgain, Plan, Planned};
use super::wait;
use crate::account::AccountKind;
use crate::attempt::{Attempt, AttemptState, NextAction};
use crate::mutants::{self, Mutant};
use crate::routing::Ineligible;
use crate::validation::Next;
use crate::validation_state::PendingReason;

/// Plans the use of a stored webhook about the newest attempt, also if the attempt was given up or its deadline has passed; `None`
/// if no webhook says more than the attempt's row.
pub(super) fn by_webhook(
    input: &PlanInput<'_>,
    kind: AccountKind,
    last: &Attempt,
    budgets: &RateBudgets,
) -> Option<Planned> {
    let response = input.webhook_response(last)?;
    let gateway = input.gateway(last.gateway_account)?;
    if gateway.eligibility == Err(Ineligible::NoConnector) {
        return None;
    }
    let action = NextAction::UseWebhook(Box::new(response.clone()));
    let routes = Routes::new(input, kind, None);
    Some(
        routes
            .attempt(last.clone(), action, gateway, budgets)
            .into(),
    )
}

/// Plans the next call for the unfinished attempt, or a new attempt if the gateway offers no way to find out its result.
pub(super) fn unfinished(
    input: &PlanInput<'_>,
    kind: AccountKind,
    open: &Attempt,
    budgets: &mut RateBudgets,
) -> Planned {
    if mutants::is_on(Mutant::NoRecovery) && open.state != AttemptState::Pending {
        return choose::new_attempt(input, kind, Some(open.number), budgets);
    }
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
    let accepted = accepted_by_webhook(input, open);
    let open = accepted.as_ref().unwrap_or(open);
    let give_up =
        |budgets: &mut RateBudgets| choose::new_attempt(input, kind, Some(open.number), budgets);
    let action = next_action(input, open, gateway);
    let Some(action) = action.filter(|_| !gives_up(input, kind, open, gateway, budgets)) else {
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
    if let Some(wait) = wait_to_settle(input, open, gateway) {
        return wait.into();
    }
    let (now, slot) = (input.now, input.slot_at(open.gateway_account));
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
    let routes = Routes::new(input, kind, None);
    let was_not_found = open.is_not_received() || open.is_not_yet_received();
    if !(makes_call_again && was_not_found) {
        return routes
            .attempt(open.clone(), action, gateway, budgets)
            .into();
    }
    // As it is stored before the call: a worker that takes over looks the call up first.
    let again = Attempt {
        state: AttemptState::Started,
        code: None,
        sent_at: now,
        ..open.clone()
    };
    let sent_again = CallAgain {
        number: open.number,
        // Once: of the calls before, none can arrive any more but the last one.
        is_further_drop: open.method.moves_money()
            && !gateway.late_calls.refuses_repeats
            && open.sent_at <= open.started_at,
    };
    Planned {
        sent_again: Some(sent_again),
        ..routes.attempt(again, action, gateway, budgets).into()
    }
}

/// Returns how to find out the outcome; `None` if the gateway offers no way.
fn next_action(
    input: &PlanInput<'_>,
    open: &Attempt,
    gateway: &GatewayProfile<'_>,
) -> Option<NextAction> {
    // A webhook proves that the gateway knows the attempt.
    if has_webhook(input, open) && open.gateway_reference.is_some() {
        return Some(NextAction::Poll);
    }
    let may_call_again = gateway.enabled && !input.is_over();
    if open.is_not_yet_received() && !may_call_again {
        return Some(NextAction::Poll);
    }
    NextAction::resume(open, gateway.recovery)
}

fn has_webhook(input: &PlanInput<'_>, attempt: &Attempt) -> bool {
    let mut webhooks = input.webhooks.iter();
    webhooks.any(|webhook| webhook.number == attempt.number)
}

/// Returns the attempt as one that its gateway has accepted, if a lookup did not find its call and a webhook proves that the gateway
/// has it: the call is not made again.
fn accepted_by_webhook(input: &PlanInput<'_>, open: &Attempt) -> Option<Attempt> {
    let is_accepted = open.is_not_received() && has_webhook(input, open);
    is_accepted.then(|| Attempt {
        state: AttemptState::Pending,
        code: None,
        ..open.clone()
    })
}

/// Whether the response is given up as lost: the merchant's patience is over, and another gateway account can take the validation
/// now. A pending attempt is given up only if its gateway says nothing clear any more. At the deadline a last lookup may still
/// find the outcome.
fn gives_up(
    input: &PlanInput<'_>,
    kind: AccountKind,
    open: &Attempt,
    gateway: &GatewayProfile<'_>,
    budgets: &RateBudgets,
) -> bool {
    (open.state != AttemptState::Pending || open.is_unclear())
        && !open.is_not_received()
        && !input.is_over()
        && input.now >= input.recovered_until(open, gateway)
        && Routes::new(input, kind, Some(open.number)).leads_elsewhere(open, budgets)
}

/// Plans to wait with the next lookup of a call that has not arrived yet, if its gateway account is disabled: once the call cannot
/// arrive any more, a lookup sets the validation free for another gateway account.
fn wait_to_settle(
    input: &PlanInput<'_>,
    open: &Attempt,
    gateway: &GatewayProfile<'_>,
) -> Option<Plan> {
    let settles_after = TimeDelta::from_std(gateway.late_calls.settles_after).ok()?;
    let settles_at = open.sent_at.checked_add_signed(settles_after)?;
    let waits = open.is_not_yet_received() && !gateway.enabled && !input.is_over();
    if !waits || input.now >= settles_at {
        return None;
    }
    let patience = Some(input.recovered_until(open, gateway)).filter(|at| *at > input.now);
    let until = patience.map_or(settles_at, |at| at.min(settles_at));
    let next = Next::Wait {
        until: until.min(input.validation.deadline_at),
        pending: false,
        reason: PendingReason::CheckingPreviousAttempt,
    };
    Some(Plan::settle(
        next,
        "the call may still arrive at its disabled gateway account",
    ))
}
