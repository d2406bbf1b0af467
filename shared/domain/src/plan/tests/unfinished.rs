//! Attempts that a stopped worker left behind, or that the gateway has not finished.

use super::*;
use crate::outcome::FailureCode;

fn exhausted() -> Next {
    Next::Complete {
        outcome: Outcome::Unavailable,
        failure: Some(FailureCode::AttemptsExhausted),
    }
}

#[test]
fn an_attempt_that_can_be_looked_up_is_recovered_under_its_own_reference() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.gateway(Gateway::Dummy, "other", Recovery::Lookup);
    for state in [AttemptState::Started, AttemptState::Unknown] {
        case.attempts.clear();
        case.attempted(main, state, None, None);
        let planned = case.plan();
        let calls = planned.calls();
        assert_eq!(
            (calls.action, calls.number, calls.at),
            (NextAction::Poll, 1, main),
            "{state}"
        );
        assert_eq!(calls.reference, "written_01");
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        assert_eq!((calls.setbacks, calls.alternative), (0, true));
    }
}

#[test]
fn an_attempt_that_can_be_resubmitted_is_sent_under_its_own_reference() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Resubmit);
    for state in [AttemptState::Started, AttemptState::Unknown] {
        case.attempts.clear();
        case.attempted(main, state, None, None);
        let planned = case.plan();
        let calls = planned.calls();
        assert_eq!(
            (calls.action, calls.number),
            (NextAction::VerifyAgain, 1),
            "{state}"
        );
        assert_eq!(calls.reference, "written_01");
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
    }
}

#[test]
fn an_unrecoverable_attempt_is_given_up_for_a_new_one_flagged_as_possible_double_drop() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::None);
    case.attempted(main, AttemptState::Started, None, None);
    let planned = case.plan();
    assert_eq!(planned.given_up, Some(1));
    let calls = planned.calls();
    assert_eq!(
        (calls.action, calls.number, calls.at),
        (NextAction::Verify, 2, main)
    );
    assert_eq!(calls.setbacks, 1);
    assert_ne!(calls.reference, "written_01");
    assert!(planned.new_attempt.unwrap().possible_double_drop);
}

#[test]
fn after_a_lost_response_the_next_attempt_is_flagged_as_possible_double_drop() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::None);
    case.lost(main);
    let planned = case.plan();
    assert_eq!(planned.calls().number, 2);
    assert!(planned.new_attempt.unwrap().possible_double_drop);
    assert_eq!(planned.given_up, None, "the attempt is settled already");
}

#[test]
fn after_two_lost_responses_a_gateway_account_is_not_tried_again() {
    // Both responses were lost; or one was, and a worker stopped during the other call.
    for stopped in [false, true] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", Recovery::None);
        case.lost(main);
        if stopped {
            case.attempted(main, AttemptState::Started, None, None);
        } else {
            case.lost(main);
        }
        let planned = case.plan();
        assert_eq!(*planned.settles().0, exhausted(), "a third might pay again");
        assert_eq!(planned.given_up, stopped.then_some(2));
        let other = case.gateway(Gateway::Dummy, "other", Recovery::Lookup);
        let calls = case.plan().calls();
        assert_eq!((calls.at, calls.number), (other, 3));
        assert!(!calls.alternative, "the first one is ineligible now");
    }
}

#[test]
fn a_call_that_was_not_received_is_made_again_under_its_own_reference() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.not_received(main);
    let planned = case.plan();
    let calls = planned.calls();
    assert_eq!((calls.action, calls.number), (NextAction::Verify, 1));
    assert_eq!(calls.reference, "written_01");
    assert!(planned.sent_again.is_some() && planned.new_attempt.is_none());
    case.pass_deadline();
    assert_eq!(*case.plan().settles().0, unavailable());
}

#[test]
fn a_call_that_is_made_again_is_planned_as_it_is_stored() {
    for is_late in [false, true] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
        if is_late {
            case.not_yet_received(main);
        } else {
            case.not_received(main);
        }
        case.now += TimeDelta::minutes(2);
        let planned = case.plan();
        let again = CallAgain {
            number: 1,
            is_further_drop: true,
        };
        assert_eq!(planned.sent_again, Some(again));
        let Plan::Attempt { attempt, .. } = planned.plan else {
            panic!()
        };
        assert_eq!(
            (attempt.state, attempt.code.as_deref(), attempt.sent_at),
            (AttemptState::Started, None, case.now)
        );
        assert_eq!(attempt.started_at, case.attempts[0].started_at);
        // A worker that takes over looks the call up first, and waits again until it cannot arrive any more.
        case.attempts = vec![attempt];
        assert_eq!(case.plan().calls().action, NextAction::Poll);
        // The budget counts one rupee more, however often the gateway has not received the call.
        case.attempts[0].state = AttemptState::Unknown;
        case.attempts[0].code = Some(NOT_RECEIVED.into());
        let again = CallAgain {
            is_further_drop: false,
            ..again
        };
        assert_eq!(case.plan().sent_again, Some(again));
    }
}

