//! What to do with a claimed validation: pure planning over what was read, done inside the claim's transaction so
//! that the attempt is written down, and the room for its call taken, before the call can be made.

mod budgets;
mod course;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use khata_domain::score::Bank;
use khata_domain::traffic::{PostponeReason, Postponed, Traffic};
use khata_domain::validation::{AttemptState, Next, Outcome, unavailable};
use khata_domain::{
    Class, Consent, Details, GatewayAccountId, GatewayResponse, Method, PendingReason, Recovery,
    ValidationId,
};
use khata_store::validations::{Attempt, Claimed, NewAttempt, Slot};

use crate::directory::{Entry, MerchantView};
pub(crate) use budgets::RateBudgets;
use course::Course;

/// How soon a validation that nobody can be asked about is looked at again: an ops person may be adding a gateway.
const NO_GATEWAY_RETRY: Duration = Duration::from_secs(30);
/// Over so long those that wait for a gateway to come back are spread: it is not run over by all of them.
const SPREAD: Duration = Duration::from_secs(10);

/// An attempt that is under way.
pub(crate) struct OpenAttempt {
    pub(crate) number: i16,
    pub(crate) reference: String,
    pub(crate) method: Method,
    pub(crate) state: AttemptState,
    pub(crate) polls: i16,
    pub(crate) gateway_reference: Option<String>,
    pub(crate) started_at: DateTime<Utc>,
    /// It was begun just now, and the rupee of the one before it may have been dropped.
    pub(crate) may_drop_twice: bool,
    pub(crate) entry: Arc<Entry>,
}

/// How the attempt goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// Make the call.
    Verify,
    /// Make the same call again: its answer is lost.
    VerifyAgain,
    /// Ask what became of it; if the gateway has never seen it, make it.
    Recover,
    /// Ask for the outcome.
    Poll,
    /// The gateway has called back with the outcome.
    UseWebhook(Box<GatewayResponse>),
}

impl NextAction {
    /// Calls that it may take, one after the other.
    fn calls(&self) -> u32 {
        match self {
            Self::UseWebhook(_) => 0,
            Self::Verify | Self::VerifyAgain | Self::Poll => 1,
            Self::Recover => 2,
        }
    }
}

/// What to do.
pub(crate) enum Plan {
    /// Go on with an attempt.
    Attempt {
        attempt: OpenAttempt,
        first: NextAction,
        /// Settled attempts before this one.
        setbacks: u32,
        /// Whether another gateway account would be asked if this one cannot tell.
        alternative: bool,
    },
    /// An earlier result is the answer.
    Reuse,
    /// Nobody needs to be asked, or nobody can be.
    Settle {
        next: Next,
        delay: Duration,
        /// The call that is booked.
        slot: Option<Slot>,
        why: String,
        /// Who would be asked but cannot be now, and why not.
        held_up: Option<(Arc<Entry>, PostponeReason)>,
        /// Whether people have to do something about it.
        is_alarming: bool,
    },
}

/// A plan, with what must be written before it is followed.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) new_attempt: Option<NewAttempt>,
    pub(crate) given_up: Option<i16>,
}

impl Plan {
    /// It ends without anybody being asked.
    fn ends(next: Next, why: &str) -> Self {
        Self::Settle {
            next,
            delay: Duration::ZERO,
            slot: None,
            why: why.to_owned(),
            held_up: None,
            is_alarming: false,
        }
    }
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

/// What a gateway has called back with about an attempt.
pub(crate) struct Notice {
    pub(crate) number: i16,
    /// `None`: there is an outcome, and it is to be asked for.
    pub(crate) answer: Option<GatewayResponse>,
}

/// What a plan is made from.
pub(crate) struct Facts<'a> {
    pub(crate) claimed: &'a Claimed,
    /// `None` where the sealed details do not open.
    pub(crate) details: Option<&'a Details>,
    pub(crate) consent: Option<&'a Consent>,
    pub(crate) past: &'a [Attempt],
    /// Newest last.
    pub(crate) notices: &'a [Notice],
    /// Whose result may be used again.
    pub(crate) reusable: Option<ValidationId>,
    pub(crate) merchant: &'a MerchantView,
    pub(crate) now: DateTime<Utc>,
    /// Random, `0.0..1.0`.
    pub(crate) jitter: f64,
}

