//! Which of a merchant's gateway accounts is asked next. Pure: the caller brings every fact.

use chrono::{DateTime, TimeDelta, Utc};

use super::gateway::{Class, Gateway, Method};
use super::ids::GatewayAccountId;
use super::score::Score;
use super::traffic::Postponed;

/// Retryable answers from one gateway account before the next one is asked.
const RETRIES_BEFORE_FALLBACK: usize = 3;
/// Who could not tell is asked again after so long, if somebody whose turn came first is still not free.
const ASK_AGAIN: TimeDelta = TimeDelta::minutes(30);

/// Why a gateway account cannot take this account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ineligible {
    /// It does not validate this kind of account.
    #[error("does not validate this kind of account")]
    Kind,
    /// The details pass the gateway's own limits.
    #[error("the details are outside the gateway's limits")]
    Limits,
    /// Two calls of this validation were lost there and could not be looked up: a third might pay again.
    #[error("two calls were lost there beyond recovery")]
    LostTwice,
    /// There is no connector for it, or its settings or credentials do not make one.
    #[error("its settings make no working connector")]
    NoConnector,
}

/// One of the merchant's enabled gateway accounts, as it stands towards the account at hand.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Which.
    pub id: GatewayAccountId,
    /// At which gateway.
    pub gateway: Gateway,
    /// The merchant's name for it.
    pub reference_id: &'a str,
    /// Lower is asked first.
    pub priority: i16,
    /// Used only by a call that names its gateway.
    pub pinned_only: bool,
    /// The method it would use, or why it cannot.
    pub fit: Result<Method, Ineligible>,
    /// Whether it can be asked now: hours, health, remaining rate.
    pub room: Result<(), Postponed>,
    /// How it has told lately about accounts at the same bank.
    pub score: Score,
}

/// What the call asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// Juspay's gateway id.
    pub gateway_id: Option<i16>,
    /// The merchant's name for one account there.
    pub reference_id: Option<String>,
}

impl Pin {
    /// Whether the call leaves this candidate open.
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

/// A settled attempt of the same validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorAttempt {
    /// Whom it asked.
    pub gateway_account: GatewayAccountId,
    /// What came of it.
    pub class: Class,
    /// When it was begun.
    pub started_at: DateTime<Utc>,
}

/// The routing's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Ask this one.
    Use {
        /// Its place among the candidates.
        index: usize,
        /// How.
        method: Method,
        /// Why, for ops.
        reason: String,
    },
    /// Nobody can be asked now, but soon.
    Postpone {
        /// The place of the one that is free first.
        index: usize,
        /// When, and why not now.
        later: Postponed,
        /// Why nobody, for ops.
        reason: String,
    },
    /// Nobody can be asked until something is changed; why, for ops.
    NoCandidate(String),
}

