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
