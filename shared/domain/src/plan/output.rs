//! The result of planning.

use chrono::{DateTime, Utc};

use crate::attempt::{Attempt, NextAction};
use crate::ids::GatewayAccountId;
use crate::outcome::FailureCode;
use crate::traffic::{PostponeReason, QueuePlace, Slot};
use crate::validation::Next;
use crate::validation_state::PendingReason;

/// The next step of a validation.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Make calls for an attempt.
    Attempt {
        attempt: Attempt,
        action: NextAction,
        /// Settled attempts of the validation before this one.
        setbacks: u32,
        /// The newest reason that a gateway gave, in any attempt, why the account takes no credit.
        reason: Option<FailureCode>,
        /// Whether another gateway account is tried next if this one cannot decide.
        alternative: bool,
        /// When a lost response is given up and another gateway account is tried; `None` if there is no other.
        recovered_until: Option<DateTime<Utc>>,
    },
    /// Use the earlier result.
    Reuse,
    /// Make no call now.
    Settle {
        next: Next,
        /// The call that is booked for later.
        slot: Option<Slot>,
        /// The place in the queue of a gateway account. A worker claims the validation when the account can take its call,
        /// long before `next` is due.
        queue: Option<QueuePlace>,
        /// For the log.
        why: String,
        /// The gateway account that cannot take the call now.
        postponed: Option<(GatewayAccountId, PostponeReason)>,
    },
}

impl Plan {
    /// Settles without a call and without a booking.
    pub(super) fn settle(next: Next, why: impl Into<String>) -> Self {
        Self::Settle {
            next,
            slot: None,
            queue: None,
            why: why.into(),
            postponed: None,
        }
    }

    /// Whether the validation waits until an operator changes something.
    pub fn needs_operator(&self) -> bool {
        let reason = PendingReason::NoGatewayAvailable;
        matches!(self, Self::Settle { next: Next::Wait { reason: why, .. }, .. } if *why == reason)
    }
}

/// The facts to store about a new attempt beside the attempt itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAttempt {
    /// Why the routing chose the gateway account.
    pub choice: String,
    /// An attempt before may have dropped a rupee whose result was lost.
    pub possible_double_drop: bool,
    /// The attempt may drop a rupee, and an attempt before may have dropped one: counts against the merchant's budget.
    pub is_further_drop: bool,
}

/// A call of an unfinished attempt that is made again, because the gateway has not received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAgain {
    /// Number of the attempt.
    pub number: i16,
    /// Both calls may drop a rupee, if the first one arrives later than any call should: counts against the merchant's budget,
    /// once for each attempt.
    pub is_further_drop: bool,
}

/// A plan, and what has to be stored before it is carried out.
#[derive(Clone, Debug)]
pub struct Planned {
    pub plan: Plan,
    /// `Some` if the attempt of the plan is new.
    pub new_attempt: Option<NewAttempt>,
    /// Number of the unfinished attempt that is given up: as lost, unless the gateway has not received its call.
    pub given_up: Option<i16>,
    /// The unfinished attempt whose call the plan makes again: it becomes STARTED again, sent now.
    pub sent_again: Option<CallAgain>,
}

impl Planned {
    /// Whether the plan counts a penny drop against the merchant's budget.
    pub fn is_further_drop(&self) -> bool {
        let new = self.new_attempt.as_ref();
        new.is_some_and(|new| new.is_further_drop)
            || self.sent_again.is_some_and(|again| again.is_further_drop)
    }
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        Self {
            plan,
            new_attempt: None,
            given_up: None,
            sent_again: None,
        }
    }
}
