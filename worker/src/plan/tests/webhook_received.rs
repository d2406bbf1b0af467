//! Attempts that their gateway has called back about.

use super::*;

fn told(case: &mut Case, number: i16, answer: Option<GatewayResponse>) {
    case.notices.push(Notice { number, answer });
}

fn valid() -> GatewayResponse {
    GatewayResponse::of(Class::Valid, "ACCOUNT_IS_VALID")
}

#[test]
fn what_a_gateway_called_back_with_is_the_answer_however_the_attempt_was_left() {
    for recovery in [Recovery::Lookup, Recovery::Resubmit, Recovery::None] {
        let mut case = case();
        let main = case.gateway(Gateway::Cashfree, "main", recovery);
        for state in [
            AttemptState::Started,
            AttemptState::Unknown,
            AttemptState::Pending,
        ] {
            case.forget();
            case.notices.clear();
            case.attempted(main, state, None, None);
            told(&mut case, 1, Some(valid()));
            let planned = case.plan();
            assert_eq!(
                planned.going().first,
                NextAction::UseWebhook(Box::new(valid())),
                "{recovery:?} {state}"
            );
            assert!(planned.new_attempt.is_none() && planned.given_up.is_none());
        }
    }
}

#[test]
fn what_is_final_is_not_undone_by_what_came_late() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    told(&mut case, 1, Some(valid()));
    told(
        &mut case,
        1,
        Some(GatewayResponse::of(
            Class::Pending,
            "VALIDATION_IN_PROGRESS",
        )),
    );
    assert_eq!(
        case.plan().going().first,
        NextAction::UseWebhook(Box::new(valid()))
    );
}

#[test]
fn a_call_back_without_the_outcome_has_it_asked_for() {
    let mut case = case();
    let main = case.gateway(Gateway::Setu, "main", Recovery::None);
    for state in [AttemptState::Pending, AttemptState::Unknown] {
        case.forget();
        case.attempted(main, state, None, None);
        told(&mut case, 1, None);
        assert_eq!(case.plan().going().first, NextAction::Poll, "{state}");
    }
}

#[test]
fn a_call_back_about_another_attempt_says_nothing_of_this_one() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.attempted(
        main,
        AttemptState::Settled,
        Some(Class::Retryable),
        Some("FAILED"),
    );
    case.attempted(main, AttemptState::Unknown, None, None);
    told(&mut case, 1, Some(valid()));
    assert_eq!(case.plan().going().first, NextAction::Recover);
}

#[test]
fn an_earlier_result_is_used_only_where_nothing_was_begun() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.reusable = Some(ValidationId::new());
    assert!(matches!(case.plan().plan, Plan::Reuse));
    case.attempted(main, AttemptState::Unknown, None, None);
    assert_eq!(case.plan().going().first, NextAction::Recover);
}
