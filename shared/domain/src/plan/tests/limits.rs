//! Gateway accounts that cannot take a call at any time: quotas, pauses, hours, circuits.

use std::num::NonZeroU32;

use super::*;
use crate::traffic::{Hours, QueuePlace, QueueRank, RateBudget};

fn limited(calls_per_minute: u32, concurrency: u32) -> Traffic {
    Traffic {
        calls_per_minute: NonZeroU32::new(calls_per_minute),
        concurrency: NonZeroU32::new(concurrency),
        ..Traffic::default()
    }
}

impl Case {
    fn limited_gateway(&mut self, reference_id: &str, traffic: Traffic) -> GatewayAccountId {
        let change = |gateway: &mut TestGateway| gateway.traffic = traffic;
        self.gateway_with(Gateway::Cashfree, reference_id, Recovery::Lookup, change)
    }

    /// Returns the full budget of a gateway account.
    fn full(&self, account: GatewayAccountId) -> RateBudgets {
        let mut budgets = RateBudgets::default();
        budgets.put(key(account), RateBudget::new(self.now), true);
        budgets
    }

    /// Returns the budget of a gateway account to which most calls failed just now.
    pub(super) fn down(&self, account: GatewayAccountId) -> RateBudgets {
        let mut budget = RateBudget::new(self.now);
        budget.circuit = budget.circuit.after(0, 10, self.now);
        let mut budgets = RateBudgets::default();
        budgets.put(key(account), budget, true);
        budgets
    }
}

#[test]
fn calls_beyond_the_limit_are_booked_a_moment_ahead_and_then_queued() {
    let mut case = case();
    let main = case.limited_gateway("main", limited(100, 0));
    case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    let mut budgets = case.full(main);
    let mut booked = Vec::new();
    let queued = loop {
        let planned = case.plan_with(&mut budgets);
        match planned.plan {
            Plan::Attempt { .. } => assert!(booked.is_empty()),
            _ if planned.queue().is_some() => break planned,
            _ => {
                let slot = planned.slot().unwrap();
                assert_eq!(slot.gateway_account, main);
                let wait = planned.waits(&case, PendingReason::AwaitingGatewayResult);
                assert_eq!(case.now + wait, slot.at);
                booked.push(slot.at);
            }
        }
    };
    assert!(queued.slot().is_none());
    assert!(
        booked.is_sorted_by(|a, b| *b - *a > TimeDelta::milliseconds(600)),
        "{booked:?}"
    );
    let ahead = *booked.last().unwrap() - case.now;
    assert!(
        booked.len() == 3 && ahead <= TimeDelta::seconds(2),
        "{booked:?}"
    );
    assert_eq!(budgets.changed().len(), 1);
}

#[test]
fn a_booked_call_is_made_at_its_time() {
    let mut case = case();
    let main = case.limited_gateway("main", limited(35, 0));
    case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    let mut budgets = case.full(main);
    case.plan_with(&mut budgets).calls();
    case.validation.slot = case.plan_with(&mut budgets).slot();
    case.now = case.validation.slot.unwrap().at;
    assert_eq!(case.plan_with(&mut budgets).calls().at, main);
}

#[test]
fn an_available_gateway_account_replaces_one_whose_quota_is_used_up() {
    let mut case = case();
    let main = case.limited_gateway("main", limited(1, 0));
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    let mut budgets = case.full(main);
    assert_eq!(case.plan_with(&mut budgets).calls().at, main);
    let planned = case.plan_with(&mut budgets);
    assert_eq!(planned.calls().at, other);
    let reason = planned.new_attempt.unwrap().choice;
    assert!(
        reason.contains("CASHFREE main: its calls per minute are used up"),
        "{reason}"
    );
}

#[test]
fn a_poll_counts_against_the_quota_and_the_account_stays_pending() {
    let mut case = case();
    let main = case.limited_gateway("main", limited(1, 0));
    case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    let mut budgets = case.full(main);
    let calls = case.plan_with(&mut budgets).calls();
    assert_eq!(calls.action, NextAction::Poll);
    let planned = case.plan_with(&mut budgets);
    planned.waits(&case, PendingReason::AwaitingGatewayResult);
    assert!(matches!(
        planned.settles().0,
        Next::Wait { pending: true, .. }
    ));
    assert_eq!(planned.queue().unwrap().rank, QueueRank::Unfinished);
}

