//! Rules that hold for every plan.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::traffic::RateBudget;

const GATEWAYS: usize = 4;

fn any_gateway() -> impl Strategy<Value = TestGateway> {
    let flags = (
        any::<bool>(),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.1),
    );
    let quota = (0u32..4, 0u32..3);
    (0usize..3, 0usize..3, 0i16..3, flags, quota).prop_map(
        |(method, recovery, priority, (fits, enabled, pinned_only), (rate, concurrency))| {
            TestGateway {
                gateway: Gateway::Cashfree,
                reference_id: "main".into(),
                priority,
                enabled,
                pinned_only,
                eligibility: if fits || method == 0 {
                    Ok(Method::ALL[method])
                } else {
                    Err(Ineligible::Limits)
                },
                recovery: [Recovery::Lookup, Recovery::Resubmit, Recovery::None][recovery],
                late_calls: LateCalls {
                    refuses_repeats: priority == 0,
                    ..LateCalls::default()
                },
                traffic: Traffic {
                    calls_per_minute: NonZeroU32::new(rate),
                    concurrency: NonZeroU32::new(concurrency),
                    ..Traffic::default()
                },
                score: Score::new(case().now),
            }
        },
    )
}

/// A settled attempt: its gateway account, method and class; a class beyond the last one is a lost response.
fn any_settled() -> impl Strategy<Value = (usize, usize, usize)> {
    (0..GATEWAYS, 0usize..3, 3usize..8)
}

prop_compose! {
    fn any_case()(
        gateways in prop::collection::vec(any_gateway(), 1..=GATEWAYS),
        settled in prop::collection::vec(any_settled(), 0..5),
        open in prop::option::of((0..GATEWAYS, 0usize..3, 0usize..6)),
        minutes in 0i64..180, is_budget_used_up in prop::bool::weighted(0.2),
    ) -> Case {
        let mut case = Case { gateways, ..case() };
        for (at, method, class) in settled {
            match Class::ALL.get(class) {
                Some(&class) => case.attempted(account(at), AttemptState::Settled, Some(class), None),
                None => case.lost(account(at)),
            }
            case.attempts.last_mut().unwrap().method = Method::ALL[method];
        }
        if let Some((at, method, state)) = open {
            match [AttemptState::Started, AttemptState::Unknown, AttemptState::Pending].get(state) {
                Some(&state) => case.attempted(account(at), state, None, None),
                None if state == 3 => case.not_received(account(at)),
                None if state == 4 => {
                    let code = Some(UNCLEAR_RESPONSE);
                    case.attempted(account(at), AttemptState::Pending, None, code);
                }
                None => case.not_yet_received(account(at)),
            }
            case.attempts.last_mut().unwrap().method = Method::ALL[method];
        }
        case.validation.deadline_at = case.now + TimeDelta::hours(2);
        case.now += TimeDelta::minutes(minutes);
        case.budget_renewed_at = is_budget_used_up.then(|| case.now + TimeDelta::hours(1));
        case
    }
}

impl Case {
    fn full_budgets(&self) -> RateBudgets {
        let mut budgets = RateBudgets::default();
        for index in 0..self.gateways.len() {
            budgets.put(key(account(index)), RateBudget::new(self.now), true);
        }
        budgets
    }

    fn unfinished(&self) -> Option<&Attempt> {
        let last = self.attempts.last();
        last.filter(|attempt| attempt.state != AttemptState::Settled)
    }
}

