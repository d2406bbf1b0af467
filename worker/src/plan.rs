//! What to do with a claimed validation: pure planning over what was read, done inside the claim's transaction so
//! that the attempt is written down before its call can be made.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use khata_shared::domain::gateway::ANSWER_LOST;
use khata_shared::domain::routing::{Candidate, Choice, Past, Unfit, choose};
use khata_shared::domain::validation::{AttemptState, Next, Outcome, unavailable};
use khata_shared::domain::{Class, Consent, Details, GatewayAccountId, Method, Recovery};
use khata_shared::store::validations::{Attempt, Claimed, NewAttempt};

use crate::directory::{Entries, Entry, find};

/// How soon a validation that nobody can be asked about is looked at again: an ops person may be adding a gateway.
const NOWHERE: Duration = Duration::from_secs(30);
/// Lost calls at a gateway that cannot look them up, after which it is not asked again.
const LOST_CALLS: usize = 2;

/// An attempt that is under way.
pub(crate) struct OpenAttempt {
    pub(crate) number: i16,
    pub(crate) reference: String,
    pub(crate) method: Method,
    pub(crate) state: AttemptState,
    pub(crate) polls: i16,
    pub(crate) gateway_reference: Option<String>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) entry: Arc<Entry>,
}

/// How the attempt goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Make the call.
    Verify,
    /// Make the same call again: its answer is lost.
    VerifyAgain,
    /// Ask what became of it; if the gateway has never seen it, make it.
    Recover,
    /// Ask for the outcome.
    Poll,
}

/// What to do.
pub(crate) enum Plan {
    /// Go on with an attempt.
    Attempt {
        attempt: OpenAttempt,
        first: Move,
        /// Settled attempts before this one.
        setbacks: u32,
        /// Whether another gateway account would be asked if this one cannot tell.
        alternative: bool,
    },
    /// Nobody needs to be asked, or nobody can be.
    Settle {
        next: Next,
        delay: Duration,
        why: String,
    },
}

/// A plan, with what must be written before it is followed.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) new_attempt: Option<NewAttempt>,
    pub(crate) given_up: Option<i16>,
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        Self {
            plan,
            new_attempt: None,
            given_up: None,
        }
    }
}

/// Plans. `details` is `None` where the sealed details do not open.
pub(crate) fn plan(
    claimed: &Claimed,
    details: Option<&Details>,
    consent: Option<&Consent>,
    past: &[Attempt],
    entries: &Entries,
    now: DateTime<Utc>,
) -> Planned {
    if claimed.account_is_deleted() {
        let next = Next::Complete {
            outcome: Outcome::Cancelled,
            failure: None,
        };
        return Plan::Settle {
            next,
            delay: Duration::ZERO,
            why: "the account was deleted".into(),
        }
        .into();
    }
    let Some(details) = details else {
        return nowhere(
            claimed,
            now,
            "the sealed details do not open: is a key missing in the keyring?".into(),
        );
    };
    let mut facts = Facts {
        claimed,
        details,
        consent,
        past,
        given_up: None,
        entries,
    };
    let Some(open) = past
        .last()
        .filter(|attempt| attempt.state() != AttemptState::Settled)
    else {
        return facts.begin(now);
    };
    let Some(entry) = find(entries, open.gateway_account()) else {
        return nowhere(
            claimed,
            now,
            "the gateway account of the attempt under way is gone".into(),
        );
    };
    let Ok(connector) = &entry.connector else {
        return nowhere(
            claimed,
            now,
            "the gateway account of the attempt under way has no working connector".into(),
        );
    };
    let first = match (open.state(), connector.recovery(details, open.method())) {
        (AttemptState::Pending, _) => Move::Poll,
        (_, Recovery::Lookup) => Move::Recover,
        (_, Recovery::Resubmit) => Move::VerifyAgain,
        (_, Recovery::None) => {
            facts.given_up = Some(open.number);
            return facts.begin(now);
        }
    };
    Plan::Attempt {
        setbacks: facts.setbacks(),
        alternative: facts.alternative(open.gateway_account()),
        first,
        attempt: OpenAttempt {
            number: open.number,
            reference: open.reference.clone(),
            method: open.method(),
            state: open.state(),
            polls: open.polls,
            gateway_reference: open.gateway_reference.clone(),
            started_at: open.started_at,
            entry,
        },
    }
    .into()
}

/// What a plan is made from.
struct Facts<'a> {
    claimed: &'a Claimed,
    details: &'a Details,
    consent: Option<&'a Consent>,
    past: &'a [Attempt],
    /// The open attempt whose answer is lost for good.
    given_up: Option<i16>,
    entries: &'a Entries,
}