#[test]
fn a_call_that_may_still_arrive_is_made_again_at_its_own_gateway_only() {
    for is_down in [false, true] {
        let mut case = case();
        let main = case.gateway(Gateway::Decentro, "main", Recovery::Lookup);
        case.gateways[0].late_calls.refuses_repeats = true;
        let other = case.gateway(Gateway::Setu, "other", Recovery::None);
        case.not_yet_received(main);
        let calls = case.plan().calls();
        let again = (NextAction::VerifyAgain, 1, main);
        assert_eq!((calls.action, calls.number, calls.at), again);
        assert!(
            !case.plan().is_further_drop(),
            "the gateway refuses a repetition"
        );
        let mut budgets = RateBudgets::default();
        if is_down {
            budgets = case.down(main);
        } else {
            case.gateways[0].enabled = false;
        }
        let planned = case.plan_with(&mut budgets);
        let reason = PendingReason::CheckingPreviousAttempt;
        let wait = planned.waits(&case, reason);
        assert!(planned.given_up.is_none() && wait > Duration::ZERO);
        if !is_down {
            assert_eq!(wait, SETTLING_TIME);
            case.now += TimeDelta::from_std(SETTLING_TIME).unwrap();
            let calls = case.plan().calls();
            assert_eq!((calls.action, calls.at), (NextAction::Poll, main));
        }
        // After the merchant's patience, a second rupee is possible, and flagged.
        case.now += TimeDelta::minutes(2);
        if is_down {
            budgets = case.down(main);
        }
        let planned = case.plan_with(&mut budgets);
        assert_eq!((planned.calls().at, planned.given_up), (other, Some(1)));
        let new = planned.new_attempt.unwrap();
        assert!(new.possible_double_drop && new.is_further_drop);
    }
}

#[test]
fn a_lost_response_is_not_given_up_while_no_other_gateway_account_can_take_the_validation() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    case.attempted(main, AttemptState::Unknown, None, None);
    case.now += TimeDelta::minutes(3);
    let mut budgets = case.down(other);
    let planned = case.plan_with(&mut budgets);
    assert_eq!((planned.calls().at, planned.given_up), (main, None));
    let Plan::Attempt {
        recovered_until, ..
    } = planned.plan
    else {
        panic!()
    };
    assert_eq!(recovered_until, None, "the next lookup keeps its delay");
    // Nor does the worker begin a second attempt where it can look the first one up.
    case.gateways[1].priority = 5;
    case.attempted(
        other,
        AttemptState::Settled,
        Some(Class::Inconclusive),
        None,
    );
    case.attempts.swap(0, 1);
    case.attempts[0].number = 1;
    case.attempts[1].number = 2;
    let planned = case.plan();
    assert_eq!((planned.calls().at, planned.given_up), (main, None));
    // The merchant's bound and budget hold for the other gateway account, too.
    case.attempts.remove(0);
    case.attempts[0].number = 1;
    assert_eq!(case.plan().calls().at, other);
    case.bounds.paid_attempts = 1;
    assert_eq!(case.plan().calls().at, main);
    case.bounds.paid_attempts = 3;
    case.budget_renewed_at = Some(case.now + TimeDelta::hours(1));
    assert_eq!(case.plan().calls().at, main);
}

#[test]
fn a_call_that_was_not_received_moves_to_another_gateway_if_its_own_is_disabled_or_down() {
    for is_down in [false, true] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
        let other = case.gateway(Gateway::Setu, "other", Recovery::None);
        case.not_received(main);
        let mut budgets = RateBudgets::default();
        if is_down {
            budgets = case.down(main);
        } else {
            case.gateways[0].enabled = false;
        }
        let planned = case.plan_with(&mut budgets);
        assert_eq!(planned.calls().at, other);
        assert_eq!(planned.given_up, Some(1));
        assert!(!planned.new_attempt.unwrap().possible_double_drop);
    }
}

#[test]
fn the_same_call_is_not_repeated_at_a_disabled_gateway_account() {
    let mut case = case();
    let main = case.gateway(Gateway::Razorpay, "main", Recovery::Resubmit);
    case.attempted(main, AttemptState::Unknown, None, None);
    case.gateways[0].enabled = false;
    case.plan().has_no_gateway(&case);
    let other = case.gateway(Gateway::Setu, "other", Recovery::None);
    case.plan().has_no_gateway(&case);
    case.now += TimeDelta::minutes(3);
    let planned = case.plan();
    assert_eq!(planned.calls().at, other);
    assert!(planned.new_attempt.unwrap().possible_double_drop);
}