/// Chooses: of the candidates that the call leaves open and that fit, those that can be asked now; of these by how
/// often each has already failed to tell (three retryable answers or one inconclusive or misconfigured answer make one
/// round), then by the merchant's priority, then by how well it told lately about the same bank. When everybody has
/// failed, the rounds begin again. Who could not tell is not asked again while somebody else's turn is still to come.
pub fn choose(
    candidates: &[Candidate<'_>],
    pin: &Pin,
    past: &[PriorAttempt],
    now: DateTime<Utc>,
) -> Choice {
    let open: Vec<_> = candidates
        .iter()
        .enumerate()
        .filter(|(_, c)| pin.allows(c.gateway, c.reference_id, c.pinned_only))
        .collect();
    if open.is_empty() {
        return Choice::NoCandidate(
            "the merchant has no enabled gateway account for this call".into(),
        );
    }
    let mut turns: Vec<Turn<'_>> = open
        .iter()
        .filter_map(|(index, candidate)| Turn::of(*index, candidate, past))
        .collect();
    let Some(first_round) = turns.iter().map(|turn| turn.round).min() else {
        let unfit = open.iter().filter_map(|(_, c)| Some((*c, c.fit.err()?)));
        let why: Vec<_> = unfit
            .map(|(c, why)| format!("{}: {why}", named(c)))
            .collect();
        return Choice::NoCandidate(why.join("; "));
    };
    for turn in &mut turns {
        if turn.round > first_round
            && let Some(at) = turn
                .could_not_tell
                .map(|at| at + ASK_AGAIN)
                .filter(|at| *at > now)
            && turn.room.is_ok()
        {
            turn.room = Err(Held::BehindOthers(at));
        }
    }
    turns.sort_by_key(|turn| {
        let candidate = turn.candidate;
        (
            turn.round,
            candidate.priority,
            candidate.score.rank(now),
            turn.index,
        )
    });
    let free = turns.iter().position(|turn| turn.room.is_ok());
    let passed_over: Vec<_> = turns[..free.unwrap_or(turns.len())]
        .iter()
        .filter_map(|turn| Some(format!("{}: {}", named(turn.candidate), turn.room.err()?)))
        .collect();
    let because = |why: String| {
        let all: Vec<_> = std::iter::once(why).chain(passed_over).collect();
        all.join("; ")
    };
    if let Some(place) = free {
        let turn = &turns[place];
        return Choice::Use {
            index: turn.index,
            method: turn.method,
            reason: because(turn.why(pin, past, &turns, now)),
        };
    }
    let soonest = turns
        .iter()
        .filter_map(|turn| match turn.room {
            Err(Held::Not(later)) => Some((turn.index, later)),
            _ => None,
        })
        .min_by_key(|(_, later)| later.at);
    match soonest {
        Some((index, later)) => Choice::Postpone {
            index,
            later,
            reason: because("nobody can be asked now".to_owned()),
        },
        // Only who has a turn before others is held behind them, and those others have room.
        None => Choice::NoCandidate("everybody waits for everybody".into()),
    }
}

/// A candidate that fits, and its place in the order.
struct Turn<'a> {
    index: usize,
    candidate: &'a Candidate<'a>,
    method: Method,
    round: usize,
    /// When it was last asked and could not tell.
    could_not_tell: Option<DateTime<Utc>>,
    room: Result<(), Held>,
}

/// Why a candidate's turn has not come.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum Held {
    #[error("{} until {}", .0.why, .0.at.format("%H:%M:%S"))]
    Not(Postponed),
    #[error("it could not tell; until {} others come first", .0.format("%H:%M:%S"))]
    BehindOthers(DateTime<Utc>),
}

impl<'a> Turn<'a> {
    fn of(index: usize, candidate: &'a Candidate<'a>, past: &[PriorAttempt]) -> Option<Self> {
        let here = past
            .iter()
            .filter(|past| past.gateway_account == candidate.id);
        let (mut retryable, mut could_not_tell, mut last) = (0, 0, None);
        for attempt in here {
            if attempt.class == Class::Retryable {
                retryable += 1;
            } else {
                could_not_tell += 1;
                last = last.max(Some(attempt.started_at));
            }
        }
        Some(Self {
            index,
            candidate,
            method: candidate.fit.ok()?,
            round: retryable / RETRIES_BEFORE_FALLBACK + could_not_tell,
            could_not_tell: last,
            room: candidate.room.map_err(Held::Not),
        })
    }

