//! Attempts about which the gateway has sent a webhook.

use super::*;

fn receive(case: &mut Case, number: i16, response: Option<GatewayResponse>) {
    case.webhooks.push(WebhookReceived { number, response });
}

fn valid() -> GatewayResponse {
    GatewayResponse::of(Class::Valid, "ACCOUNT_IS_VALID")
}

#[test]
fn the_outcome_of_a_webhook_is_used_in_every_state_of_the_attempt() {
    for recovery in [Recovery::Lookup, Recovery::Resubmit, Recovery::None] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", recovery);
        receive(&mut case, 1, Some(valid()));
        for state in [
            AttemptState::Started,
            AttemptState::Unknown,
            AttemptState::Pending,
        ] {
            case.attempts.clear();
            case.attempted(main, state, None, None);
            let planned = case.plan();
            assert_eq!(
                planned.calls().action,
                NextAction::UseWebhook(Box::new(valid())),
                "{recovery:?} {state}"
            );
            assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        }
    }
}

#[test]
fn a_later_webhook_does_not_replace_a_final_outcome() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    receive(&mut case, 1, Some(valid()));
    let pending = GatewayResponse::of(Class::Pending, "VALIDATION_IN_PROGRESS");
    receive(&mut case, 1, Some(pending));
    assert_eq!(
        case.plan().calls().action,
        NextAction::UseWebhook(Box::new(valid()))
    );
}

#[test]
fn a_webhook_without_an_outcome_leads_to_a_poll() {
    let mut case = case();
    let main = case.gateway(Gateway::Setu, "main", Recovery::None);
    receive(&mut case, 1, None);
    for state in [AttemptState::Pending, AttemptState::Unknown] {
        case.attempts.clear();
        case.attempted(main, state, None, None);
        assert_eq!(case.plan().calls().action, NextAction::Poll, "{state}");
    }
}

#[test]
fn a_webhook_about_another_attempt_is_ignored() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let retryable = Some(Class::Retryable);
    case.attempted(main, AttemptState::Settled, retryable, Some("FAILED"));
    case.attempted(main, AttemptState::Unknown, None, None);
    receive(&mut case, 1, Some(valid()));
    assert_eq!(case.plan().calls().action, NextAction::Poll);
}

#[test]
fn a_webhook_that_repeats_pending_does_not_replace_the_polls() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let pending = GatewayResponse::of(Class::Pending, "VALIDATION_IN_PROGRESS");
    receive(&mut case, 1, Some(pending.clone()));
    case.attempted(main, AttemptState::Unknown, None, None);
    let used = NextAction::UseWebhook(Box::new(pending));
    assert_eq!(
        case.plan().calls().action,
        used,
        "the gateway knows the call"
    );
    case.attempts[0].state = AttemptState::Pending;
    case.attempts[0].class = Some(Class::Pending);
    assert_eq!(case.plan().calls().action, NextAction::Poll);
}

#[test]
fn a_webhook_about_an_attempt_that_was_given_up_is_used_while_there_is_no_other_attempt() {
    for (code, is_over) in [
        (RESPONSE_LOST, false),
        (RESPONSE_LOST, true),
        (NOT_RECEIVED, false),
    ] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
        let retryable = Some(Class::Retryable);
        case.attempted(main, AttemptState::Settled, retryable, Some(code));
        receive(&mut case, 1, Some(valid()));
        if is_over {
            case.pass_deadline();
        }
        let planned = case.plan();
        let calls = planned.calls();
        let used = NextAction::UseWebhook(Box::new(valid()));
        assert_eq!((calls.action, calls.number), (used, 1));
        assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        case.now -= TimeDelta::hours(2);
        case.attempted(main, AttemptState::Started, None, None);
        assert_ne!(case.plan().calls().number, 1, "another attempt was made");
    }
}

#[test]
fn a_stored_outcome_comes_before_the_deadline_of_a_call_that_was_not_received() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.not_received(main);
    receive(&mut case, 1, Some(valid()));
    case.pass_deadline();
    let used = NextAction::UseWebhook(Box::new(valid()));
    assert_eq!(case.plan().calls().action, used);
}

#[test]
fn a_webhook_says_nothing_new_about_an_attempt_that_failed() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let retryable = Some(Class::Retryable);
    case.attempted(main, AttemptState::Settled, retryable, Some("FAILED"));
    let failed = GatewayResponse::of(Class::Retryable, "FAILED");
    receive(&mut case, 1, Some(failed));
    assert_eq!(case.plan().calls().number, 2);
    receive(&mut case, 1, Some(valid()));
    let used = NextAction::UseWebhook(Box::new(valid()));
    assert_eq!(case.plan().calls().action, used);
}

#[test]
fn a_call_that_a_webhook_is_about_is_not_made_again_although_a_lookup_does_not_find_it() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.gateway(Gateway::Setu, "other", Recovery::None);
    case.not_received(main);
    assert_eq!(case.plan().calls().action, NextAction::Verify);
    receive(&mut case, 1, None);
    for minutes in [0, 3] {
        case.now += TimeDelta::minutes(minutes);
        let planned = case.plan();
        assert_eq!(planned.calls().action, NextAction::Poll);
        assert!(planned.given_up.is_none() && planned.sent_again.is_none());
        let Plan::Attempt { attempt, .. } = planned.plan else {
            panic!()
        };
        assert_eq!(attempt.state, AttemptState::Pending, "accepted");
    }
}
