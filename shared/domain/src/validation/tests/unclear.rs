//! Gateways that answer lookups without saying anything clear.

use super::*;

fn unclear() -> CallResult {
    Err(CallFailure::ResponseLost(LostResponse {
        is_unclear: true,
        ..LostResponse::default()
    }))
}

#[test]
fn a_gateway_that_says_nothing_clear_is_asked_no_longer_than_the_merchant_has_patience() {
    let polling = PollSchedule::new(vec![Duration::from_mins(15)]).unwrap();
    for state in [AttemptState::Pending, AttemptState::Unknown] {
        let mut attempt = attempt(Method::PennyDrop, state);
        let until = now() + TimeDelta::seconds(90);
        for polls in 1..9 {
            attempt.polls = polls;
            let context = AttemptContext {
                recovered_until: Some(until),
                ..context(&polling, &attempt)
            };
            let decision = decide(&context, CallKind::Lookup, &unclear());
            assert_eq!(decision.attempt.state, state, "a lookup is possible");
            assert_eq!(decision.attempt.code, UNCLEAR_RESPONSE);
            assert!(waits_until(&decision) <= until, "{polls}");
            attempt.code = Some(decision.attempt.code);
        }
        assert!(attempt.is_unclear());
    }
}

#[test]
fn a_gateway_that_says_nothing_clear_until_the_end_of_its_schedule_is_inconclusive() {
    let polling = PollSchedule::new(vec![Duration::from_secs(90), Duration::from_mins(15)]);
    let polling = polling.unwrap();
    for (state, kind, recovery) in [
        (AttemptState::Pending, CallKind::Lookup, Recovery::None),
        (AttemptState::Unknown, CallKind::Lookup, Recovery::Lookup),
        (AttemptState::Unknown, CallKind::Verify, Recovery::Resubmit),
    ] {
        let mut attempt = attempt(Method::PennyDrop, state);
        let mut decisions = Vec::new();
        for polls in 1..=2 {
            attempt.polls = polls;
            let context = AttemptContext {
                recovery,
                ..context(&polling, &attempt)
            };
            let decision = decide(&context, kind, &unclear());
            attempt.state = decision.attempt.state;
            attempt.class = decision.attempt.class;
            attempt.code = Some(decision.attempt.code.clone());
            decisions.push(decision);
        }
        assert_eq!(decisions[0].attempt.state, state);
        assert_eq!(attempt.class, Some(Class::Inconclusive), "{state}");
        assert!(attempt.is_lost(), "the next attempt is flagged");
        assert!(attempt.may_have_paid());
        assert_eq!(decisions[1].next.account_status(), None);
    }
    // One unclear answer after many that were lost, or that said "pending", does not end the attempt.
    let attempt = Attempt {
        polls: 9,
        ..attempt(Method::PennyDrop, AttemptState::Pending)
    };
    let decision = decide(&context(&polling, &attempt), CallKind::Lookup, &unclear());
    assert_eq!(decision.attempt.state, AttemptState::Pending);
}

#[test]
fn an_accepted_call_that_its_gateway_does_not_know_is_unclear_once_it_cannot_arrive() {
    let polling = PollSchedule::new(vec![Duration::from_secs(90), Duration::from_mins(15)]);
    let polling = polling.unwrap();
    let find = |attempt: &Attempt, recovered_until| {
        let context = AttemptContext {
            recovered_until,
            ..context(&polling, attempt)
        };
        decide(&context, CallKind::Lookup, &Err(CallFailure::NotReceived))
    };
    let mut attempt = attempt(Method::PennyDrop, AttemptState::Pending);
    attempt.sent_at = now() - TimeDelta::seconds(89);
    let decision = find(&attempt, Some(now()));
    let end = (decision.attempt.state, decision.attempt.code.as_str());
    assert_eq!(end, (AttemptState::Pending, RESPONSE_LOST));
    assert!(waits_until(&decision) > now(), "not given up yet");
    attempt.sent_at = now() - TimeDelta::seconds(90);
    let until = now() + TimeDelta::seconds(30);
    for polls in 1..9 {
        attempt.polls = polls;
        let decision = find(&attempt, Some(until));
        let end = (decision.attempt.state, decision.attempt.code.as_str());
        assert_eq!(end, (AttemptState::Pending, UNCLEAR_RESPONSE));
        assert!(waits_until(&decision) <= until, "{polls}");
        attempt.code = Some(decision.attempt.code);
    }
    assert!(attempt.is_unclear());
    // Without another gateway account the attempt is over with its poll schedule, and counts as paid.
    let decision = find(&attempt, None);
    assert_eq!(decision.attempt.class, Some(Class::Inconclusive));
    attempt.state = decision.attempt.state;
    attempt.code = Some(decision.attempt.code);
    assert!(attempt.is_lost());
}

#[test]
fn an_accepted_call_counts_as_paid_at_the_deadline_although_its_gateway_does_not_know_it() {
    let polling = polling();
    for seconds in [0, 90] {
        let mut attempt = attempt(Method::PennyDrop, AttemptState::Pending);
        attempt.sent_at = now() - TimeDelta::seconds(seconds);
        let context = AttemptContext {
            deadline_at: now(),
            ..context(&polling, &attempt)
        };
        let end = decide(&context, CallKind::Lookup, &Err(CallFailure::NotReceived)).attempt;
        attempt.state = end.state;
        attempt.class = end.class;
        attempt.code = Some(end.code);
        assert_eq!(attempt.state, AttemptState::Settled);
        assert!(attempt.may_have_paid(), "{attempt:?}");
    }
}
