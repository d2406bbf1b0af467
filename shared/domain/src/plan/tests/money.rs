//! A validation whose calls are lost, late or rejected, whose workers are killed and whose gateways fail: in any order of events,
//! no rupee is moved twice without a record.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::attempt::{CallKind, CallResult};
use crate::gateway::{CallFailure, LostResponse};
use crate::traffic::RateBudget;
use crate::validation::{AttemptContext, PollSchedule, decide};

/// The fate of a call that may move money.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// The gateway moves the rupee, and its response arrives.
    Answered(Class),
    /// The gateway receives the call after this number of seconds, and its response is lost.
    Lost(i64),
    NeverArrives,
    /// The gateway moves the rupee, and its response contradicts itself.
    Unclear,
    NotSent,
    /// The gateway rejects the call unread.
    Rejected,
    /// The worker is killed after it has sent the call.
    KilledAfter,
    /// The worker is killed before it sends the call.
    KilledBefore,
}

#[derive(Clone, Debug)]
struct Step {
    fate: Fate,
    is_lookup_lost: bool,
    sends_webhook: bool,
    /// The gateway account that an operator disables or enables.
    toggled: Option<usize>,
    /// The gateway account to which most calls fail now.
    down: Option<usize>,
    is_budget_used_up: bool,
    /// Seconds by which the next step comes later than planned.
    late: i64,
}

fn any_step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        3 => Just(Fate::Answered(Class::Inconclusive)),
        1 => Just(Fate::Answered(Class::Pending)),
        1 => Just(Fate::Answered(Class::Valid)),
        4 => (0i64..89).prop_map(Fate::Lost),
        3 => Just(Fate::NeverArrives),
        2 => Just(Fate::Unclear),
        1 => Just(Fate::NotSent),
        2 => Just(Fate::Rejected),
        2 => Just(Fate::KilledAfter),
        2 => Just(Fate::KilledBefore),
    ];
    let rare = |which| prop::option::weighted(which, 0usize..3);
    let flags = (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
    );
    (fate, flags, rare(0.1), rare(0.3), 0i64..40).prop_map(
        |(fate, (is_lookup_lost, sends_webhook, is_budget_used_up), toggled, down, late)| Step {
            fate,
            is_lookup_lost,
            sends_webhook,
            toggled,
            down,
            is_budget_used_up,
            late,
        },
    )
}

/// A kind of gateway: what it offers after a lost response, and whether an operator waits for less than a call needs.
fn any_kind() -> impl Strategy<Value = (Recovery, LateCalls)> {
    let late = |refuses_repeats, given_up_after| LateCalls {
        refuses_repeats,
        given_up_after,
        ..LateCalls::default()
    };
    prop_oneof![
        Just((Recovery::Lookup, late(false, None))),
        Just((Recovery::Lookup, late(true, None))),
        Just((Recovery::Lookup, late(false, Some(Duration::from_secs(2))))),
        Just((Recovery::Resubmit, late(false, None))),
        Just((Recovery::None, late(false, None))),
    ]
}

/// The gateways and the money.
#[derive(Default)]
struct World {
    /// Calls that arrive later: when, the attempt's reference.
    under_way: Vec<(DateTime<Utc>, String)>,
    /// The rupees moved for each reference.
    rupees: BTreeMap<String, u32>,
    /// References that their gateways refuse to take again.
    unique: BTreeSet<String>,
}

impl World {
    fn arrive(&mut self, reference: &str) {
        let rupees = self.rupees.entry(reference.to_owned()).or_default();
        if *rupees == 0 || !self.unique.contains(reference) {
            *rupees += 1;
        }
    }

    fn pass(&mut self, now: DateTime<Utc>) {
        let (arrived, later) = std::mem::take(&mut self.under_way)
            .into_iter()
            .partition(|(at, _): &(DateTime<Utc>, String)| *at <= now);
        self.under_way = later;
        for (_, reference) in arrived {
            self.arrive(&reference);
        }
    }

    fn has(&self, attempt: &Attempt) -> bool {
        self.rupees.contains_key(&attempt.reference)
    }
}

/// The stored rows beside the attempts.
#[derive(Default)]
struct Stored {
    flagged: BTreeSet<i16>,
    /// Penny drops counted against the budget.
    counted: u32,
    is_completed: bool,
}

fn response(attempt: &Attempt, class: Class) -> GatewayResponse {
    GatewayResponse {
        gateway_reference: Some(format!("of {}", attempt.reference)),
        ..GatewayResponse::of(class, "word")
    }
}