#[test]
fn after_three_paid_attempts_the_validation_ends_with_its_own_code() {
    for code in [Some("unclear"), None] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
        let class = if code.is_some() {
            Class::Inconclusive
        } else {
            Class::Retryable
        };
        for number in 1..=3 {
            assert_eq!(case.plan().calls().number, number);
            case.attempted(main, AttemptState::Settled, Some(class), code);
            case.now += TimeDelta::minutes(31);
            case.validation.deadline_at += TimeDelta::minutes(31);
        }
        assert_eq!(*case.plan().settles().0, exhausted());
        let penniless = case.gateway(Gateway::Decentro, "penniless", Recovery::Lookup);
        case.gateways[1].eligibility = Ok(Method::Penniless);
        assert_eq!(case.plan().calls().at, penniless, "the check moves nothing");
    }
}

#[test]
fn beyond_the_budget_a_validation_that_may_have_paid_waits_for_the_next_day() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let midnight = case.now + TimeDelta::minutes(40);
    case.budget_renewed_at = Some(midnight);
    assert_eq!(
        case.plan().calls().at,
        main,
        "its first penny drop was counted"
    );
    let retryable = Some(Class::Retryable);
    case.attempted(main, AttemptState::Settled, retryable, Some("not_sent"));
    case.attempts[0].gateway_reference = None;
    let planned = case.plan();
    assert_eq!(planned.calls().number, 2, "the first one moved nothing");
    assert!(!planned.is_further_drop());
    case.attempted(main, AttemptState::Settled, Some(Class::Inconclusive), None);
    let wait = case.plan().waits(&case, PendingReason::BudgetExhausted);
    assert_eq!(wait, Duration::from_mins(40));
    // A method that moves nothing is used meanwhile.
    let penniless = case.gateway(Gateway::Decentro, "penniless", Recovery::Lookup);
    case.gateways[1].eligibility = Ok(Method::Penniless);
    assert_eq!(case.plan().calls().at, penniless);
    case.gateways.pop();
    case.validation.deadline_at = midnight - TimeDelta::minutes(1);
    let wait = case.plan().waits(&case, PendingReason::BudgetExhausted);
    assert_eq!(wait, Duration::from_mins(39), "until the deadline at most");
    case.budget_renewed_at = None;
    let planned = case.plan();
    assert!(planned.is_further_drop() && planned.calls().number == 3);
}

#[test]
fn attempts_that_moved_nothing_are_not_bounded() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    for class in [
        Class::Retryable,
        Class::Misconfigured,
        Class::Retryable,
        Class::Retryable,
    ] {
        case.attempted(main, AttemptState::Settled, Some(class), Some("not_sent"));
        case.attempts.last_mut().unwrap().gateway_reference = None;
    }
    assert_eq!(case.plan().calls().number, 5);
}

#[test]
fn after_a_possible_payment_every_other_gateway_account_is_preferred() {
    let mut case = case();
    let first = case.gateway(Gateway::Cashfree, "first", Recovery::None);
    let second = case.gateway(Gateway::Setu, "second", Recovery::None);
    assert_eq!(case.plan().calls().at, first);
    case.lost(first);
    assert_eq!(case.plan().calls().at, second);
    let retryable = Some(Class::Retryable);
    case.attempted(second, AttemptState::Settled, retryable, None);
    case.attempts.last_mut().unwrap().gateway_reference = None;
    assert_eq!(case.plan().calls().at, second);
}

#[test]
fn a_lost_vpa_lookup_moved_no_money_and_is_repeated_without_a_flag() {
    let mut case = case();
    let main = case.gateway_with(Gateway::Cashfree, "main", Recovery::None, |gateway| {
        gateway.eligibility = Ok(Method::VpaLookup);
    });
    for number in 2..6 {
        case.lost(main);
        case.attempts.last_mut().unwrap().method = Method::VpaLookup;
        let planned = case.plan();
        assert_eq!(planned.calls().number, number);
        assert!(!planned.new_attempt.unwrap().possible_double_drop);
    }
}

#[test]
fn a_pending_attempt_is_polled() {
    for recovery in [Recovery::Lookup, Recovery::Resubmit, Recovery::None] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", recovery);
        case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
        let planned = case.plan();
        let calls = planned.calls();
        assert_eq!(
            (calls.action, calls.number),
            (NextAction::Poll, 1),
            "{recovery:?}"
        );
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        let Plan::Attempt { attempt, .. } = planned.plan else {
            panic!()
        };
        assert_eq!(attempt, case.attempts[0]);
    }
}

#[test]
fn an_unfinished_attempt_is_followed_past_the_deadline_because_its_rupee_is_spent() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.pass_deadline();
    for (state, action) in [
        (AttemptState::Pending, NextAction::Poll),
        (AttemptState::Started, NextAction::Poll),
    ] {
        case.attempts.clear();
        case.attempted(main, state, None, None);
        assert_eq!(case.plan().calls().action, action);
    }
}

