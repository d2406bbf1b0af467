//! Gateway accounts that cannot simply be asked: limits, pauses, hours, circuits, patience.

use std::num::NonZeroU32;

use khata_domain::traffic::{Hours, RateBudget};
use khata_store::gateway_health::GatewayKey;

use super::*;

fn limited(calls_per_minute: u32, concurrency: u32) -> Traffic {
    Traffic {
        calls_per_minute: NonZeroU32::new(calls_per_minute),
        concurrency: NonZeroU32::new(concurrency),
        ..Traffic::default()
    }
}

impl Case {
    fn gateway_of(&mut self, gateway: Gateway, name: &str, traffic: Traffic) -> GatewayAccountId {
        let connector = Character {
            traffic,
            ..Character::new(Ok(Method::PennyDrop), Recovery::Lookup)
        };
        self.gateway_with(gateway, name, ENABLED, Ok(Box::new(connector)))
    }

    fn key(&self, account: GatewayAccountId) -> GatewayKey {
        GatewayKey {
            merchant: self.merchant(),
            account,
        }
    }

    /// Everything is left of it.
    fn fresh(&self, account: GatewayAccountId) -> RateBudgets {
        let mut budgets = RateBudgets::default();
        budgets.put(self.key(account), RateBudget::new(self.now), true);
        budgets
    }

    /// Most calls to it failed just now.
    fn down(&self, account: GatewayAccountId) -> RateBudgets {
        let mut budget = RateBudget::new(self.now);
        budget.circuit = budget.circuit.after(0, 10, self.now);
        let mut budgets = RateBudgets::default();
        budgets.put(self.key(account), budget, true);
        budgets
    }
}

fn slot_of(planned: &Planned) -> Option<Slot> {
    match &planned.plan {
        Plan::Settle { slot, .. } => *slot,
        _ => None,
    }
}

#[test]
fn calls_beyond_the_limit_are_booked_one_after_the_other() {
    let mut case = case();
    let main = case.gateway_of(Gateway::Cashfree, "main", limited(20, 0));
    let mut budgets = case.fresh(main);
    assert_eq!(case.plan_with(&mut budgets).going().at, main);
    let booked: Vec<_> = (0..3)
        .map(|_| {
            let planned = case.plan_with(&mut budgets);
            assert!(
                planned.new_attempt.is_none(),
                "nothing is written down for later"
            );
            let slot = slot_of(&planned).unwrap();
            assert_eq!(slot.gateway_account, main);
            let Next::Wait {
                until,
                pending: false,
                ..
            } = *planned.settling().0
            else {
                panic!()
            };
            assert_eq!(until, slot.at);
            slot.at
        })
        .collect();
    assert!(
        booked.is_sorted_by(|a, b| *b - *a > TimeDelta::seconds(3)),
        "{booked:?}"
    );
    assert_eq!(budgets.changed().len(), 1);
}

#[test]
fn who_has_room_is_asked_in_the_place_of_who_has_none() {
    let mut case = case();
    let main = case.gateway_of(Gateway::Cashfree, "main", limited(1, 0));
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    let mut budgets = case.fresh(main);
    assert_eq!(case.plan_with(&mut budgets).going().at, main);
    let planned = case.plan_with(&mut budgets);
    assert_eq!(planned.going().at, other);
    let reason = planned.new_attempt.unwrap().choice;
    assert!(
        reason.contains("CASHFREE main: its calls a minute are used up"),
        "{reason}"
    );
}

#[test]
fn a_look_counts_as_a_call_too_and_what_is_pending_stays_pending() {
    let mut case = case();
    let main = case.gateway_of(Gateway::Cashfree, "main", limited(1, 0));
    case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    let mut budgets = case.fresh(main);
    assert_eq!(case.plan_with(&mut budgets).going().first, NextAction::Poll);
    let planned = case.plan_with(&mut budgets);
    assert!(matches!(
        planned.settling().0,
        Next::Wait { pending: true, .. }
    ));
    assert!(slot_of(&planned).is_some());
}

