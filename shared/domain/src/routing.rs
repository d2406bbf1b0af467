//! Routing: chooses the gateway account for the next attempt.

use chrono::{DateTime, TimeDelta, Utc};

use crate::gateway::{Gateway, Method};
use crate::ids::GatewayAccountId;
use crate::outcome::Class;
use crate::score::Score;
use crate::traffic::Postponed;

/// Retryable results of one gateway account before the next one is tried.
const RETRIES_BEFORE_FALLBACK: usize = 3;
/// Delay after which a gateway account that could not decide is tried again while a preferred one is still unavailable.
const RETRY_DELAY: TimeDelta = TimeDelta::minutes(30);

/// Why a gateway account cannot validate this account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ineligible {
    #[error("does not validate this kind of account")]
    Kind,
    #[error("the details are outside the gateway's limits")]
    Limits,
    /// The responses to two calls of this validation were lost and cannot be looked up: a third call might pay again.
    #[error("the responses to two calls were lost and cannot be looked up")]
    LostTwice,
    /// Another call might move more rupees than the merchant allows for one validation.
    #[error("the validation has made all penny drops that the merchant allows")]
    PaidEnough,
    /// The call might move a further rupee of this validation, and the merchant's penny drops of this day are used up.
    #[error("the merchant's penny drops of this day are used up")]
    BudgetUsedUp,
    /// Its only method is a penny drop, which is paid by IMPS.
    #[error("it pays penny drops by IMPS, which this bank does not take")]
    WithoutImps,
    /// There is no connector for it, or its settings or credentials are invalid.
    #[error("its settings or credentials are invalid")]
    NoConnector,
}

/// An enabled gateway account of the merchant, in relation to the account to validate.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    pub id: GatewayAccountId,
    pub gateway: Gateway,
    /// The merchant's name for it.
    pub reference_id: &'a str,
    /// The lowest is tried first.
    pub priority: i16,
    /// Used only by calls that name its gateway.
    pub pinned_only: bool,
    /// The method it would use.
    pub eligibility: Result<Method, Ineligible>,
    /// Whether it can make a call now: hours, health, quota.
    pub availability: Result<(), Postponed>,
    /// Recent results for accounts at the same bank.
    pub score: Score,
}

/// The gateway account that the merchant's call names, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// Juspay's gateway id.
    pub gateway_id: Option<i16>,
    /// The merchant's name for one account there.
    pub reference_id: Option<String>,
}

impl Pin {
    /// Whether the call allows this gateway account.
    pub fn allows(&self, gateway: Gateway, reference_id: &str, pinned_only: bool) -> bool {
        match self.gateway_id {
            None => !pinned_only,
            Some(id) => {
                id == gateway.id()
                    && self
                        .reference_id
                        .as_deref()
                        .is_none_or(|wanted| wanted == reference_id)
            }
        }
    }
}

/// An attempt of the same validation that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorAttempt {
    pub gateway_account: GatewayAccountId,
    pub class: Class,
    /// The attempt may have moved a rupee.
    pub may_have_paid: bool,
    pub started_at: DateTime<Utc>,
}

/// The result of the routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Try this one.
    Use {
        /// Index among the candidates.
        index: usize,
        method: Method,
        /// Why, for operators.
        reason: String,
    },
    /// No candidate is available now; one will be.
    Postpone {
        /// Index of the candidate that is available first.
        index: usize,
        later: Postponed,
        /// Why none is available, for operators.
        reason: String,
    },
    /// No candidate until an operator changes something; why, for operators.
    NoCandidate(String),
}