#[test]
fn an_unrecoverable_attempt_is_given_up_at_the_deadline_without_a_new_one() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::None);
    case.attempted(main, AttemptState::Started, None, None);
    case.pass_deadline();
    let planned = case.plan();
    assert_eq!(*planned.settles().0, unavailable());
    assert!(planned.new_attempt.is_none());
    assert_eq!(planned.given_up, Some(1));
}

#[test]
fn a_disabled_gateway_account_finishes_its_attempt_and_gets_no_new_one() {
    let mut case = case();
    let off = case.gateway_with(Gateway::Cashfree, "off", Recovery::Lookup, |gateway| {
        gateway.enabled = false;
    });
    let on = case.gateway(Gateway::Cashfree, "on", Recovery::Lookup);
    for (state, action) in [
        (AttemptState::Pending, NextAction::Poll),
        (AttemptState::Unknown, NextAction::Poll),
    ] {
        case.attempts.clear();
        case.attempted(off, state, None, None);
        let calls = case.plan().calls();
        assert_eq!(
            (calls.action, calls.at, calls.alternative),
            (action, off, true)
        );
    }
    case.attempts.clear();
    let retryable = Some(Class::Retryable);
    case.attempted(off, AttemptState::Settled, retryable, Some("429"));
    assert_eq!(case.plan().calls().at, on);
}

#[test]
fn an_attempt_at_an_unusable_gateway_account_waits_and_is_not_repeated_at_another() {
    let mut case = case();
    case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let broken = case.gateway_with(Gateway::Dummy, "broken", Recovery::None, |gateway| {
        gateway.eligibility = Err(Ineligible::NoConnector);
    });
    case.attempted(broken, AttemptState::Unknown, None, None);
    for _ in 0..2 {
        let planned = case.plan();
        planned.has_no_gateway(&case);
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        // The same if the gateway account is gone.
        case.gateways.truncate(1);
    }
}

#[test]
fn a_validation_that_was_set_aside_ends_at_its_deadline_without_a_call() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.attempted(main, AttemptState::Started, None, None);
    case.validation.failed_steps = MAX_FAILED_STEPS;
    assert_eq!(case.plan().calls().at, main, "tried again until then");
    case.pass_deadline();
    let planned = case.plan();
    assert_eq!(planned.given_up, Some(1), "recorded as lost");
    let Plan::Settle { next, .. } = &planned.plan else {
        panic!("{planned:?}")
    };
    assert_eq!(*next, unavailable());
    // A stored outcome comes first, but its use may fail too.
    let outcome = GatewayResponse::of(Class::Valid, "ACCOUNT_IS_VALID");
    case.webhooks.push(WebhookReceived {
        number: 1,
        response: Some(outcome.clone()),
    });
    let stored = NextAction::UseWebhook(Box::new(outcome));
    assert_eq!(case.plan().calls().action, stored);
    case.validation.failed_steps = 2 * MAX_FAILED_STEPS;
    assert_eq!(*case.plan().settles().0, unavailable());
    case.webhooks.clear();
    case.validation.failed_steps = MAX_FAILED_STEPS - 1;
    assert_eq!(case.plan().calls().at, main, "a last lookup");
}

#[test]
fn a_validation_without_an_outcome_ends_for_the_newest_reason_that_a_gateway_gave() {
    let reason = Some(FailureCode::LimitReached);
    let end = Next::Complete {
        outcome: Outcome::Unavailable,
        failure: reason,
    };
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.attempted(
        main,
        AttemptState::Settled,
        Some(Class::Inconclusive),
        Some("M8"),
    );
    case.attempts[0].failure = reason;
    case.attempted(
        main,
        AttemptState::Settled,
        Some(Class::Retryable),
        Some("DOWN"),
    );
    case.pass_deadline();
    assert_eq!(*case.plan().settles().0, end);
}

#[test]
fn a_pending_attempt_is_given_up_only_if_its_gateway_says_nothing_clear() {
    for (code, is_given_up) in [(None, false), (Some(UNCLEAR_RESPONSE), true)] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
        case.attempted(main, AttemptState::Pending, None, code);
        case.now += TimeDelta::minutes(3);
        assert_eq!(case.plan().given_up, None, "no other gateway account");
        let other = case.gateway(Gateway::Dummy, "other", Recovery::Lookup);
        let planned = case.plan();
        assert_eq!(planned.given_up, is_given_up.then_some(1));
        if is_given_up {
            assert_eq!(planned.calls().at, other);
            assert!(planned.new_attempt.unwrap().possible_double_drop);
        }
        case.now -= TimeDelta::minutes(2);
        assert_eq!(case.plan().given_up, None, "the patience is not over");
    }
}