#[test]
fn calls_at_once_are_not_booked_but_tried_again() {
    let mut case = case();
    let main = case.gateway_of(Gateway::Cashfree, "main", limited(0, 1));
    let mut budgets = case.fresh(main);
    assert_eq!(case.plan_with(&mut budgets).going().at, main);
    let first = case.plan_with(&mut budgets).waits();
    let second = case.plan_with(&mut budgets).waits();
    assert!(
        first < second && second < Duration::from_secs(2),
        "{first:?} {second:?}"
    );
}

#[test]
fn a_gateway_that_is_down_is_passed_over_and_otherwise_waited_for() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let mut budgets = case.down(main);
    let wait = case.plan_with(&mut budgets).waits();
    assert!(wait >= Duration::from_secs(5), "{wait:?}");
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    assert_eq!(case.plan_with(&mut budgets).going().at, other);
    // Recovering waits as well.
    case.attempted(main, AttemptState::Unknown, None, None);
    case.plan_with(&mut budgets).waits();
}

#[test]
fn one_call_finds_out_whether_it_is_back() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let mut budgets = case.down(main);
    case.now += TimeDelta::seconds(10);
    assert_eq!(case.plan_with(&mut budgets).going().at, main);
    case.plan_with(&mut budgets).waits();
    assert_eq!(
        budgets.changed().len(),
        1,
        "others see that it is being tried"
    );
}

#[test]
fn outside_its_hours_a_gateway_begins_nothing_and_finishes_what_it_has() {
    let mut case = case();
    let begins = case.now + TimeDelta::hours(2) + TimeDelta::minutes(330);
    let ends = begins + TimeDelta::hours(2);
    let hours = format!("{}-{}", begins.format("%H:%M"), ends.format("%H:%M"));
    let traffic = Traffic {
        hours: Hours::parse(&[hours]).unwrap(),
        ..Traffic::default()
    };
    let main = case.gateway_of(Gateway::Cashfree, "main", traffic);
    let planned = case.plan();
    assert!(matches!(
        planned.settling().0,
        Next::Wait { pending: false, .. }
    ));
    case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    assert_eq!(case.plan().going().first, NextAction::Poll);
}

#[test]
fn a_lost_answer_is_asked_for_as_long_as_patience_lasts_and_then_given_up_if_somebody_else_can_be_asked()
 {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.attempted(main, AttemptState::Unknown, None, None);
    case.now += TimeDelta::minutes(61);
    case.claimed.deadline_at += TimeDelta::hours(47);
    assert_eq!(
        case.plan().going().first,
        NextAction::Recover,
        "nobody else is there"
    );
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    let planned = case.plan();
    assert_eq!((planned.going().at, planned.going().number), (other, 2));
    assert_eq!(planned.given_up, Some(1));
    assert!(planned.new_attempt.unwrap().possible_double_drop);
    case.now -= TimeDelta::minutes(2);
    assert_eq!(case.plan().going().first, NextAction::Recover);
}

#[test]
fn among_equals_the_better_one_at_this_bank_is_asked() {
    let mut case = case();
    let first = case.gateway(Gateway::Cashfree, "first", Recovery::Lookup);
    let second = case.gateway_with(
        Gateway::Setu,
        "second",
        "priority = 0",
        Ok(drops(Recovery::Lookup)),
    );
    assert_eq!(case.plan().going().at, first);
    let bad = Score::new(case.now).after(5, 20, None, case.now);
    case.scores
        .insert(first, HashMap::from([("ICIC".to_owned(), bad)]));
    assert_eq!(case.plan().going().at, first, "that was another bank");
    case.scores
        .insert(first, HashMap::from([("HDFC".to_owned(), bad)]));
    assert_eq!(case.plan().going().at, second);
}
