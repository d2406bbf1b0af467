//! Validations without an unfinished attempt.

use super::*;
use crate::outcome::FailureCode;

#[test]
fn a_new_validation_makes_a_call_under_a_reference_that_every_gateway_accepts() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let planned = case.plan();
    let calls = planned.calls();
    assert_eq!(
        (calls.action, calls.number, calls.at),
        (NextAction::Verify, 1, main)
    );
    assert_eq!((calls.setbacks, calls.alternative), (0, false));
    assert_eq!(calls.reference.len(), 31);
    assert!(
        calls
            .reference
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
        "{}",
        calls.reference
    );
    let new = planned.new_attempt.as_ref().unwrap();
    assert!(!new.possible_double_drop);
    assert_eq!(planned.given_up, None);
    let Plan::Attempt { attempt, .. } = planned.plan else {
        panic!()
    };
    assert_eq!(
        (attempt.method, attempt.state, attempt.started_at),
        (Method::PennyDrop, AttemptState::Started, case.now)
    );
}

#[test]
fn each_attempt_has_a_reference_of_its_own() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let first = case.plan().calls().reference;
    case.attempted(
        main,
        AttemptState::Settled,
        Some(Class::Retryable),
        Some("FAILED_AT_BANK"),
    );
    let second = case.plan();
    let calls = second.calls();
    assert_eq!(
        (calls.action, calls.number, calls.setbacks),
        (NextAction::Verify, 2, 1)
    );
    assert_ne!(calls.reference, first);
    assert_eq!(calls.reference.len(), 31);
    let new = second.new_attempt.unwrap();
    assert!(!new.possible_double_drop, "the gateway reported a result");
}

#[test]
fn a_gateway_account_that_cannot_decide_is_followed_by_the_next() {
    let mut case = case();
    let first = case.gateway(Gateway::Cashfree, "first", Recovery::Lookup);
    let second = case.gateway(Gateway::Cashfree, "second", Recovery::Lookup);
    let calls = case.plan().calls();
    assert_eq!((calls.at, calls.alternative), (first, true));
    case.attempted(
        first,
        AttemptState::Settled,
        Some(Class::Inconclusive),
        Some("IMPS_MODE_FAIL"),
    );
    let calls = case.plan().calls();
    assert_eq!(
        (calls.at, calls.number, calls.alternative),
        (second, 2, false)
    );
    case.attempted(
        second,
        AttemptState::Settled,
        Some(Class::Misconfigured),
        Some("http_401"),
    );
    let calls = case.plan().calls();
    assert_eq!(
        (calls.at, calls.number),
        (first, 3),
        "the next round begins"
    );
    assert_eq!((calls.setbacks, calls.alternative), (2, false));
}

#[test]
fn only_the_gateway_that_the_call_names_is_tried() {
    for (reference, is_other) in [(None, false), (Some("other"), true)] {
        let mut case = pinned(pin(100, reference));
        case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
        let dummy = case.gateway(Gateway::Dummy, "dummy", Recovery::Lookup);
        let other = case.gateway(Gateway::Dummy, "other", Recovery::Lookup);
        let expected = if is_other { other } else { dummy };
        assert_eq!(case.plan().calls().at, expected);
    }
}

#[test]
fn a_validation_waits_for_a_named_gateway_that_is_missing() {
    let mut case = pinned(pin(12, None));
    case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let planned = case.plan();
    planned.has_no_gateway(&case);
    assert!(planned.new_attempt.is_none());
}

#[test]
fn a_pinned_only_gateway_account_is_tried_only_if_the_call_names_it() {
    let mut unnamed = case();
    unnamed.gateway_with(Gateway::Dummy, "dummy", Recovery::Lookup, |gateway| {
        gateway.pinned_only = true;
    });
    unnamed.plan().has_no_gateway(&unnamed);
    let main = unnamed.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let calls = unnamed.plan().calls();
    assert_eq!((calls.at, calls.alternative), (main, false));

    let mut named = pinned(pin(100, None));
    let dummy = named.gateway_with(Gateway::Dummy, "dummy", Recovery::Lookup, |gateway| {
        gateway.pinned_only = true;
    });
    assert_eq!(named.plan().calls().at, dummy);
}