#[test]
fn new_attempts_beyond_a_quota_queue_behind_awaited_ones_and_unfinished_attempts() {
    for (per_minute, concurrency) in [(0, 1), (1, 0)] {
        let mut case = case();
        let main = case.limited_gateway("main", limited(per_minute, concurrency));
        let mut budgets = case.full(main);
        assert_eq!(case.plan_with(&mut budgets).calls().at, main);
        let mut place = |case: &Case, reason| {
            let planned = case.plan_with(&mut budgets);
            let wait = planned.waits(case, reason);
            let queue = planned.queue();
            if queue.is_some() {
                assert!(planned.slot().is_none());
                assert_eq!(wait, Duration::from_hours(1), "it is claimed long before");
            }
            queue
        };
        let queued = |rank| {
            Some(QueuePlace {
                gateway_account: main,
                rank,
            })
        };
        assert_eq!(
            place(&case, PendingReason::RateLimited),
            queued(QueueRank::New)
        );
        case.validation.awaited = true;
        assert_eq!(
            place(&case, PendingReason::RateLimited),
            queued(QueueRank::Awaited)
        );
        case.validation.awaited = false;
        case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
        let unfinished = place(&case, PendingReason::AwaitingGatewayResult);
        assert_eq!(unfinished, queued(QueueRank::Unfinished));
    }
    assert!(QueueRank::Awaited < QueueRank::Unfinished && QueueRank::Unfinished < QueueRank::New);
}

#[test]
fn new_attempts_wait_behind_a_queue_although_a_call_is_free() {
    for (per_minute, concurrency) in [(0, 1), (1, 0), (0, 0)] {
        let mut case = case();
        let main = case.limited_gateway("main", limited(per_minute, concurrency));
        let with_queue = |case: &Case| {
            let mut budgets = case.full(main);
            budgets.add_queue(key(main));
            budgets
        };
        let planned = case.plan_with(&mut with_queue(&case));
        planned.waits(&case, PendingReason::RateLimited);
        assert_eq!(planned.queue().unwrap().rank, QueueRank::New);
        // The first one of the queue takes it.
        case.validation.queued_at = Some(main);
        assert_eq!(case.plan_with(&mut with_queue(&case)).calls().at, main);
        case.validation.queued_at = None;
        case.validation.awaited = true;
        assert_eq!(case.plan_with(&mut with_queue(&case)).calls().at, main);
        case.validation.awaited = false;
        let other = case.gateway(Gateway::Setu, "other", Recovery::None);
        assert_eq!(case.plan_with(&mut with_queue(&case)).calls().at, other);
        case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
        assert_eq!(case.plan_with(&mut with_queue(&case)).calls().at, main);
    }
}

#[test]
fn a_place_in_a_queue_is_kept_while_the_gateway_account_is_down_or_paused() {
    let mut case = case();
    let main = case.limited_gateway("main", limited(0, 1));
    let mut paused = RateBudget::new(case.now);
    paused.paused_until = Some(case.now + TimeDelta::seconds(1));
    let mut budgets = RateBudgets::default();
    budgets.put(key(main), paused, true);
    for mut budgets in [budgets, case.down(main)] {
        case.validation.queued_at = None;
        assert!(case.plan_with(&mut budgets).queue().is_none());
        case.validation.queued_at = Some(main);
        let planned = case.plan_with(&mut budgets);
        assert_eq!(planned.queue().unwrap().gateway_account, main);
    }
}

#[test]
fn the_wait_for_a_lookup_ends_when_the_attempt_is_given_up() {
    let mut case = case();
    let main = case.limited_gateway("main", limited(0, 1));
    case.gateway(Gateway::Setu, "other", Recovery::None);
    case.attempted(main, AttemptState::Unknown, None, None);
    let mut paused = RateBudget::new(case.now);
    paused.paused_until = Some(case.now + TimeDelta::hours(1));
    let mut busy = RateBudget::new(case.now);
    busy.in_hand = 1;
    for budget in [paused, busy] {
        let mut budgets = RateBudgets::default();
        budgets.put(key(main), budget, true);
        let planned = case.plan_with(&mut budgets);
        let wait = planned.waits(&case, PendingReason::CheckingPreviousAttempt);
        assert_eq!(wait, case.bounds.recovery_patience);
    }
}

