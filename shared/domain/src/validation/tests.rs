use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::gateway::{LostResponse, Method, SETTLING_TIME};
use crate::ids::GatewayAccountId;

mod unclear;

fn polling() -> PollSchedule {
    PollSchedule::new(vec![Duration::ZERO, Duration::from_secs(5)]).unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn attempt(method: Method, state: AttemptState) -> Attempt {
    Attempt {
        number: 1,
        gateway_account: GatewayAccountId(Uuid::from_u128(1)),
        method,
        reference: "kh_01".into(),
        state,
        class: None,
        code: None,
        failure: None,
        gateway_reference: None,
        polls: 0,
        started_at: now(),
        sent_at: now(),
    }
}

fn drop_started() -> Attempt {
    attempt(Method::PennyDrop, AttemptState::Started)
}

fn context<'a>(polling: &'a PollSchedule, attempt: &'a Attempt) -> AttemptContext<'a> {
    AttemptContext {
        now: now(),
        called_at: now(),
        deadline_at: now() + TimeDelta::hours(48),
        attempt,
        setbacks: 0,
        reason: None,
        alternative: false,
        recovery: Recovery::Lookup,
        late_calls: LateCalls::default(),
        recovered_until: None,
        polling,
        name_mismatch: false,
        jitter: 0.5,
    }
}

#[allow(clippy::unnecessary_wraps, reason = "a result of a call")]
fn response(class: Class) -> CallResult {
    Ok(GatewayResponse::of(class, "code"))
}

fn waits_until(decision: &Decision) -> DateTime<Utc> {
    match decision.next {
        Next::Wait { until, .. } => until,
        Next::Complete { .. } => panic!("{decision:?}"),
    }
}

#[test]
fn only_a_final_class_changes_an_account_to_active_or_failure() {
    let (polling, attempt) = (polling(), drop_started());
    for &class in Class::ALL {
        let context = context(&polling, &attempt);
        let next = decide(&context, CallKind::Verify, &response(class)).next;
        let expected = match class {
            Class::Valid => Some(AccountStatus::Active),
            Class::Invalid | Class::Review => Some(AccountStatus::Failure),
            Class::Pending => Some(AccountStatus::Pending),
            Class::Retryable | Class::Inconclusive | Class::Misconfigured => None,
        };
        assert_eq!(next.account_status(), expected, "{class}");
    }
}

#[test]
fn a_lost_response_is_recovered_if_money_may_have_moved_and_the_gateway_offers_a_way() {
    let (polling, drop) = (polling(), drop_started());
    let lookup = attempt(Method::VpaLookup, AttemptState::Started);
    let lost = Err(CallFailure::ResponseLost("reset".into()));
    let unsent = Err(CallFailure::NotSent("refused".into()));
    let unrecoverable = AttemptContext {
        recovery: Recovery::None,
        ..context(&polling, &drop)
    };
    for (context, result, state) in [
        (context(&polling, &drop), &lost, AttemptState::Unknown),
        (unrecoverable, &lost, AttemptState::Settled),
        (context(&polling, &lookup), &lost, AttemptState::Settled),
        (context(&polling, &drop), &unsent, AttemptState::Settled),
    ] {
        let decision = decide(&context, CallKind::Verify, result);
        assert_eq!(decision.attempt.state, state, "{context:?}");
    }
}

/// A worker may be paused between a response and its decision: the call may have arrived meanwhile.
#[test]
fn a_lookup_proves_what_the_gateway_knew_when_the_lookup_was_made() {
    let polling = polling();
    let settled = TimeDelta::from_std(SETTLING_TIME).unwrap();
    let not_received = Err(CallFailure::NotReceived);
    for (state, early, late) in [
        (AttemptState::Unknown, RESPONSE_LOST, NOT_RECEIVED),
        (AttemptState::Pending, RESPONSE_LOST, UNCLEAR_RESPONSE),
    ] {
        let sent = Attempt {
            sent_at: now() - settled - TimeDelta::seconds(30),
            ..attempt(Method::PennyDrop, state)
        };
        for (called_before, code) in [(31, early), (30, late)] {
            let context = AttemptContext {
                called_at: now() - TimeDelta::seconds(called_before),
                ..context(&polling, &sent)
            };
            let decision = decide(&context, CallKind::Lookup, &not_received);
            assert_eq!(decision.attempt.code, code, "{state}, {called_before} s");
            assert_eq!(decision.attempt.state, state);
        }
    }
}

#[test]
fn a_different_name_fails_an_account_only_if_the_merchant_wants_that() {
    let (polling, attempt) = (polling(), drop_started());
    let strict = AttemptContext {
        name_mismatch: true,
        ..context(&polling, &attempt)
    };
    let next = decide(&strict, CallKind::Verify, &response(Class::Valid)).next;
    assert_eq!(next.account_status(), Some(AccountStatus::Failure));
    // A result that is not final is not affected.
    let next = decide(&strict, CallKind::Verify, &response(Class::Retryable)).next;
    assert_eq!(next.account_status(), None);
}

#[test]
fn a_rejected_lookup_leaves_the_attempt_unfinished_and_follows_retry_after() {
    let polling = polling();
    let rejected = Err(CallFailure::Rejected {
        retry_after: Some(Duration::from_mins(10)),
    });
    for state in [AttemptState::Pending, AttemptState::Unknown] {
        let attempt = attempt(Method::PennyDrop, state);
        let decision = decide(&context(&polling, &attempt), CallKind::Lookup, &rejected);
        assert_eq!(decision.attempt.state, state);
        assert_eq!(waits_until(&decision), now() + TimeDelta::seconds(600));
    }
}

#[test]
fn an_alternative_gateway_is_tried_without_delay() {
    let (polling, attempt) = (polling(), drop_started());
    let with = AttemptContext {
        alternative: true,
        ..context(&polling, &attempt)
    };
    let decision = decide(&with, CallKind::Verify, &response(Class::Misconfigured));
    assert_eq!(waits_until(&decision), with.now);
}

#[test]
fn retry_after_is_followed_within_bounds() {
    let (polling, attempt) = (polling(), drop_started());
    for (asked, waited) in [(90, 90), (0, 1), (86_400, 3_600)] {
        let response = GatewayResponse {
            retry_after: Some(Duration::from_secs(asked)),
            ..GatewayResponse::of(Class::Retryable, "429")
        };
        let context = context(&polling, &attempt);
        let decision = decide(&context, CallKind::Verify, &Ok(response));
        let expected = now() + TimeDelta::seconds(waited);
        assert_eq!(waits_until(&decision), expected, "{asked}");
    }
}

#[test]
fn each_wait_has_its_reason() {
    use PendingReason::{
        AwaitingGatewayResult, CheckingPreviousAttempt, NoGatewayAvailable, RateLimited, Retrying,
    };
    let (polling, attempt) = (polling(), drop_started());
    let lost = || Err(CallFailure::ResponseLost(LostResponse::default()));
    let rejected = || Err(CallFailure::Rejected { retry_after: None });
    for (kind, result, expected) in [
        (
            CallKind::Verify,
            response(Class::Pending),
            AwaitingGatewayResult,
        ),
        (CallKind::Verify, response(Class::Retryable), Retrying),
        (
            CallKind::Verify,
            response(Class::Inconclusive),
            NoGatewayAvailable,
        ),
        (CallKind::Verify, lost(), CheckingPreviousAttempt),
        (CallKind::Lookup, lost(), CheckingPreviousAttempt),
        (CallKind::Verify, rejected(), RateLimited),
    ] {
        match decide(&context(&polling, &attempt), kind, &result).next {
            Next::Wait { reason, .. } => assert_eq!(reason, expected, "{kind:?} {result:?}"),
            Next::Complete { .. } => panic!("{kind:?} {result:?}"),
        }
    }
}

#[test]
fn results_stored_before_account_types_were_reported_can_be_read() {
    let result = ValidationResult::from_plaintext(br#"{"n":"ASHA RAO","u":"1"}"#).unwrap();
    assert_eq!(result.name_at_bank.as_deref(), Some("ASHA RAO"));
    assert_eq!(result.account_type, None);
    let result = ValidationResult {
        account_type: Some(AccountType::Nro),
        ..result
    };
    let read = ValidationResult::from_plaintext(&result.to_plaintext()).unwrap();
    assert_eq!(read.account_type, Some(AccountType::Nro));
}

proptest! {
    #[test]
    fn a_decision_satisfies_the_check_constraints(
        class in 0usize..9, verify in any::<bool>(), lost in any::<bool>(), money in any::<bool>(),
        recovery in 0usize..3, polls in 0i16..50, setbacks in 0u32..400, past_deadline in any::<bool>(), pending in any::<bool>(),
        is_unclear in any::<bool>(), was_unclear in any::<bool>(),
    ) {
        let polling = polling();
        let method = if money { Method::PennyDrop } else { Method::VpaLookup };
        let state = if pending { AttemptState::Pending } else { AttemptState::Started };
        let code = was_unclear.then(|| UNCLEAR_RESPONSE.to_owned());
        let attempt = Attempt { code, polls, ..attempt(method, state) };
        let base = context(&polling, &attempt);
        let context = AttemptContext {
            deadline_at: if past_deadline { base.now } else { base.deadline_at },
            recovery: [Recovery::Lookup, Recovery::Resubmit, Recovery::None][recovery],
            setbacks, ..base
        };
        let result = match Class::ALL.get(class) {
            Some(class) => response(*class),
            None if class == 8 => Err(CallFailure::NotReceived),
            None if lost => Err(CallFailure::ResponseLost(LostResponse { is_unclear, ..LostResponse::default() })),
            None => Err(CallFailure::NotSent(String::new())),
        };
        let decision = decide(&context, if verify { CallKind::Verify } else { CallKind::Lookup }, &result);
        // The CHECK constraints of validation_attempts and validations.
        prop_assert_eq!(decision.attempt.state == AttemptState::Settled, decision.attempt.class.is_some_and(|c| c != Class::Pending || past_deadline));
        match decision.next {
            Next::Wait { until, pending, reason } => {
                prop_assert!(!past_deadline && until >= context.now && until <= context.deadline_at);
                let open = decision.attempt.state != AttemptState::Settled;
                prop_assert!(open || decision.attempt.class != Some(Class::Valid));
                prop_assert_eq!(pending, decision.attempt.state == AttemptState::Pending);
                prop_assert_eq!(pending, reason == PendingReason::AwaitingGatewayResult);
            }
            Next::Complete { outcome, failure } => {
                prop_assert_eq!(decision.attempt.state, AttemptState::Settled);
                prop_assert_eq!(failure.is_none(), outcome == Outcome::Valid);
            }
        }
    }
}

#[test]
fn a_lookup_that_finds_nothing_proves_nothing_until_a_late_call_has_arrived() {
    let polling = polling();
    let mut attempt = attempt(Method::PennyDrop, AttemptState::Unknown);
    for (seconds, code, waits) in [(15, "answer_lost", true), (90, "not_received", false)] {
        attempt.sent_at = now() - TimeDelta::seconds(seconds);
        let context = context(&polling, &attempt);
        let decision = decide(&context, CallKind::Lookup, &Err(CallFailure::NotReceived));
        assert_eq!(decision.attempt.state, AttemptState::Unknown);
        assert_eq!(decision.attempt.code, code);
        assert_eq!(waits_until(&decision) > context.now, waits);
    }
}

#[test]
fn a_call_that_may_still_arrive_is_made_again_only_where_a_repetition_is_refused() {
    let polling = polling();
    let mut attempt = attempt(Method::PennyDrop, AttemptState::Unknown);
    attempt.sent_at = now() - TimeDelta::seconds(2);
    let find = |late_calls| {
        let context = AttemptContext {
            late_calls,
            ..context(&polling, &attempt)
        };
        decide(&context, CallKind::Lookup, &Err(CallFailure::NotReceived))
    };
    let refuses_repeats = LateCalls {
        refuses_repeats: true,
        ..LateCalls::default()
    };
    let decision = find(refuses_repeats);
    let end = (decision.attempt.state, decision.attempt.code.as_str());
    assert_eq!(end, (AttemptState::Unknown, "not_yet_received"));
    assert_eq!(waits_until(&decision), now());
    // An operator who waits for less than a call needs gets a lost call, so that the next attempt is flagged.
    for (seconds, state) in [(2, AttemptState::Settled), (5, AttemptState::Unknown)] {
        let decision = find(LateCalls {
            given_up_after: Some(Duration::from_secs(seconds)),
            ..LateCalls::default()
        });
        assert_eq!(decision.attempt.code, "answer_lost");
        assert_eq!(decision.attempt.state, state);
    }
    // A lookup of a call that moves no money is believed at once.
    attempt.method = Method::VpaLookup;
    let context = context(&polling, &attempt);
    let decision = decide(&context, CallKind::Lookup, &Err(CallFailure::NotReceived));
    assert_eq!(decision.attempt.code, "not_received");
}

#[test]
fn the_patience_bounds_the_wait_that_a_gateway_asks_for() {
    let polling = polling();
    let rejected = Err(CallFailure::Rejected {
        retry_after: Some(Duration::from_hours(1)),
    });
    let until = now() + TimeDelta::seconds(90);
    for (state, waited) in [
        (AttemptState::Unknown, TimeDelta::seconds(90)),
        // A pending attempt is not given up, and its gateway not called before.
        (AttemptState::Pending, TimeDelta::hours(1)),
    ] {
        let attempt = attempt(Method::PennyDrop, state);
        let impatient = AttemptContext {
            recovered_until: Some(until),
            ..context(&polling, &attempt)
        };
        let decision = decide(&impatient, CallKind::Lookup, &rejected);
        assert_eq!(waits_until(&decision), now() + waited, "{state}");
    }
    // A failed poll of a pending attempt keeps its delay, although the patience is over.
    let attempt = attempt(Method::PennyDrop, AttemptState::Pending);
    let context = AttemptContext {
        recovered_until: Some(now() - TimeDelta::minutes(5)),
        ..context(&polling, &attempt)
    };
    let lost = Err(CallFailure::ResponseLost("time-out".into()));
    let decision = decide(&context, CallKind::Lookup, &lost);
    assert!(waits_until(&decision) > now());
}

#[test]
fn a_recovery_waits_no_longer_than_the_merchant_has_patience() {
    let polling = polling();
    let mut attempt = attempt(Method::PennyDrop, AttemptState::Unknown);
    attempt.polls = 9;
    for patience in [0, 7] {
        let impatient = AttemptContext {
            recovered_until: Some(now() + TimeDelta::seconds(patience)),
            ..context(&polling, &attempt)
        };
        let lost = Err(CallFailure::ResponseLost("time-out".into()));
        let decision = decide(&impatient, CallKind::Verify, &lost);
        assert_eq!(waits_until(&decision), now() + TimeDelta::seconds(patience));
    }
}

#[test]
fn an_end_without_an_outcome_has_the_reason_that_a_gateway_gave() {
    let closed = GatewayResponse {
        failure: Some(FailureCode::ImpsNotEnabled),
        ..GatewayResponse::of(Class::Inconclusive, "IMPS_MODE_FAIL")
    };
    let polling = PollSchedule::new(vec![Duration::from_secs(1)]).unwrap();
    let mut attempt = drop_started();
    let end = |attempt: &Attempt, result: CallResult| {
        let context = AttemptContext {
            now: now(),
            called_at: now(),
            deadline_at: now(),
            attempt,
            setbacks: 0,
            reason: None,
            alternative: false,
            recovery: Recovery::Lookup,
            late_calls: LateCalls::default(),
            recovered_until: None,
            polling: &polling,
            name_mismatch: false,
            jitter: 0.0,
        };
        decide(&context, CallKind::Verify, &result).next
    };
    let for_imps = undecided(Some(FailureCode::ImpsNotEnabled));
    assert_eq!(end(&attempt, Ok(closed)), for_imps);
    assert_eq!(
        end(&attempt, Ok(GatewayResponse::of(Class::Retryable, "DOWN"))),
        unavailable()
    );
    attempt.failure = Some(FailureCode::ImpsNotEnabled);
    assert_eq!(end(&attempt, Err(CallFailure::NotReceived)), for_imps);
    // An earlier attempt got the reason.
    let open = drop_started();
    let context = AttemptContext {
        deadline_at: now(),
        reason: Some(FailureCode::LimitReached),
        ..context(&polling, &open)
    };
    let lost = Err(CallFailure::ResponseLost(LostResponse::default()));
    let next = decide(&context, CallKind::Lookup, &lost).next;
    assert_eq!(next, undecided(Some(FailureCode::LimitReached)));
}