/// Makes the call of a plan; `None` if the worker is killed.
fn call(
    world: &mut World,
    case: &Case,
    attempt: &Attempt,
    action: NextAction,
    step: &Step,
) -> Option<(CallKind, CallResult)> {
    let lost = || Err(CallFailure::ResponseLost("time-out".into()));
    let unclear = || {
        Err(CallFailure::ResponseLost(LostResponse {
            is_unclear: true,
            ..LostResponse::default()
        }))
    };
    match action {
        NextAction::UseWebhook(response) => return Some((CallKind::Lookup, Ok(*response))),
        NextAction::Poll => {
            let mut webhooks = case.webhooks.iter();
            let is_accepted = attempt.state == AttemptState::Pending
                || webhooks.any(|webhook| webhook.number == attempt.number);
            let found = match (step.is_lookup_lost, world.has(attempt)) {
                // The gateway forgets a call that it has accepted.
                (true, true) if is_accepted && step.late % 3 == 0 => Err(CallFailure::NotReceived),
                (true, true) if step.late % 2 == 0 => unclear(),
                (true, _) => lost(),
                (false, true) => Ok(response(attempt, Class::Inconclusive)),
                (false, false) => Err(CallFailure::NotReceived),
            };
            return Some((CallKind::Lookup, found));
        }
        NextAction::Verify | NextAction::VerifyAgain => {}
    }
    let (is_again, was_there) = (action == NextAction::VerifyAgain, world.has(attempt));
    let reference = attempt.reference.clone();
    let result = match step.fate {
        Fate::KilledBefore => return None,
        Fate::KilledAfter => {
            world.arrive(&reference);
            return None;
        }
        Fate::Answered(class) => {
            world.arrive(&reference);
            if was_there {
                lost()
            } else {
                Ok(response(attempt, class))
            }
        }
        Fate::Lost(seconds) => {
            let at = case.now + TimeDelta::seconds(seconds);
            world.under_way.push((at, reference));
            world.pass(case.now);
            lost()
        }
        Fate::NeverArrives => lost(),
        Fate::Unclear => {
            world.arrive(&reference);
            unclear()
        }
        // As connectors do: a rejection of a second call says nothing about the first.
        Fate::NotSent | Fate::Rejected if is_again => lost(),
        Fate::NotSent => Err(CallFailure::NotSent("refused".into())),
        Fate::Rejected => Ok(GatewayResponse::of(Class::Retryable, "429")),
    };
    Some((CallKind::Verify, result))
}

/// Stores what a plan needs before its call, as the claim's transaction does.
fn store(case: &mut Case, stored: &mut Stored, planned: &Planned) {
    if let Some(number) = planned.given_up {
        let attempt = &mut case.attempts[usize::try_from(number).unwrap() - 1];
        attempt.state = AttemptState::Settled;
        attempt.class = Some(Class::Retryable);
        if attempt.code.as_deref() != Some(NOT_RECEIVED) {
            attempt.code = Some(RESPONSE_LOST.into());
        }
    }
    stored.counted += u32::from(planned.is_further_drop());
    let Plan::Attempt { attempt, .. } = &planned.plan else {
        return;
    };
    if let Some(new) = &planned.new_attempt {
        case.attempts.push(attempt.clone());
        if new.possible_double_drop {
            stored.flagged.insert(attempt.number);
        }
    } else if planned.sent_again.is_some() {
        *case.attempts.last_mut().unwrap() = attempt.clone();
    }
}