    /// Why it is its turn. What its rank added is told where others had the same priority.
    fn why(&self, pin: &Pin, past: &[PriorAttempt], turns: &[Self], now: DateTime<Utc>) -> String {
        if pin.gateway_id.is_some() {
            return "named by the call".to_owned();
        }
        let priority = self.candidate.priority;
        let was_asked = past
            .iter()
            .any(|past| past.gateway_account == self.candidate.id);
        let others_were = past
            .iter()
            .any(|past| past.gateway_account != self.candidate.id);
        let base = match self.round {
            0 if was_asked => "tried again".to_owned(),
            0 if others_were => format!("others could not tell; priority {priority}"),
            0 => format!("first by priority {priority}"),
            round => format!("round {} after all failed to tell", round + 1),
        };
        let peers = turns.iter().filter(|turn| {
            turn.index != self.index
                && turn.round == self.round
                && turn.candidate.priority == priority
        });
        let told = |candidate: &Candidate<'_>| {
            let score = &candidate.score;
            let latency = score
                .latency_ms
                .map_or(String::new(), |ms| format!(" in {ms:.0} ms"));
            format!("told {:.0} % lately{latency}", 100.0 * score.success(now))
        };
        let peers: Vec<_> = peers
            .map(|turn| format!("{} {}", named(turn.candidate), told(turn.candidate)))
            .collect();
        if peers.is_empty() {
            base
        } else {
            format!("{base}, {} ({})", told(self.candidate), peers.join(", "))
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
            fit: Ok(Method::PennyDrop),
            room: Ok(()),
            score: Score::new(now()),
        }
    }

    fn at(n: u128, class: Class) -> PriorAttempt {
        PriorAttempt {
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
    fn priority_decides_and_pinned_only_waits_to_be_named() {
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
    fn three_retryables_or_one_inconclusive_move_on() {
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
    fn who_is_down_is_passed_over_and_said_so() {
        let mut all = [
            candidate(1, Gateway::Razorpay, 1, false),
            candidate(2, Gateway::Cashfree, 2, false),
        ];
        all[0].room = down(10);
        let choice = of(&all, &[]);
        assert_eq!(used(&choice), Some(1));
        assert_eq!(
            reason(choice),
            "first by priority 2; RAZORPAY main: it is down until 08:00:10"
        );
        all[1].room = down(5);
        let Choice::Postpone { index, later, .. } = of(&all, &[]) else {
            panic!("both are down")
        };
        assert_eq!((index, later.at), (1, now() + TimeDelta::seconds(5)));
    }

    #[test]
    fn who_could_not_tell_waits_for_others_turn_and_who_was_down_does_not() {
        let mut all = [
            candidate(1, Gateway::Razorpay, 1, false),
            candidate(2, Gateway::Cashfree, 2, false),
        ];
        all[1].room = down(60);
        // It cannot tell, and each drop costs: Cashfree's turn comes first.
        let choice = of(&all, &[at(1, Class::Inconclusive)]);
        assert!(
            matches!(choice, Choice::Postpone { index: 1, .. }),
            "{choice:?}"
        );
        // Nobody said anything about the account: it may be otherwise now.
        assert_eq!(used(&of(&all, &[at(1, Class::Retryable); 3])), Some(0));
        let long_ago = PriorAttempt {
            started_at: now() - TimeDelta::hours(1),
            ..at(1, Class::Inconclusive)
        };
        assert_eq!(used(&of(&all, &[long_ago])), Some(0));
    }

    #[test]
    fn among_equals_the_one_that_tells_better_is_asked() {
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
            reason.contains("told 100 % lately in 300 ms (RAZORPAY main told 53 % lately"),
            "{reason}"
        );
        // But never before priority.
        all[1].priority = 2;
        assert_eq!(used(&of(&all, &[])), Some(0));
    }

    prop_compose! {
        fn any_candidate()(
            n in 0u128..6, gateway in 0usize..6, priority in 0i16..4, pinned_only in any::<bool>(), fit in any::<bool>(),
            room in 0i64..4, told in 0u32..30, failed in 0u32..30, latency in 1.0f64..60_000.0,
        ) -> Candidate<'static> {
            Candidate {
                fit: if fit { Ok(Method::PennyDrop) } else { Err(Ineligible::Limits) },
                room: if room == 0 { Ok(()) } else { down(room) },
                score: Score::new(now()).after(told, failed, Some(latency), now()),
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
        fn a_choice_is_open_fit_and_free(
            all in proptest::collection::vec(any_candidate(), 0..6),
            pinned in proptest::option::of(0usize..6),
            past in proptest::collection::vec(any_past(), 0..12),
        ) {
            let pin = Pin { gateway_id: pinned.map(|index| Gateway::ALL[index].id()), reference_id: None };
            let usable = |c: &Candidate<'_>| pin.allows(c.gateway, c.reference_id, c.pinned_only) && c.fit.is_ok();
            match choose(&all, &pin, &past, now()) {
                Choice::Use { index, reason, .. } => {
                    prop_assert!(usable(&all[index]) && all[index].room.is_ok());
                    prop_assert!(!reason.is_empty());
                    let tried = |c: &Candidate<'_>| past.iter().any(|p| p.gateway_account == c.id);
                    if !tried(&all[index]) {
                        // Nobody else who is free, untried and more wanted was passed over.
                        let better = all.iter().filter(|c| usable(c) && c.room.is_ok() && !tried(c));
                        prop_assert!(better.min_by_key(|c| c.priority).is_some_and(|c| c.priority >= all[index].priority));
                    }
                }
                Choice::Postpone { index, later, .. } => {
                    prop_assert!(usable(&all[index]));
                    prop_assert_eq!(all[index].room, Err(later));
                    prop_assert!(later.at > now());
                    // Nobody who has not been asked yet could be asked.
                    prop_assert!(!all.iter().any(|c| usable(c) && c.room.is_ok() && past.iter().all(|p| p.gateway_account != c.id)));
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
