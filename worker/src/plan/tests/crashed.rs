//! Attempts that a worker left behind, or that a gateway has not finished.

use super::*;

#[test]
fn an_attempt_that_can_be_looked_up_is_recovered_under_its_own_reference() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.gateway(Gateway::Dummy, "other", Recovery::Lookup);
    for state in [AttemptState::Started, AttemptState::Unknown] {
        case.forget();
        case.attempted(main, state, None, None);
        let planned = case.plan();
        let going = planned.going();
        assert_eq!(
            (going.first, going.number, going.at),
            (NextAction::Recover, 1, main),
            "{state}"
        );
        assert_eq!(going.reference, "written_01");
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        assert_eq!((going.setbacks, going.alternative), (0, true));
    }
}

#[test]
fn an_attempt_that_can_be_sent_again_is_sent_under_its_own_reference() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Resubmit);
    for state in [AttemptState::Started, AttemptState::Unknown] {
        case.forget();
        case.attempted(main, state, None, None);
        let planned = case.plan();
        let going = planned.going();
        assert_eq!(
            (going.first, going.number),
            (NextAction::VerifyAgain, 1),
            "{state}"
        );
        assert_eq!(going.reference, "written_01");
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
    }
}

#[test]
fn an_attempt_that_nobody_can_find_is_given_up_for_one_new_one_flagged_as_a_possible_double_drop() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::None);
    case.attempted(main, AttemptState::Started, None, None);
    let planned = case.plan();
    assert_eq!(planned.given_up, Some(1));
    let going = planned.going();
    assert_eq!(
        (going.first, going.number, going.at),
        (NextAction::Verify, 2, main)
    );
    assert_eq!(going.setbacks, 1);
    let new = planned.new_attempt.unwrap();
    assert_ne!(new.reference, "written_01");
    assert!(new.possible_double_drop);
}

#[test]
fn after_an_answer_that_was_lost_in_hand_the_next_attempt_is_flagged_too() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::None);
    case.lost(main);
    let planned = case.plan();
    assert_eq!(planned.going().number, 2);
    assert!(planned.new_attempt.unwrap().possible_double_drop);
    assert_eq!(planned.given_up, None, "it is settled");
}

#[test]
fn after_two_lost_calls_a_gateway_account_is_not_asked_again() {
    // Both lost in hand; one lost in hand and one by a crash.
    for crashed in [false, true] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", Recovery::None);
        case.lost(main);
        if crashed {
            case.attempted(main, AttemptState::Started, None, None);
        } else {
            case.lost(main);
        }
        let planned = case.plan();
        planned.waits();
        assert!(planned.new_attempt.is_none(), "a third might pay again");
        assert_eq!(
            planned.given_up,
            crashed.then_some(2),
            "what crashed is closed all the same"
        );
        let other = case.gateway(Gateway::Dummy, "other", Recovery::Lookup);
        let going = case.plan().going();
        assert_eq!((going.at, going.number), (other, 3));
        assert!(
            !going.alternative,
            "the first does not come into question any more"
        );
    }
}

#[test]
fn where_a_rupee_may_have_been_dropped_nobody_asks_again_while_another_can_be_asked() {
    let mut case = case();
    let first = case.gateway(Gateway::Cashfree, "first", Recovery::None);
    let second = case.gateway(Gateway::Setu, "second", Recovery::None);
    assert_eq!(case.plan().going().at, first);
    case.lost(first);
    assert_eq!(case.plan().going().at, second);
    let down = Some(Class::Retryable);
    case.attempted(second, AttemptState::Settled, down, None);
    assert_eq!(case.plan().going().at, second);
}

#[test]
fn a_lost_look_up_moved_no_money_and_is_simply_asked_again() {
    let mut case = case();
    let looks_up = Character::new(Ok(Method::VpaLookup), Recovery::None);
    let main = case.gateway_with(Gateway::Cashfree, "main", ENABLED, Ok(Box::new(looks_up)));
    for number in 2..6 {
        let (state, class) = (AttemptState::Settled, Some(Class::Retryable));
        case.attempted_by(Method::VpaLookup, main, state, class, Some(RESPONSE_LOST));
        let planned = case.plan();
        assert_eq!(planned.going().number, number);
        assert!(!planned.new_attempt.unwrap().possible_double_drop);
    }
}

#[test]
fn a_pending_attempt_is_asked_after() {
    for recovery in [Recovery::Lookup, Recovery::Resubmit, Recovery::None] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", recovery);
        case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
        let planned = case.plan();
        let going = planned.going();
        assert_eq!(
            (going.first, going.number),
            (NextAction::Poll, 1),
            "{recovery:?}"
        );
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        let Plan::Attempt { attempt, .. } = planned.plan else {
            panic!()
        };
        assert_eq!(
            (attempt.polls, attempt.gateway_reference.as_deref()),
            (4, Some("34"))
        );
    }
}

#[test]
fn what_is_under_way_is_followed_past_the_deadline_for_its_rupee_is_spent() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.past_deadline();
    for (state, first) in [
        (AttemptState::Pending, NextAction::Poll),
        (AttemptState::Started, NextAction::Recover),
    ] {
        case.forget();
        case.attempted(main, state, None, None);
        assert_eq!(case.plan().going().first, first);
    }
}

#[test]
fn what_nobody_can_find_is_given_up_at_the_deadline_and_nothing_new_begun() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::None);
    case.attempted(main, AttemptState::Started, None, None);
    case.past_deadline();
    let planned = case.plan();
    assert_eq!(*planned.settling().0, unavailable());
    assert!(planned.new_attempt.is_none());
    assert_eq!(planned.given_up, Some(1));
}

#[test]
fn a_disabled_gateway_account_is_followed_to_the_end_of_its_attempt() {
    let mut case = case();
    let off = case.gateway_with(
        Gateway::Cashfree,
        "off",
        DISABLED,
        Ok(drops(Recovery::Lookup)),
    );
    let on = case.gateway(Gateway::Cashfree, "on", Recovery::Lookup);
    for (state, first) in [
        (AttemptState::Pending, NextAction::Poll),
        (AttemptState::Unknown, NextAction::Recover),
    ] {
        case.forget();
        case.attempted(off, state, None, None);
        let going = case.plan().going();
        assert_eq!(
            (going.first, going.at, going.alternative),
            (first, off, true)
        );
    }
    case.forget();
    case.attempted(
        off,
        AttemptState::Settled,
        Some(Class::Retryable),
        Some("429"),
    );
    assert_eq!(case.plan().going().at, on, "it is not asked anew");
}

#[test]
fn an_attempt_whose_gateway_account_cannot_be_used_is_waited_for_and_not_made_elsewhere() {
    let mut case = case();
    case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let fault = khata_gateways::ConfigError::Credentials("none given");
    let broken = case.gateway_with(Gateway::Dummy, "broken", ENABLED, Err(fault));
    case.attempted(broken, AttemptState::Unknown, None, None);
    for _ in 0..2 {
        let planned = case.plan();
        planned.waits();
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        // The same where it is gone altogether.
        case.entries.truncate(1);
    }
}