/// Chooses among the candidates that the call allows, that are eligible and available. The order is: first the number of
/// rounds in which each has already failed (three retryable results without a rupee, or one result of any other class,
/// make one round), then the merchant's priority, then recent results for the same bank. After all have failed, the next
/// round begins. A candidate that could not decide is not tried again while another one is still due in this round.
pub fn choose(
    candidates: &[Candidate<'_>],
    pin: &Pin,
    past: &[PriorAttempt],
    now: DateTime<Utc>,
) -> Choice {
    let allowed: Vec<_> = candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| pin.allows(c.gateway, c.reference_id, c.pinned_only))
        .collect();
    if allowed.is_empty() {
        return Choice::NoCandidate(
            "the merchant has no enabled gateway account for this call".into(),
        );
    }
    let mut turns: Vec<Turn<'_>> = allowed
        .iter()
        .filter_map(|(index, candidate)| Turn::of(*index, candidate, past))
        .collect();
    let Some(first_round) = turns.iter().map(|turn| turn.round).min() else {
        let ineligible = allowed.iter().filter_map(|(_, candidate)| {
            let why = candidate.eligibility.err()?;
            Some(format!("{}: {why}", named(candidate)))
        });
        return Choice::NoCandidate(ineligible.collect::<Vec<_>>().join("; "));
    };
    put_in_order(&mut turns, first_round, now);
    let first_available = turns.iter().position(|turn| turn.availability.is_ok());
    let because = |why: String| {
        let skipped = turns[..first_available.unwrap_or(turns.len())].iter();
        let skipped = skipped.filter_map(|turn| {
            let held = turn.availability.err()?;
            Some(format!("{}: {held}", named(turn.candidate)))
        });
        let all: Vec<_> = std::iter::once(why).chain(skipped).collect();
        all.join("; ")
    };
    if let Some(index) = first_available {
        let turn = &turns[index];
        return Choice::Use {
            index: turn.index,
            method: turn.method,
            reason: because(turn.why(pin, past, &turns, now)),
        };
    }
    let soonest = turns
        .iter()
        .filter_map(|turn| match turn.availability {
            Err(Held::Postponed(later)) => Some((turn.index, later)),
            _ => None,
        })
        .min_by_key(|(_, later)| later.at);
    match soonest {
        Some((index, later)) => Choice::Postpone {
            index,
            later,
            reason: because("no gateway account is available now".to_owned()),
        },
        // Cannot happen: a candidate is held behind others only while one of them is due.
        None => Choice::NoCandidate("every gateway account waits for another one".into()),
    }
}

/// Sorts the candidates, and holds back those that could not decide while another one is due in the first round.
fn put_in_order(turns: &mut [Turn<'_>], first_round: usize, now: DateTime<Utc>) {
    for turn in turns.iter_mut() {
        let retry_at = turn.inconclusive_at.map(|at| at + RETRY_DELAY);
        if turn.round > first_round
            && turn.availability.is_ok()
            && let Some(at) = retry_at.filter(|at| *at > now)
        {
            turn.availability = Err(Held::BehindOthers(at));
        }
    }
    turns.sort_by_key(|turn| {
        let candidate = turn.candidate;
        let rank = candidate.score.rank(now);
        (turn.round, candidate.priority, rank, turn.index)
    });
}

/// An eligible candidate, and its position in the order.
struct Turn<'a> {
    index: usize,
    candidate: &'a Candidate<'a>,
    method: Method,
    round: usize,
    /// Start of its last attempt that could not decide.
    inconclusive_at: Option<DateTime<Utc>>,
    availability: Result<(), Held>,
}

/// Why a candidate is not tried now.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Held {
    #[error("{} until {}", .0.why, .0.at.format("%H:%M:%S"))]
    Postponed(Postponed),
    #[error("it could not decide; others are preferred until {}", .0.format("%H:%M:%S"))]
    BehindOthers(DateTime<Utc>),
}

impl<'a> Turn<'a> {
    fn of(index: usize, candidate: &'a Candidate<'a>, past: &[PriorAttempt]) -> Option<Self> {
        let here = past
            .iter()
            .filter(|past| past.gateway_account == candidate.id);
        let (mut retryable, mut inconclusive, mut last) = (0, 0, None);
        for attempt in here {
            // A second rupee is spent at another gateway account first.
            if attempt.class == Class::Retryable && !attempt.may_have_paid {
                retryable += 1;
            } else {
                inconclusive += 1;
                last = last.max(Some(attempt.started_at));
            }
        }
        Some(Self {
            index,
            candidate,
            method: candidate.eligibility.ok()?,
            round: retryable / RETRIES_BEFORE_FALLBACK + inconclusive,
            inconclusive_at: last,
            availability: candidate.availability.map_err(Held::Postponed),
        })
    }

    /// Returns why it is the next one. Recent results are mentioned if others have the same priority.
    fn why(&self, pin: &Pin, past: &[PriorAttempt], turns: &[Self], now: DateTime<Utc>) -> String {
        if pin.gateway_id.is_some() {
            return "named by the call".to_owned();
        }
        let priority = self.candidate.priority;
        let was_tried = past
            .iter()
            .any(|past| past.gateway_account == self.candidate.id);
        let others_were_tried = past
            .iter()
            .any(|past| past.gateway_account != self.candidate.id);
        let base = match self.round {
            0 if was_tried => "tried again".to_owned(),
            0 if others_were_tried => format!("others could not decide; priority {priority}"),
            0 => format!("first by priority {priority}"),
            round => format!("round {} after none could decide", round + 1),
        };
        let peers = turns.iter().filter(|turn| {
            turn.index != self.index
                && turn.round == self.round
                && turn.candidate.priority == priority
        });
        let results = |candidate: &Candidate<'_>| {
            let score = &candidate.score;
            let latency = score
                .latency_ms
                .map_or(String::new(), |ms| format!(" in {ms:.0} ms"));
            format!(
                "{:.0} % decided recently{latency}",
                100.0 * score.success(now)
            )
        };
        let peers: Vec<_> = peers
            .map(|turn| format!("{} {}", named(turn.candidate), results(turn.candidate)))
            .collect();
        if peers.is_empty() {
            base
        } else {
            format!("{base}, {} ({})", results(self.candidate), peers.join(", "))
        }
    }
}