#[test]
fn a_gateway_that_is_down_is_skipped_and_waited_for_if_there_is_no_other() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let mut budgets = case.down(main);
    let planned = case.plan_with(&mut budgets);
    let wait = planned.waits(&case, PendingReason::GatewayUnavailable);
    assert!(wait >= Duration::from_secs(5), "{wait:?}");
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    assert_eq!(case.plan_with(&mut budgets).calls().at, other);
    // A lost response waits for its own gateway.
    case.attempted(main, AttemptState::Unknown, None, None);
    let planned = case.plan_with(&mut budgets);
    planned.waits(&case, PendingReason::CheckingPreviousAttempt);
}

#[test]
fn a_single_call_tests_whether_a_gateway_is_back() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let mut budgets = case.down(main);
    case.now += TimeDelta::seconds(10);
    assert_eq!(case.plan_with(&mut budgets).calls().at, main);
    let planned = case.plan_with(&mut budgets);
    planned.waits(&case, PendingReason::GatewayUnavailable);
    assert_eq!(budgets.changed().len(), 1, "other workers see the test");
}

#[test]
fn outside_its_hours_a_gateway_account_begins_no_attempt_and_finishes_its_own() {
    let mut case = case();
    let begins = case.now + TimeDelta::hours(2) + TimeDelta::minutes(330);
    let ends = begins + TimeDelta::hours(2);
    let hours = format!("{}-{}", begins.format("%H:%M"), ends.format("%H:%M"));
    let traffic = Traffic {
        hours: Hours::parse(&[hours]).unwrap(),
        ..Traffic::default()
    };
    let main = case.limited_gateway("main", traffic);
    let planned = case.plan();
    planned.waits(&case, PendingReason::OutsideGatewayHours);
    case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    assert_eq!(case.plan().calls().action, NextAction::Poll);
}

#[test]
fn a_lost_response_is_looked_up_with_patience_and_then_given_up_if_there_is_another_gateway() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.attempted(main, AttemptState::Unknown, None, None);
    case.now += TimeDelta::minutes(3);
    let calls = case.plan().calls();
    assert_eq!(calls.action, NextAction::Poll, "there is no other");
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    let planned = case.plan();
    let calls = planned.calls();
    assert_eq!((calls.at, calls.number), (other, 2));
    assert_eq!(planned.given_up, Some(1));
    assert!(planned.new_attempt.unwrap().possible_double_drop);
    case.bounds.recovery_patience = Duration::from_mins(4);
    assert_eq!(case.plan().calls().action, NextAction::Poll);
    // The setting of a gateway account comes before the merchant's.
    case.gateways[0].traffic.recover_for = Some(Duration::from_mins(1));
    assert_eq!(case.plan().given_up, Some(1));
}

#[test]
fn without_patience_the_next_gateway_is_asked_at_once() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.attempted(main, AttemptState::Unknown, None, None);
    case.bounds.recovery_patience = Duration::ZERO;
    assert_eq!(
        case.plan().calls().action,
        NextAction::Poll,
        "there is no other"
    );
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    let planned = case.plan();
    assert_eq!(planned.calls().at, other);
    assert!(planned.new_attempt.unwrap().possible_double_drop);
}

#[test]
fn at_equal_priority_the_gateway_account_with_better_results_is_chosen() {
    let mut case = case();
    let first = case.gateway(Gateway::Cashfree, "first", Recovery::Lookup);
    let second = case.gateway_with(Gateway::Setu, "second", Recovery::Lookup, |gateway| {
        gateway.priority = 0;
    });
    assert_eq!(case.plan().calls().at, first);
    case.gateways[0].score = Score::new(case.now).after(5, 20, None, case.now);
    assert_eq!(case.plan().calls().at, second);
}

#[test]
fn a_lost_response_is_looked_up_within_a_quota_that_allows_one_call_at_a_time() {
    let mut case = case();
    let main = case.limited_gateway("main", limited(1, 0));
    case.attempted(main, AttemptState::Unknown, None, None);
    let mut budgets = case.full(main);
    let calls = case.plan_with(&mut budgets).calls();
    assert_eq!(calls.action, NextAction::Poll);
    let wait = case
        .plan_with(&mut budgets)
        .waits(&case, PendingReason::CheckingPreviousAttempt);
    assert!(
        wait > Duration::from_mins(1),
        "one call is counted: {wait:?}"
    );
}