/// One step of a worker. Returns when the next one is due.
fn step(case: &mut Case, world: &mut World, stored: &mut Stored, step: &Step) -> DateTime<Utc> {
    let budgets = || {
        let mut budgets = RateBudgets::default();
        for index in 0..case.gateways.len() {
            let mut budget = RateBudget::new(case.now);
            if step.down == Some(index) {
                budget.circuit = budget.circuit.after(0, 10, case.now);
            }
            budgets.put(key(account(index)), budget, true);
        }
        budgets
    };
    let planned = case.plan_with(&mut budgets());
    store(case, stored, &planned);
    let settled = match planned.plan {
        Plan::Settle { next, .. } => next,
        Plan::Reuse => panic!("there is no earlier result"),
        Plan::Attempt {
            attempt,
            action,
            setbacks,
            reason,
            alternative,
            recovered_until,
        } => {
            let gateway =
                &case.gateways[usize::try_from(attempt.gateway_account.0.as_u128()).unwrap() - 1];
            let mut attempt = attempt;
            if gateway.recovery == Recovery::Resubmit || gateway.late_calls.refuses_repeats {
                world.unique.insert(attempt.reference.clone());
            }
            if !matches!(action, NextAction::Verify | NextAction::UseWebhook(_)) {
                attempt.polls += 1;
            }
            let Some((kind, result)) = call(world, case, &attempt, action, step) else {
                // The lease expires.
                return case.now + TimeDelta::seconds(30);
            };
            let polling = PollSchedule::new(vec![Duration::from_secs(90)]).unwrap();
            let context = AttemptContext {
                now: case.now,
                called_at: case.now,
                deadline_at: case.validation.deadline_at,
                attempt: &attempt,
                setbacks,
                reason,
                alternative,
                recovery: gateway.recovery,
                late_calls: gateway.late_calls,
                recovered_until,
                polling: &polling,
                name_mismatch: false,
                jitter: 0.5,
            };
            let decision = decide(&context, kind, &result);
            let row = case.attempts.last_mut().unwrap();
            row.polls = attempt.polls;
            row.state = decision.attempt.state;
            row.class = decision.attempt.class.or(row.class);
            row.code = Some(decision.attempt.code);
            if let Ok(response) = &result
                && response.gateway_reference.is_some()
            {
                row.gateway_reference
                    .clone_from(&response.gateway_reference);
            }
            decision.next
        }
    };
    match settled {
        Next::Wait { until, .. } => until,
        Next::Complete { outcome, .. } => {
            let last = case.attempts.last().map(|last| last.number);
            let mut webhooks = case.webhooks.iter();
            let unused =
                webhooks.any(|webhook| Some(webhook.number) == last && webhook.response.is_some());
            assert!(
                outcome != Outcome::Unavailable || !unused,
                "a stored outcome is used"
            );
            stored.is_completed = true;
            case.now
        }
    }
}

/// Stores a webhook about the newest attempt, if the gateway has received its call and the store takes it: a hint, or one with the
/// outcome.
fn send_webhook(case: &mut Case, world: &World, is_hint: bool) {
    let Some(last) = case.attempts.last().filter(|last| world.has(last)) else {
        return;
    };
    let given_up = [Some(RESPONSE_LOST), Some(NOT_RECEIVED)].contains(&last.code.as_deref());
    if last.state != AttemptState::Settled || given_up {
        let (number, response) = (
            last.number,
            (!is_hint).then(|| response(last, Class::Valid)),
        );
        case.webhooks.push(WebhookReceived { number, response });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_rupee_is_moved_twice_without_a_record(
        kinds in prop::collection::vec(any_kind(), 1..=3),
        steps in prop::collection::vec(any_step(), 1..40),
        patience in prop_oneof![Just(0u64), Just(30), Just(120)],
    ) {
        let mut case = case();
        case.bounds.recovery_patience = Duration::from_secs(patience);
        for (recovery, late_calls) in kinds {
            let change = |gateway: &mut TestGateway| gateway.late_calls = late_calls;
            case.gateway_with(Gateway::Cashfree, "main", recovery, change);
        }
        let (mut world, mut stored) = (World::default(), Stored::default());
        for next in &steps {
            if let Some(gateway) = next.toggled.and_then(|index| case.gateways.get_mut(index)) {
                gateway.enabled = !gateway.enabled;
            }
            case.budget_renewed_at = next.is_budget_used_up.then(|| case.now + TimeDelta::minutes(10));
            let due = step(&mut case, &mut world, &mut stored, next);
            if stored.is_completed {
                break;
            }
            case.now = due.max(case.now) + TimeDelta::seconds(next.late);
            world.pass(case.now);
            if next.sends_webhook {
                send_webhook(&mut case, &world, next.late % 2 == 0);
            }
        }
        world.pass(DateTime::<Utc>::MAX_UTC);
        let moved: u32 = world.rupees.values().sum();
        prop_assert!(moved as usize <= case.bounds.paid_attempts, "{} rupees", moved);
        prop_assert!(moved <= 1 + stored.counted, "{} rupees, {} further ones counted", moved, stored.counted);
        prop_assert!(world.rupees.values().all(|rupees| *rupees <= 1), "the same call paid twice");
        let paid: Vec<&Attempt> = case.attempts.iter().filter(|attempt| world.has(attempt)).collect();
        for (place, attempt) in paid.iter().enumerate().skip(1) {
            // A merchant sees the attempts whose gateways gave a result.
            let is_known = |prior: &&&Attempt| prior.class.is_some_and(|class| class != Class::Retryable);
            prop_assert!(
                paid[..place].iter().all(|prior| is_known(&prior)) || stored.flagged.contains(&attempt.number),
                "attempt {} paid too, and is not flagged: {:?}", attempt.number, case.attempts
            );
        }
    }
}
