//! One attempt to validate an account at a gateway: its record, its calls and its next action.

use chrono::{DateTime, Utc};

use crate::gateway::{
    CallFailure, GatewayResponse, Method, NOT_RECEIVED, NOT_YET_RECEIVED, RESPONSE_LOST, Recovery,
    UNCLEAR_RESPONSE,
};
use crate::ids::GatewayAccountId;
use crate::outcome::{Class, FailureCode};

words! {
    /// State of a gateway attempt.
    AttemptState {
        /// Stored before the call; the call may have been made.
        Started = "STARTED",
        /// The call was made and its response was lost: recover it before anything else.
        Unknown = "UNKNOWN",
        /// The gateway reports the outcome later.
        Pending = "PENDING",
        /// Final.
        Settled = "SETTLED",
    }
}

/// An attempt as `validation_attempts` stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first attempt of the validation.
    pub number: i16,
    pub gateway_account: GatewayAccountId,
    pub method: Method,
    /// Our reference, which the gateway takes as idempotency key or reference id.
    pub reference: String,
    pub state: AttemptState,
    pub class: Option<Class>,
    /// The gateway's code, or ours for a call without a response.
    pub code: Option<String>,
    /// Why the account takes no credit by the gateway's word, also where the gateway does not decide about it.
    pub failure: Option<FailureCode>,
    /// The gateway's id for the call.
    pub gateway_reference: Option<String>,
    /// Calls made after the first one, to find out the outcome.
    pub polls: i16,
    pub started_at: DateTime<Utc>,
    /// When the call was last made: a call that was not received is made again.
    pub sent_at: DateTime<Utc>,
}

impl Attempt {
    /// Whether the response to the attempt was lost for good.
    pub fn is_lost(&self) -> bool {
        let lost = [RESPONSE_LOST, NOT_YET_RECEIVED, UNCLEAR_RESPONSE].map(Some);
        self.state == AttemptState::Settled && lost.contains(&self.code.as_deref())
    }

    /// Whether the gateway of the unfinished attempt last answered without saying anything clear about the account, or did not know
    /// the call that it has accepted.
    pub fn is_unclear(&self) -> bool {
        self.state != AttemptState::Settled && self.code.as_deref() == Some(UNCLEAR_RESPONSE)
    }

    /// Whether the unfinished attempt moved nothing: the gateway has not received its call, and it cannot arrive any more.
    pub fn is_not_received(&self) -> bool {
        self.state == AttemptState::Unknown && self.code.as_deref() == Some(NOT_RECEIVED)
    }

    /// Whether the gateway has not received the call of the unfinished attempt so far. The call may still arrive: it may be made
    /// again under the same reference, of which the gateway refuses a second use, and nowhere else.
    pub fn is_not_yet_received(&self) -> bool {
        self.state == AttemptState::Unknown && self.code.as_deref() == Some(NOT_YET_RECEIVED)
    }

    /// Whether a response in a webhook says more about the attempt than its row does. An attempt that was given up takes any
    /// response: the gateway has received the call after all.
    pub fn takes(&self, response: &GatewayResponse) -> bool {
        let was_given_up = self.is_lost() || self.code.as_deref() == Some(NOT_RECEIVED);
        match self.state {
            AttemptState::Started | AttemptState::Unknown => true,
            // A webhook that repeats "pending" says nothing new: the outcome is polled.
            AttemptState::Pending => response.class != Class::Pending,
            AttemptState::Settled => {
                was_given_up
                    || response.class.is_final() && !self.class.is_some_and(Class::is_final)
            }
        }
    }

    /// Whether the attempt may have moved a rupee, or may still move one.
    pub fn may_pay(&self) -> bool {
        let may_pay = if self.state == AttemptState::Settled {
            self.is_lost() || self.may_have_paid()
        } else {
            !self.is_not_received()
        };
        self.method.moves_money() && may_pay
    }

    /// Whether the settled attempt may have moved a rupee.
    pub fn may_have_paid(&self) -> bool {
        let accepted = self.gateway_reference.is_some();
        self.method.moves_money()
            && match self.class {
                Some(Class::Retryable) => self.is_lost() || accepted,
                Some(Class::Misconfigured) | None => false,
                Some(_) => true,
            }
    }
}

/// Kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// Validates, and may move money.
    Verify,
    /// Asks for the outcome of an earlier call.
    Lookup,
}

/// The result of one call: the response of the gateway, or the reason why there is none.
pub type CallResult = Result<GatewayResponse, CallFailure>;

/// Returns the fields of the gateway's response that could not be read, by name.
pub fn not_understood(result: &CallResult) -> &[String] {
    match result {
        Ok(response) => &response.not_understood,
        Err(failure) => failure.not_understood(),
    }
}

/// The next step of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextAction {
    /// Make the call; again if the gateway has not received it.
    Verify,
    /// Repeat the call under the same reference, because its response was lost or its call has not arrived yet.
    VerifyAgain,
    /// Ask for the outcome.
    Poll,
    /// Use the outcome that the gateway sent in a webhook.
    UseWebhook(Box<GatewayResponse>),
}

impl NextAction {
    /// Returns the action that finds out the outcome of an unfinished attempt; `None` if the gateway offers no way.
    pub fn resume(attempt: &Attempt, recovery: Recovery) -> Option<Self> {
        match (attempt.state, recovery) {
            (AttemptState::Settled, _) => None,
            (AttemptState::Pending, _) => Some(Self::Poll),
            (_, Recovery::Lookup) if attempt.is_not_received() => Some(Self::Verify),
            // A rejection of the second call says nothing about the first one, which may still arrive.
            (_, Recovery::Lookup) if attempt.is_not_yet_received() => Some(Self::VerifyAgain),
            (_, Recovery::Lookup) => Some(Self::Poll),
            (_, Recovery::Resubmit) => Some(Self::VerifyAgain),
            (_, Recovery::None) => None,
        }
    }

    /// Whether the action makes a call to the gateway.
    pub fn is_call(&self) -> bool {
        !matches!(self, Self::UseWebhook(_))
    }
}