#[test]
fn a_missing_gateway_fails_no_account_before_the_deadline() {
    let mut case = case();
    let wait = case.plan().has_no_gateway(&case);
    assert_eq!(wait, Duration::from_secs(30));
    for why in [Ineligible::Limits, Ineligible::NoConnector] {
        case.gateway_with(Gateway::Cashfree, "unusable", Recovery::None, |gateway| {
            gateway.eligibility = Err(why);
        });
    }
    case.plan().has_no_gateway(&case);
    case.now = case.validation.deadline_at - TimeDelta::seconds(5);
    let wait = case.plan().has_no_gateway(&case);
    assert_eq!(wait, Duration::from_secs(5), "until the deadline at most");
    case.pass_deadline();
    assert_eq!(*case.plan().settles().0, unavailable());
    assert!(!case.plan().plan.needs_operator());
}

#[test]
fn after_the_deadline_no_attempt_begins() {
    let mut case = case();
    case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.pass_deadline();
    let planned = case.plan();
    assert_eq!(*planned.settles().0, unavailable());
    assert!(planned.new_attempt.is_none());
    case.now -= TimeDelta::milliseconds(1);
    case.plan().calls();
}

#[test]
fn the_validation_of_a_deleted_account_is_cancelled_even_with_an_unfinished_attempt() {
    let mut case = case();
    case.validation.account_is_deleted = true;
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    for _ in 0..2 {
        let planned = case.plan();
        let cancelled = Next::Complete {
            outcome: Outcome::Cancelled,
            failure: None,
        };
        assert_eq!(*planned.settles().0, cancelled);
        assert!(planned.new_attempt.is_none());
        case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
    }
}

#[test]
fn details_that_cannot_be_decrypted_wait_for_their_key() {
    let mut case = case();
    case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.kind = None;
    let planned = case.plan();
    planned.has_no_gateway(&case);
    assert!(planned.new_attempt.is_none());
    assert!(planned.settles().1.contains("key"), "names the cause");
    case.pass_deadline();
    assert_eq!(*case.plan().settles().0, unavailable());
}

#[test]
fn a_disabled_gateway_account_is_not_chosen() {
    let mut case = case();
    case.gateway_with(Gateway::Cashfree, "off", Recovery::Lookup, |gateway| {
        gateway.enabled = false;
    });
    case.plan().has_no_gateway(&case);
    let on = case.gateway(Gateway::Cashfree, "on", Recovery::Lookup);
    assert_eq!(case.plan().calls().at, on);
}

#[test]
fn an_earlier_result_is_reused_only_before_the_first_attempt() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.has_reusable_result = true;
    assert!(matches!(case.plan().plan, Plan::Reuse));
    case.attempted(main, AttemptState::Unknown, None, None);
    assert_eq!(case.plan().calls().action, NextAction::Poll);
}

#[test]
fn a_validation_that_only_imps_could_do_ends_without_a_call() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.gateway(Gateway::Setu, "other", Recovery::None);
    case.gateway(Gateway::Decentro, "disabled", Recovery::Lookup);
    case.gateways[0].eligibility = Err(Ineligible::WithoutImps);
    case.gateways[1].eligibility = Err(Ineligible::Kind);
    case.gateways[2].enabled = false;
    case.gateways[2].eligibility = Err(Ineligible::WithoutImps);
    let ended = Next::Complete {
        outcome: Outcome::Unavailable,
        failure: Some(FailureCode::ImpsNotEnabled),
    };
    let Plan::Settle { next, why, .. } = case.plan().plan else {
        panic!("a call is planned")
    };
    assert_eq!(next, ended);
    assert!(why.contains("IMPS"), "{why}");
    // A gateway account without credentials may be able to, once an operator corrects it.
    case.gateways[1].eligibility = Err(Ineligible::NoConnector);
    assert!(case.plan().plan.needs_operator());
    // So may one that an operator enables again: a disabled gateway account is never the payee's failure.
    case.gateways[1].eligibility = Err(Ineligible::Kind);
    for eligibility in [Ok(Method::Penniless), Err(Ineligible::NoConnector)] {
        case.gateways[2].eligibility = eligibility;
        case.plan().has_no_gateway(&case);
    }
    // A gateway account with another method makes the call.
    case.gateways[1].eligibility = Ok(Method::Penniless);
    let calls = case.plan();
    assert_ne!(calls.calls().at, main);
}