impl<'a> Facts<'a> {
    /// A new attempt, wherever the routing says.
    fn begin(&self, now: DateTime<Utc>) -> Planned {
        let given_up = self.given_up;
        if now >= self.claimed.deadline_at {
            let why = "the deadline has passed".into();
            let plan = Plan::Settle {
                next: unavailable(),
                delay: Duration::ZERO,
                why,
            };
            return Planned {
                plan,
                new_attempt: None,
                given_up,
            };
        }
        let candidates = self.candidates();
        let (index, method, choice) =
            match choose(&candidates, &self.claimed.pin(), &self.settled()) {
                Choice::Use {
                    index,
                    method,
                    reason,
                } => (index, method, reason),
                Choice::Nowhere(why) => {
                    return Planned {
                        given_up,
                        ..nowhere(self.claimed, now, why)
                    };
                }
            };
        let chosen = candidates[index].id;
        let Some(entry) = find(self.entries, chosen) else {
            return Planned {
                given_up,
                ..nowhere(
                    self.claimed,
                    now,
                    "the chosen gateway account is gone".into(),
                )
            };
        };
        let number = self
            .past
            .last()
            .map_or(0, |attempt| attempt.number)
            .saturating_add(1);
        let reference = reference(self.claimed, number);
        let new_attempt = NewAttempt {
            key: self.claimed.key(),
            number,
            gateway_account: chosen,
            gateway_id: entry.gateway.id(),
            method,
            reference: reference.clone(),
            choice,
            possible_double_drop: method.moves_money()
                && self.past.last().is_some_and(|last| self.was_lost(last)),
        };
        let attempt = OpenAttempt {
            number,
            reference,
            method,
            state: AttemptState::Started,
            polls: 0,
            gateway_reference: None,
            started_at: now,
            entry,
        };
        let plan = Plan::Attempt {
            attempt,
            first: Move::Verify,
            setbacks: self.setbacks(),
            alternative: self.alternative(chosen),
        };
        Planned {
            plan,
            new_attempt: Some(new_attempt),
            given_up,
        }
    }

    /// Whether an attempt's rupee may have been dropped unseen.
    fn was_lost(&self, attempt: &Attempt) -> bool {
        let given_up = Some(attempt.number) == self.given_up;
        let settled_so = attempt.state() == AttemptState::Settled
            && attempt.code.as_deref() == Some(ANSWER_LOST);
        attempt.method().moves_money() && (given_up || settled_so)
    }

    /// The enabled gateway accounts; not fit where two calls were lost already.
    fn candidates(&self) -> Vec<Candidate<'a>> {
        let lost_at = |account| {
            self.past
                .iter()
                .filter(|attempt| attempt.gateway_account() == account && self.was_lost(attempt))
                .count()
        };
        self.entries
            .iter()
            .filter(|entry| entry.account.enabled)
            .map(|entry| {
                let candidate = entry.candidate(self.details, self.consent);
                if lost_at(candidate.id) < LOST_CALLS {
                    candidate
                } else {
                    Candidate {
                        fit: Err(Unfit::LostTwice),
                        ..candidate
                    }
                }
            })
            .collect()
    }

    /// The attempts that are over, the one given up among them.
    fn settled(&self) -> Vec<Past> {
        self.past
            .iter()
            .filter_map(|attempt| {
                let class = match attempt.state() {
                    AttemptState::Settled => attempt.class()?,
                    _ if Some(attempt.number) == self.given_up => Class::Retryable,
                    _ => return None,
                };
                Some(Past {
                    gateway_account: attempt.gateway_account(),
                    class,
                })
            })
            .collect()
    }

    fn setbacks(&self) -> u32 {
        u32::try_from(self.settled().len()).unwrap_or(u32::MAX)
    }

    /// Whether somebody else would be asked if `asked` could not tell.
    fn alternative(&self, asked: GatewayAccountId) -> bool {
        let mut then = self.settled();
        then.push(Past {
            gateway_account: asked,
            class: Class::Inconclusive,
        });
        let candidates = self.candidates();
        let tried = |id| {
            then.iter()
                .any(|past| past.gateway_account == id && past.class != Class::Retryable)
        };
        match choose(&candidates, &self.claimed.pin(), &then) {
            Choice::Use { index, .. } => !tried(candidates[index].id),
            Choice::Nowhere(_) => false,
        }
    }
}

/// Our reference at the gateway: the validation's id and the attempt's number, 31 characters `[a-z0-9_]`, which every
/// gateway takes (RazorpayX at most 36, Cashfree 40 for `user_id` and 50 for `verification_id`).
fn reference(claimed: &Claimed, number: i16) -> String {
    format!(
        "kh{}_{number:02}",
        khata_shared::domain::ids::encode(claimed.key().id.0)
    )
}

fn nowhere(claimed: &Claimed, now: DateTime<Utc>, why: String) -> Planned {
    if now >= claimed.deadline_at {
        return Plan::Settle {
            next: unavailable(),
            delay: Duration::ZERO,
            why,
        }
        .into();
    }
    let left = (claimed.deadline_at - now).to_std().unwrap_or_default();
    let delay = NOWHERE.min(left);
    let until = now + chrono::TimeDelta::from_std(delay).unwrap_or_default();
    Plan::Settle {
        next: Next::Wait {
            until,
            pending: false,
        },
        delay,
        why,
    }
    .into()
}

#[cfg(test)]
mod tests;