fn named(candidate: &Candidate<'_>) -> String {
    format!("{} {}", candidate.gateway, candidate.reference_id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::traffic::PostponeReason;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn candidate(
        n: u128,
        gateway: Gateway,
        priority: i16,
        pinned_only: bool,
    ) -> Candidate<'static> {
        Candidate {
            id: GatewayAccountId(Uuid::from_u128(n)),
            gateway,
            reference_id: "main",
            priority,
            pinned_only,
            eligibility: Ok(Method::PennyDrop),
            availability: Ok(()),
            score: Score::new(now()),
        }
    }

    fn at(n: u128, class: Class) -> PriorAttempt {
        PriorAttempt {
            may_have_paid: false,
            gateway_account: GatewayAccountId(Uuid::from_u128(n)),
            class,
            started_at: now(),
        }
    }

    fn down(seconds: i64) -> Result<(), Postponed> {
        Err(Postponed {
            at: now() + TimeDelta::seconds(seconds),
            why: PostponeReason::Down,
        })
    }

    fn used(choice: &Choice) -> Option<usize> {
        match choice {
            Choice::Use { index, .. } => Some(*index),
            _ => None,
        }
    }

    fn reason(choice: Choice) -> String {
        match choice {
            Choice::Use { reason, .. }
            | Choice::Postpone { reason, .. }
            | Choice::NoCandidate(reason) => reason,
        }
    }

    fn of(candidates: &[Candidate<'_>], past: &[PriorAttempt]) -> Choice {
        choose(candidates, &Pin::default(), past, now())
    }

    #[test]
    fn priority_decides_and_a_pinned_only_candidate_has_to_be_named() {
        let all = [
            candidate(1, Gateway::Dummy, 1, true),
            candidate(2, Gateway::Cashfree, 5, false),
        ];
        assert_eq!(used(&of(&all, &[])), Some(1));
        let pin = Pin {
            gateway_id: Some(100),
            reference_id: None,
        };
        assert_eq!(used(&choose(&all, &pin, &[], now())), Some(0));
        let elsewhere = Pin {
            gateway_id: Some(100),
            reference_id: Some("other".into()),
        };
        assert_eq!(used(&choose(&all, &elsewhere, &[], now())), None);
    }

    #[test]
    fn three_retryable_results_or_one_inconclusive_result_make_a_round() {
        let all = [
            candidate(1, Gateway::Cashfree, 1, false),
            candidate(2, Gateway::Setu, 2, false),
        ];
        let retry = at(1, Class::Retryable);
        assert_eq!(used(&of(&all, &[retry, retry])), Some(0));
        assert_eq!(used(&of(&all, &[retry; 3])), Some(1));
        assert_eq!(used(&of(&all, &[at(1, Class::Inconclusive)])), Some(1));
        let both = [at(1, Class::Misconfigured), at(2, Class::Inconclusive)];
        assert_eq!(used(&of(&all, &both)), Some(0));
    }

    #[test]
    fn a_gateway_that_is_down_is_skipped_and_the_reason_names_it() {
        let mut all = [
            candidate(1, Gateway::Razorpay, 1, false),
            candidate(2, Gateway::Cashfree, 2, false),
        ];
        all[0].availability = down(10);
        let choice = of(&all, &[]);
        assert_eq!(used(&choice), Some(1));
        assert_eq!(
            reason(choice),
            "first by priority 2; RAZORPAY main: it is down until 08:00:10"
        );
        all[1].availability = down(5);
        let Choice::Postpone { index, later, .. } = of(&all, &[]) else {
            panic!("both are down")
        };
        assert_eq!((index, later.at), (1, now() + TimeDelta::seconds(5)));
    }

    #[test]
    fn after_an_inconclusive_result_others_are_preferred_and_after_an_outage_not() {
        let mut all = [
            candidate(1, Gateway::Razorpay, 1, false),
            candidate(2, Gateway::Cashfree, 2, false),
        ];
        all[1].availability = down(60);
        // The first one cannot decide, and each drop costs: Cashfree is preferred.
        let choice = of(&all, &[at(1, Class::Inconclusive)]);
        assert!(
            matches!(choice, Choice::Postpone { index: 1, .. }),
            "{choice:?}"
        );
        // A temporary failure says nothing about the account: the next call may succeed.
        assert_eq!(used(&of(&all, &[at(1, Class::Retryable); 3])), Some(0));
        let long_ago = PriorAttempt {
            started_at: now() - TimeDelta::hours(1),
            ..at(1, Class::Inconclusive)
        };
        assert_eq!(used(&of(&all, &[long_ago])), Some(0));
    }

    #[test]
    fn at_equal_priority_the_one_with_better_recent_results_is_chosen() {
        let mut all = [
            candidate(1, Gateway::Razorpay, 1, false),
            candidate(2, Gateway::Cashfree, 1, false),
        ];
        all[0].score = Score::new(now()).after(20, 20, Some(300.0), now());
        all[1].score = Score::new(now()).after(40, 0, Some(300.0), now());
        let choice = of(&all, &[]);
        assert_eq!(used(&choice), Some(1));
        let reason = reason(choice);
        assert!(
            reason
                .contains("100 % decided recently in 300 ms (RAZORPAY main 53 % decided recently"),
            "{reason}"
        );
        // But never before priority.
        all[1].priority = 2;
        assert_eq!(used(&of(&all, &[])), Some(0));
    }

    prop_compose! {
        fn any_candidate()(
            n in 0u128..6, gateway in 0usize..6, priority in 0i16..4, pinned_only in any::<bool>(), eligible in any::<bool>(),
            wait in 0i64..4, decided in 0u32..30, failed in 0u32..30, latency in 1.0f64..60_000.0,
        ) -> Candidate<'static> {
            Candidate {
                eligibility: if eligible { Ok(Method::PennyDrop) } else { Err(Ineligible::Limits) },
                availability: if wait == 0 { Ok(()) } else { down(wait) },
                score: Score::new(now()).after(decided, failed, Some(latency), now()),
                ..candidate(n, Gateway::ALL[gateway], priority, pinned_only)
            }
        }
    }

    prop_compose! {
        fn any_past()(n in 0u128..6, class in 0usize..7, minutes in 0i64..120) -> PriorAttempt {
            PriorAttempt { started_at: now() - TimeDelta::minutes(minutes), ..at(n, Class::ALL[class]) }
        }
    }

    proptest! {
        #[test]
        fn a_chosen_candidate_is_allowed_eligible_and_available(
            all in proptest::collection::vec(any_candidate(), 0..6),
            pinned in proptest::option::of(0usize..6),
            past in proptest::collection::vec(any_past(), 0..12),
        ) {
            let pin = Pin { gateway_id: pinned.map(|index| Gateway::ALL[index].id()), reference_id: None };
            let usable = |c: &Candidate<'_>| pin.allows(c.gateway, c.reference_id, c.pinned_only) && c.eligibility.is_ok();
            match choose(&all, &pin, &past, now()) {
                Choice::Use { index, reason, .. } => {
                    prop_assert!(usable(&all[index]) && all[index].availability.is_ok());
                    prop_assert!(!reason.is_empty());
                    let tried = |c: &Candidate<'_>| past.iter().any(|p| p.gateway_account == c.id);
                    if !tried(&all[index]) {
                        // No available, untried candidate of lower priority was skipped.
                        let better = all.iter().filter(|c| usable(c) && c.availability.is_ok() && !tried(c));
                        prop_assert!(better.min_by_key(|c| c.priority).is_some_and(|c| c.priority >= all[index].priority));
                    }
                }
                Choice::Postpone { index, later, .. } => {
                    prop_assert!(usable(&all[index]));
                    prop_assert_eq!(all[index].availability, Err(later));
                    prop_assert!(later.at > now());
                    // No untried candidate is available.
                    prop_assert!(!all.iter().any(|c| usable(c) && c.availability.is_ok() && past.iter().all(|p| p.gateway_account != c.id)));
                }
                Choice::NoCandidate(why) => {
                    prop_assert!(!all.iter().any(usable), "{}", why);
                }
            }
        }

        #[test]
        fn the_order_of_the_candidates_does_not_matter(
            all in proptest::collection::vec(any_candidate(), 1..6),
            past in proptest::collection::vec(any_past(), 0..6),
        ) {
            let mut all = all;
            for (place, candidate) in all.iter_mut().enumerate() {
                candidate.priority = i16::try_from(place).unwrap();
            }
            let chosen = |all: &[Candidate<'_>]| match of(all, &past) {
                Choice::Use { index, .. } => Some(all[index].priority),
                _ => None,
            };
            let forward = chosen(&all);
            all.reverse();
            prop_assert_eq!(chosen(&all), forward);
        }
    }
}