/// Plans, and takes the room that the plan's calls need.
pub(crate) fn plan(facts: &Facts<'_>, budgets: &mut RateBudgets) -> Planned {
    if facts.claimed.account_is_deleted() {
        let next = Next::Complete {
            outcome: Outcome::Cancelled,
            failure: None,
        };
        return Plan::ends(next, "the account was deleted").into();
    }
    let Some(details) = facts.details else {
        let why = "the sealed details do not open: is a key missing in the keyring?";
        return facts.no_gateway(why.into()).into();
    };
    let Some(open) = facts
        .past
        .last()
        .filter(|attempt| attempt.state != AttemptState::Settled)
    else {
        if facts.past.is_empty() && facts.reusable.is_some() {
            return Plan::Reuse.into();
        }
        return facts.course(details, None).begin(budgets);
    };
    let Some(entry) = facts.merchant.find(open.gateway_account) else {
        let why = "the gateway account of the attempt under way is gone";
        return facts.no_gateway(why.into()).into();
    };
    let Ok(connector) = &entry.connector else {
        let why = "the gateway account of the attempt under way has no working connector";
        return facts.no_gateway(why.into()).into();
    };
    let course = facts.course(details, None);
    let about_it = || {
        facts
            .notices
            .iter()
            .filter(|notice| notice.number == open.number)
    };
    let heard = about_it()
        .filter_map(|notice| notice.answer.as_ref())
        // What is final is not undone by what came late.
        .max_by_key(|answer| answer.class != Class::Pending);
    let recovery = connector.recovery(details, open.method);
    let first = match (heard, open.state, recovery) {
        (Some(answer), _, _) => NextAction::UseWebhook(Box::new(answer.clone())),
        (None, AttemptState::Pending, _) => NextAction::Poll,
        // The gateway itself says that it knows it.
        (None, _, _) if open.gateway_reference.is_some() && about_it().next().is_some() => {
            NextAction::Poll
        }
        (None, _, Recovery::None) => {
            return facts.course(details, Some(open.number)).begin(budgets);
        }
        (None, _, _) if course.is_beyond_patience(open, connector.traffic()) => {
            return facts.course(details, Some(open.number)).begin(budgets);
        }
        (None, _, Recovery::Lookup) => NextAction::Recover,
        (None, _, Recovery::Resubmit) => NextAction::VerifyAgain,
    };
    let (key, traffic) = (entry.key(), connector.traffic());
    if first.calls() > 0 {
        let slot = facts.slot_at(open.gateway_account);
        let room = budgets
            .of(key, facts.now)
            .room(traffic, first.calls(), slot, facts.now);
        if let Err(later) = room {
            let pending = open.state == AttemptState::Pending;
            return facts
                .wait(entry, traffic, later, pending, budgets, "it goes on later")
                .into();
        }
        budgets.take(key, traffic, first.calls(), slot, facts.now);
    }
    Plan::Attempt {
        setbacks: course.setbacks(),
        alternative: course.alternative(open.gateway_account, budgets),
        first,
        attempt: OpenAttempt {
            number: open.number,
            reference: open.reference.clone(),
            method: open.method,
            state: open.state,
            polls: open.polls,
            gateway_reference: open.gateway_reference.clone(),
            started_at: open.started_at,
            may_drop_twice: false,
            entry: Arc::clone(entry),
        },
    }
    .into()
}

impl<'a> Facts<'a> {
    fn course(&'a self, details: &'a Details, given_up: Option<i16>) -> Course<'a> {
        Course {
            facts: self,
            details,
            bank: Bank::of(details),
            given_up,
        }
    }

    /// The time that a call at this gateway account was booked for.
    fn slot_at(&self, account: GatewayAccountId) -> Option<DateTime<Utc>> {
        let slot = self
            .claimed
            .slot
            .filter(|slot| slot.gateway_account == account);
        slot.map(|slot| slot.at)
    }

    /// Nobody can be asked until something is changed.
    fn no_gateway(&self, why: String) -> Plan {
        if self.now >= self.claimed.deadline_at {
            return Plan::ends(unavailable(), &why);
        }
        let (next, delay) = self.until(
            self.now + NO_GATEWAY_RETRY,
            false,
            PendingReason::NoGatewayAvailable,
        );
        Plan::Settle {
            next,
            delay,
            slot: None,
            why,
            held_up: None,
            is_alarming: true,
        }
    }

    /// A gateway account that has no room now is asked later; where it takes so many calls a minute, in a booked slot.
    fn wait(
        &self,
        entry: &Arc<Entry>,
        traffic: &Traffic,
        later: Postponed,
        pending: bool,
        budgets: &mut RateBudgets,
        why: &str,
    ) -> Plan {
        if self.now >= self.claimed.deadline_at {
            return Plan::ends(unavailable(), why);
        }
        let slot = match later.why {
            PostponeReason::Rate => budgets.book(entry.key(), traffic, self.now).map(|at| Slot {
                gateway_account: entry.account.id,
                at,
            }),
            PostponeReason::Busy => {
                budgets.reject(entry.key());
                None
            }
            PostponeReason::Down | PostponeReason::Paused | PostponeReason::Hours => None,
        };
        let at = match (slot, later.why) {
            (Some(slot), _) => slot.at,
            (None, PostponeReason::Busy) => later.at + (later.at - self.now) / 4,
            (None, _) => later.at + SPREAD.mul_f64(self.jitter),
        };
        let reason = match later.why {
            _ if pending => PendingReason::AwaitingGatewayResult,
            PostponeReason::Down => PendingReason::GatewayUnavailable,
            PostponeReason::Hours => PendingReason::OutsideGatewayHours,
            PostponeReason::Paused | PostponeReason::Rate | PostponeReason::Busy => {
                PendingReason::RateLimited
            }
        };
        let (next, delay) = self.until(at, pending, reason);
        Plan::Settle {
            next,
            delay,
            slot,
            why: why.to_owned(),
            held_up: Some((Arc::clone(entry), later.why)),
            is_alarming: false,
        }
    }

    fn until(&self, at: DateTime<Utc>, pending: bool, reason: PendingReason) -> (Next, Duration) {
        let until = at.min(self.claimed.deadline_at).max(self.now);
        let delay = (until - self.now).to_std().unwrap_or_default();
        let next = Next::Wait {
            until,
            pending,
            reason,
        };
        (next, delay)
    }
}

#[cfg(test)]
mod tests;