proptest! {
    #[test]
    fn no_new_attempt_begins_while_one_is_unfinished_and_recoverable(case in any_case()) {
        let planned = case.plan();
        let Some(open) = case.unfinished() else { return Ok(()) };
        let gateway = case.gateways.get((open.gateway_account.0.as_u128() - 1) as usize);
        // A gateway account that is gone counts as recoverable: it may come back.
        let is_lookup_over = case.now - open.started_at >= TimeDelta::minutes(2);
        let may_give_up = (open.state != AttemptState::Pending || open.is_unclear() && is_lookup_over)
            && gateway.is_some_and(|gateway| {
                let resends = gateway.enabled && gateway.recovery == Recovery::Resubmit;
                let is_free = !open.method.moves_money() && !resends;
                gateway.recovery == Recovery::None || is_lookup_over || open.is_not_received() || is_free
            });
        if planned.new_attempt.is_some() {
            prop_assert!(may_give_up);
            prop_assert_eq!(planned.given_up, Some(open.number));
        } else if let Plan::Attempt { attempt, action, .. } = &planned.plan {
            prop_assert_eq!(&attempt.reference, &open.reference);
            let moves = matches!(action, NextAction::Verify | NextAction::VerifyAgain);
            let was_not_found = open.is_not_received() || open.is_not_yet_received();
            prop_assert_eq!(planned.sent_again.is_some(), moves && was_not_found);
            prop_assert!(action != &NextAction::Verify || open.is_not_received());
            if planned.sent_again.is_some() {
                prop_assert_eq!((attempt.state, &attempt.code, attempt.sent_at), (AttemptState::Started, &None, case.now));
            }
            prop_assert!(!moves || gateway.is_some_and(|gateway| gateway.enabled));
        }
    }

    #[test]
    fn a_possible_payment_is_flagged_and_happens_at_most_twice_at_each_gateway_account(case in any_case()) {
        let planned = case.plan();
        let Plan::Attempt { attempt, .. } = &planned.plan else { return Ok(()) };
        let Some(new) = &planned.new_attempt else { return Ok(()) };
        let may_have_paid = |prior: &&Attempt| {
            let is_given_up = planned.given_up == Some(prior.number) && !prior.is_not_received();
            prior.method.moves_money() && (prior.is_lost() || is_given_up)
        };
        let here = |prior: &&Attempt| prior.gateway_account == attempt.gateway_account;
        let lost_here = case.attempts.iter().filter(may_have_paid).filter(here).count();
        prop_assert!(lost_here < 2);
        let follows_loss = case.attempts.iter().any(|prior| may_have_paid(&prior));
        prop_assert_eq!(new.possible_double_drop, follows_loss && attempt.method.moves_money());
    }

    #[test]
    fn no_plan_moves_more_rupees_than_the_merchant_allows(case in any_case()) {
        let planned = case.plan();
        let Plan::Attempt { attempt, .. } = &planned.plan else { return Ok(()) };
        if planned.new_attempt.is_none() || !attempt.method.moves_money() { return Ok(()) }
        let lost = |prior: &Attempt| planned.given_up == Some(prior.number) && !prior.is_not_received();
        let paid = |prior: &&Attempt| {
            prior.may_have_paid() || prior.method.moves_money() && lost(prior)
        };
        let paid = case.attempts.iter().filter(paid).count();
        prop_assert!(paid < case.bounds.paid_attempts);
        prop_assert_eq!(planned.is_further_drop(), paid > 0);
        prop_assert!(paid == 0 || case.budget_renewed_at.is_none(), "beyond the budget");
    }

    #[test]
    fn a_new_attempt_is_made_at_an_enabled_and_eligible_gateway_account_before_the_deadline(case in any_case()) {
        let planned = case.plan();
        if let (Plan::Attempt { attempt, .. }, Some(_)) = (&planned.plan, &planned.new_attempt) {
            let gateway = &case.gateways[(attempt.gateway_account.0.as_u128() - 1) as usize];
            prop_assert!(gateway.enabled && !gateway.pinned_only);
            prop_assert_eq!(gateway.eligibility, Ok(attempt.method));
            prop_assert!(case.now < case.validation.deadline_at);
            prop_assert_eq!(usize::try_from(attempt.number).unwrap(), case.attempts.len() + 1);
        }
    }

    #[test]
    fn no_wait_ends_before_now_or_after_the_deadline(case in any_case()) {
        let mut budgets = case.full_budgets();
        for _ in 0..5 {
            if let Plan::Settle { next: Next::Wait { until, pending, reason }, .. } = case.plan_with(&mut budgets).plan {
                prop_assert!(case.now < case.validation.deadline_at);
                prop_assert!(until >= case.now && until <= case.validation.deadline_at);
                prop_assert_eq!(pending, reason == PendingReason::AwaitingGatewayResult);
            }
        }
    }

    #[test]
    fn plans_of_one_batch_never_exceed_a_quota(case in any_case()) {
        let mut budgets = case.full_budgets();
        let mut calls = vec![(0u32, 0u32); case.gateways.len()];
        for _ in 0..12 {
            if let Plan::Attempt { attempt, action, .. } = case.plan_with(&mut budgets).plan {
                let index = (attempt.gateway_account.0.as_u128() - 1) as usize;
                calls[index].0 += u32::from(action.is_call());
                calls[index].1 += 1;
            }
        }
        for (gateway, (made, concurrent)) in case.gateways.iter().zip(calls) {
            let within = |limit: Option<NonZeroU32>, count| limit.is_none_or(|limit| count <= limit.get());
            prop_assert!(within(gateway.traffic.calls_per_minute, made), "{made} calls a minute");
            prop_assert!(within(gateway.traffic.concurrency, concurrent), "{concurrent} at once");
        }
    }
}
