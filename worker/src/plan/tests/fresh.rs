//! Accounts that nobody is being asked about.

use super::*;

#[test]
fn a_new_account_is_verified_under_a_reference_that_every_gateway_takes() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let planned = case.plan();
    let going = planned.going();
    assert_eq!(
        (going.first, going.number, going.at),
        (NextAction::Verify, 1, main)
    );
    assert_eq!((going.setbacks, going.alternative), (0, false));
    assert_eq!(going.reference.len(), 31);
    assert!(
        going
            .reference
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
        "{}",
        going.reference
    );
    let new = planned.new_attempt.expect("written down before the call");
    assert_eq!((new.key, new.number), (case.claimed.key, 1));
    assert_eq!((new.gateway_account, new.gateway_id), (main, 70));
    assert_eq!(
        (new.reference, new.method),
        (going.reference, Method::PennyDrop)
    );
    assert!(!new.possible_double_drop);
    assert_eq!(planned.given_up, None);
}

#[test]
fn each_attempt_has_a_reference_of_its_own() {
    let mut case = case();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let first = case.plan().going().reference;
    case.attempted(
        main,
        AttemptState::Settled,
        Some(Class::Retryable),
        Some("FAILED_AT_BANK"),
    );
    let second = case.plan();
    let going = second.going();
    assert_eq!(
        (going.first, going.number, going.setbacks),
        (NextAction::Verify, 2, 1)
    );
    assert_ne!(going.reference, first);
    assert_eq!(going.reference.len(), 31);
    assert!(
        !second.new_attempt.unwrap().possible_double_drop,
        "the gateway told what it did"
    );
}

#[test]
fn a_gateway_account_that_cannot_tell_is_followed_by_the_next() {
    let mut case = case();
    let first = case.gateway(Gateway::Cashfree, "first", Recovery::Lookup);
    let second = case.gateway(Gateway::Cashfree, "second", Recovery::Lookup);
    let going = case.plan().going();
    assert_eq!((going.at, going.alternative), (first, true));
    case.attempted(
        first,
        AttemptState::Settled,
        Some(Class::Inconclusive),
        Some("IMPS_MODE_FAIL"),
    );
    let going = case.plan().going();
    assert_eq!(
        (going.at, going.number, going.alternative),
        (second, 2, false)
    );
    case.attempted(
        second,
        AttemptState::Settled,
        Some(Class::Misconfigured),
        Some("http_401"),
    );
    let going = case.plan().going();
    assert_eq!(
        (going.at, going.number),
        (first, 3),
        "the rounds begin again"
    );
    assert_eq!((going.setbacks, going.alternative), (2, false));
}

#[test]
fn a_gateway_that_the_call_names_is_the_only_one_asked() {
    for (reference, is_other) in [(None, false), (Some("other"), true)] {
        let mut case = case_with(pin(100, reference), LIVE);
        case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
        let dummy = case.gateway(Gateway::Dummy, "dummy", Recovery::Lookup);
        let other = case.gateway(Gateway::Dummy, "other", Recovery::Lookup);
        assert_eq!(case.plan().going().at, if is_other { other } else { dummy });
    }
}

#[test]
fn a_named_gateway_that_is_not_there_is_waited_for() {
    let mut case = case_with(pin(12, None), LIVE);
    case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let planned = case.plan();
    planned.waits();
    assert!(planned.new_attempt.is_none());
}

#[test]
fn what_is_pinned_only_is_not_asked_unless_it_is_named() {
    let mut case = case();
    case.gateway_with(
        Gateway::Dummy,
        "dummy",
        "pinned_only = true",
        Ok(drops(Recovery::Lookup)),
    );
    case.plan().waits();
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    let going = case.plan().going();
    assert_eq!((going.at, going.alternative), (main, false));

    let mut case = case_with(pin(100, None), LIVE);
    let dummy = case.gateway_with(
        Gateway::Dummy,
        "dummy",
        "pinned_only = true",
        Ok(drops(Recovery::Lookup)),
    );
    assert_eq!(case.plan().going().at, dummy);
}

#[test]
fn nobody_to_ask_is_never_the_payees_failure_before_the_deadline() {
    let mut case = case();
    assert_eq!(case.plan().waits(), Duration::from_secs(30));
    let unfit = Character::new(Err(Ineligible::Limits), Recovery::Lookup);
    case.gateway_with(Gateway::Cashfree, "unfit", ENABLED, Ok(Box::new(unfit)));
    let fault = khata_gateways::ConfigError::SandboxOnly;
    case.gateway_with(Gateway::Cashfree, "broken", ENABLED, Err(fault));
    case.plan().waits();
    case.now = case.claimed.deadline_at - TimeDelta::seconds(5);
    assert_eq!(
        case.plan().waits(),
        Duration::from_secs(5),
        "no longer than to the deadline"
    );
    case.past_deadline();
    assert_eq!(*case.plan().settling().0, unavailable());
}

#[test]
fn after_the_deadline_nothing_new_is_begun() {
    let mut case = case();
    case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.past_deadline();
    let planned = case.plan();
    assert_eq!(*planned.settling().0, unavailable());
    assert!(planned.new_attempt.is_none());
    case.now -= TimeDelta::milliseconds(1);
    case.plan().going();
}

#[test]
fn a_deleted_account_is_cancelled_whatever_was_under_way() {
    let mut case = case_with(Pin::default(), "status = 'DELETED', deleted_at = now()");
    let main = case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    for _ in 0..2 {
        let planned = case.plan();
        let cancelled = Next::Complete {
            outcome: Outcome::Cancelled,
            failure: None,
        };
        assert_eq!(*planned.settling().0, cancelled);
        assert!(planned.new_attempt.is_none());
        if case.past.is_empty() {
            case.attempted(main, AttemptState::Pending, Some(Class::Pending), None);
        }
    }
}

#[test]
fn details_that_do_not_open_wait_for_their_key() {
    let mut case = case();
    case.gateway(Gateway::Cashfree, "main", Recovery::Lookup);
    case.details = None;
    let planned = case.plan();
    planned.waits();
    assert!(planned.new_attempt.is_none());
    assert!(
        planned.settling().2.contains("key"),
        "ops are told what to look for"
    );
    case.past_deadline();
    assert_eq!(*case.plan().settling().0, unavailable());
}

#[test]
fn a_disabled_gateway_account_is_not_chosen() {
    let mut case = case();
    case.gateway_with(
        Gateway::Cashfree,
        "off",
        DISABLED,
        Ok(drops(Recovery::Lookup)),
    );
    case.plan().waits();
    let on = case.gateway(Gateway::Cashfree, "on", Recovery::Lookup);
    assert_eq!(case.plan().going().at, on);
}
