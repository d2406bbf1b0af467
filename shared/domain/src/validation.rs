//! The validation state machine: what a gateway's word, or its silence, makes of an attempt, a validation and an
//! account. Pure.
//!
//! ```text
//!            claim               settle, final
//!   DUE ───────────────▶ LEASED ───────────────▶ COMPLETED
//!    ▲                     │  │
//!    │ scheduler: due,     │  │ settle, not yet
//!    │ or lease ran out    │  ▼
//!    └─────────────────────┴─ WAITING
//! ```

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::gateway::{CallFailure, Class, GatewayResponse, Recovery};
use super::status::AccountStatus;
use crate::account::AccountType;
use crate::backoff::Backoff;
use crate::validation_state::PendingReason;

/// After a retryable answer.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(10));
/// After every gateway failed to tell, or was misconfigured: people may have to act.
const NOBODY_TELLS: Backoff = Backoff::new(Duration::from_secs(30), Duration::from_mins(30));
/// Before a lost answer is looked up: the gateway may still be at work on the call.
const RECOVER: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_mins(5));
/// The bounds of what a gateway's `Retry-After` is believed.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(1));

words! {
    /// How far a gateway attempt has come.
    AttemptState {
        /// Committed before the call; the call may have been made.
        Started = "STARTED",
        /// Made, its answer lost: recover before anything else.
        Unknown = "UNKNOWN",
        /// The gateway will know later.
        Pending = "PENDING",
        /// Nothing more will come of it.
        Settled = "SETTLED",
    }
}

words! {
    /// How a validation ended.
    Outcome {
        /// The details are real.
        Valid = "VALID",
        /// The bank or PSP said no.
        Invalid = "INVALID",
        /// Suspected fraud, or blocked.
        Review = "REVIEW",
        /// No gateway gave an answer before the deadline.
        Unavailable = "UNAVAILABLE",
        /// The account was deleted meanwhile.
        Cancelled = "CANCELLED",
    }
}

words! {
    /// Why an account failed, in words that are no gateway's own (`validation.failure.code`).
    FailureCode {
        /// The bank does not know the account.
        InvalidAccount = "INVALID_ACCOUNT",
        /// The bank does not know the branch.
        InvalidIfsc = "INVALID_IFSC",
        /// The account is blocked, frozen or closed.
        AccountBlocked = "ACCOUNT_BLOCKED",
        /// A non-resident (NRE) account: it exists, but cannot receive a penny drop.
        NreAccount = "NRE_ACCOUNT",
        /// The PSP does not know the address.
        InvalidVpa = "INVALID_VPA",
        /// The gateway suspects fraud or blocks the account.
        SuspectedFraud = "SUSPECTED_FRAUD",
        /// The account is real and its holder has quite another name, and the merchant takes that for a failure.
        NameMismatch = "NAME_MISMATCH",
        /// No gateway gave an answer before the deadline; says nothing about the account.
        ValidationUnavailable = "VALIDATION_UNAVAILABLE",
    }
}

impl FailureCode {
    /// The sentence for `validation.failure.reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::InvalidAccount => "The bank does not know this account number.",
            Self::InvalidIfsc => "The bank does not know this IFSC.",
            Self::AccountBlocked => "The account is blocked, frozen or closed.",
            Self::NreAccount => {
                "The account is a non-resident (NRE) account, which cannot receive a penny drop."
            }
            Self::InvalidVpa => "The UPI address does not exist.",
            Self::SuspectedFraud => "The gateway suspects fraud or has blocked this account.",
            Self::NameMismatch => "The account's holder has another name than the beneficiary.",
            Self::ValidationUnavailable => {
                "No gateway could give an answer in time. This says nothing about the account; validate it again."
            }
        }
    }
}

/// What a validation found out that is personal: sealed beside its outcome.
#[derive(Default, Serialize, Deserialize)]
pub struct ValidationResult {
    /// The holder's name, as the bank has it.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name_at_bank: Option<String>,
    /// Unique transaction reference of the penny drop.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub utr: Option<String>,
    /// Type of the account, if the gateway reported it.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub account_type: Option<AccountType>,
}

impl ValidationResult {
    /// The plaintext to seal.
    pub fn to_plaintext(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads back what [`Self::to_plaintext`] wrote; `None` if it is not that.
    pub fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        serde_json::from_slice(plaintext).ok()
    }
}

/// When a gateway is asked again for an outcome it does not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollSchedule(Vec<Duration>);

impl PollSchedule {
    /// Waits between looks, the last one repeated; `None` if empty.
    pub fn new(waits: Vec<Duration>) -> Option<Self> {
        (!waits.is_empty()).then_some(Self(waits))
    }

    /// The wait before the look after `polls` looks.
    pub fn wait(&self, polls: i16) -> Duration {
        let index = usize::try_from(polls).unwrap_or(0).min(self.0.len() - 1);
        self.0[index]
    }
}

/// Which call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// The one that validates, and may move money.
    Verify,
    /// The one that asks what became of it.
    Lookup,
}

/// The result of one call: the response of the gateway, or the reason why there is none.
pub type CallResult = Result<GatewayResponse, CallFailure>;

/// Where the validation stood when it was heard.
#[derive(Clone, Debug)]
pub struct AttemptContext<'a> {
    /// Now.
    pub now: DateTime<Utc>,
    /// When trying ends.
    pub deadline_at: DateTime<Utc>,
    /// The attempt's state before the call.
    pub attempt: AttemptState,
    /// Looks made at this attempt, this one included.
    pub polls: i16,
    /// Settled attempts before this one.
    pub setbacks: u32,
    /// Whether another gateway account would be asked next if this one cannot tell.
    pub alternative: bool,
    /// Whether asking twice may pay twice.
    pub moves_money: bool,
    /// What can be done about a lost answer.
    pub recovery: Recovery,
    /// When to look again.
    pub polling: &'a PollSchedule,
    /// The holder has quite another name, and the merchant takes that for a failure.
    pub name_mismatch: bool,
    /// Random, `0.0..1.0`.
    pub jitter: f64,
}

/// What becomes of the attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// Its next state.
    pub state: AttemptState,
    /// Its class; required where the state is `Settled`.
    pub class: Option<Class>,
    /// The gateway's own word, or ours for its silence.
    pub code: String,
}

/// What becomes of the validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It ends.
    Complete {
        /// How.
        outcome: Outcome,
        /// Why, unless VALID.
        failure: Option<FailureCode>,
    },
    /// It goes on.
    Wait {
        /// When.
        until: DateTime<Utc>,
        /// Whether the account is now waiting for a gateway (PENDING).
        pending: bool,
        /// Why it has to wait.
        reason: PendingReason,
    },
}

impl Next {
    /// The account's status after this; `None` where it stays as it is.
    pub fn account_status(&self) -> Option<AccountStatus> {
        match self {
            Self::Complete {
                outcome: Outcome::Valid,
                ..
            } => Some(AccountStatus::Active),
            Self::Complete {
                outcome: Outcome::Cancelled,
                ..
            }
            | Self::Wait { pending: false, .. } => None,
            Self::Complete { .. } => Some(AccountStatus::Failure),
            Self::Wait { pending: true, .. } => Some(AccountStatus::Pending),
        }
    }
}

/// What to do about what was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The attempt's part.
    pub attempt: AttemptEnd,
    /// The validation's part.
    pub next: Next,
}

/// Decides. A wait that would end after the deadline ends at it; heard at or after the deadline, what is not final
/// completes as `UNAVAILABLE`.
pub fn decide(context: &AttemptContext<'_>, asked: CallKind, heard: &CallResult) -> Decision {
    let (attempt, next) = match heard {
        Ok(answer) => on_answer(context, answer),
        Err(failure) => on_silence(context, asked, failure),
    };
    match next {
        Next::Wait { .. } if context.now >= context.deadline_at => Decision {
            attempt: AttemptEnd {
                state: AttemptState::Settled,
                class: attempt.class.or(Some(Class::Retryable)),
                code: attempt.code,
            },
            next: unavailable(),
        },
        Next::Wait {
            until,
            pending,
            reason,
        } => Decision {
            attempt,
            next: Next::Wait {
                until: until.min(context.deadline_at),
                pending,
                reason,
            },
        },
        complete @ Next::Complete { .. } => Decision {
            attempt,
            next: complete,
        },
    }
}

/// The end of a validation of real details.
pub fn valid(name_mismatch: bool) -> Next {
    if name_mismatch {
        Next::Complete {
            outcome: Outcome::Invalid,
            failure: Some(FailureCode::NameMismatch),
        }
    } else {
        Next::Complete {
            outcome: Outcome::Valid,
            failure: None,
        }
    }
}

/// The end of a validation that nobody could answer in time.
pub fn unavailable() -> Next {
    Next::Complete {
        outcome: Outcome::Unavailable,
        failure: Some(FailureCode::ValidationUnavailable),
    }
}

fn on_answer(context: &AttemptContext<'_>, answer: &GatewayResponse) -> (AttemptEnd, Next) {
    let state = if answer.class == Class::Pending {
        AttemptState::Pending
    } else {
        AttemptState::Settled
    };
    let attempt = AttemptEnd {
        state,
        class: Some(answer.class),
        code: answer.code.clone(),
    };
    let next = match answer.class {
        Class::Valid => valid(context.name_mismatch),
        Class::Invalid => Next::Complete {
            outcome: Outcome::Invalid,
            failure: Some(answer.failure.unwrap_or(FailureCode::InvalidAccount)),
        },
        Class::Review => Next::Complete {
            outcome: Outcome::Review,
            failure: Some(answer.failure.unwrap_or(FailureCode::SuspectedFraud)),
        },
        Class::Pending => wait(
            context,
            context.polling.wait(context.polls),
            PendingReason::AwaitingGatewayResult,
        ),
        Class::Retryable => {
            let own = RETRY.wait(context.setbacks, context.jitter);
            wait(
                context,
                at_least(answer.retry_after, own),
                PendingReason::Retrying,
            )
        }
        Class::Inconclusive | Class::Misconfigured if context.alternative => {
            wait(context, Duration::ZERO, PendingReason::Retrying)
        }
        Class::Inconclusive | Class::Misconfigured => wait(
            context,
            NOBODY_TELLS.wait(context.setbacks, context.jitter),
            PendingReason::NoGatewayAvailable,
        ),
    };
    (attempt, next)
}

fn on_silence(
    context: &AttemptContext<'_>,
    asked: CallKind,
    failure: &CallFailure,
) -> (AttemptEnd, Next) {
    let code = failure.code().to_owned();
    let tries = u32::try_from(context.polls).unwrap_or(0);
    match (asked, failure) {
        // The look failed, not the attempt: what was open stays open.
        (CallKind::Lookup, _) => {
            let (open, reason) = if context.attempt == AttemptState::Pending {
                (AttemptState::Pending, PendingReason::AwaitingGatewayResult)
            } else {
                (
                    AttemptState::Unknown,
                    PendingReason::CheckingPreviousAttempt,
                )
            };
            let delay = at_least(failure.retry_after(), RECOVER.wait(tries, context.jitter));
            (
                AttemptEnd {
                    state: open,
                    class: None,
                    code,
                },
                wait(context, delay, reason),
            )
        }
        (CallKind::Verify, CallFailure::ResponseLost(_))
            if context.moves_money && context.recovery != Recovery::None =>
        {
            (
                AttemptEnd {
                    state: AttemptState::Unknown,
                    class: None,
                    code,
                },
                wait(
                    context,
                    RECOVER.wait(tries, context.jitter),
                    PendingReason::CheckingPreviousAttempt,
                ),
            )
        }
        // Nothing was sent, or asking again costs nothing, or nothing can be found out: a new attempt.
        (CallKind::Verify, _) => (
            AttemptEnd {
                state: AttemptState::Settled,
                class: Some(Class::Retryable),
                code,
            },
            wait(
                context,
                at_least(
                    failure.retry_after(),
                    RETRY.wait(context.setbacks, context.jitter),
                ),
                match failure {
                    CallFailure::Rejected { .. } => PendingReason::RateLimited,
                    CallFailure::NotSent(_) | CallFailure::ResponseLost(_) => {
                        PendingReason::Retrying
                    }
                },
            ),
        ),
    }
}

/// Our own wait, or the one that the gateway asked for, within bounds, if that is longer.
fn at_least(asked_for: Option<Duration>, own: Duration) -> Duration {
    asked_for.map_or(own, |theirs| {
        theirs.clamp(RETRY_AFTER.0, RETRY_AFTER.1).max(own)
    })
}

/// The account is PENDING exactly while its gateway has accepted the call.
fn wait(context: &AttemptContext<'_>, delay: Duration, reason: PendingReason) -> Next {
    let delay = TimeDelta::from_std(delay).unwrap_or(TimeDelta::days(1));
    Next::Wait {
        until: context.now + delay,
        pending: reason == PendingReason::AwaitingGatewayResult,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn polling() -> PollSchedule {
        PollSchedule::new(vec![Duration::ZERO, Duration::from_secs(5)]).unwrap()
    }

    fn context(polling: &PollSchedule) -> AttemptContext<'_> {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        AttemptContext {
            now,
            deadline_at: now + TimeDelta::hours(48),
            attempt: AttemptState::Started,
            polls: 0,
            setbacks: 0,
            alternative: false,
            moves_money: true,
            recovery: Recovery::Lookup,
            polling,
            name_mismatch: false,
            jitter: 0.5,
        }
    }

    fn heard(class: Class) -> CallResult {
        Ok(GatewayResponse::of(class, "code"))
    }

    #[test]
    fn only_what_the_bank_said_fails_an_account() {
        let polling = polling();
        for &class in Class::ALL {
            let status = decide(&context(&polling), CallKind::Verify, &heard(class))
                .next
                .account_status();
            let expected = match class {
                Class::Valid => Some(AccountStatus::Active),
                Class::Invalid | Class::Review => Some(AccountStatus::Failure),
                Class::Pending => Some(AccountStatus::Pending),
                Class::Retryable | Class::Inconclusive | Class::Misconfigured => None,
            };
            assert_eq!(status, expected, "{class}");
        }
    }

    #[test]
    fn a_lost_answer_is_recovered_before_anything_else() {
        let polling = polling();
        let lost = Err(CallFailure::ResponseLost("reset".into()));
        let decision = decide(&context(&polling), CallKind::Verify, &lost);
        assert_eq!(decision.attempt.state, AttemptState::Unknown);
        let sync = AttemptContext {
            recovery: Recovery::None,
            ..context(&polling)
        };
        assert_eq!(
            decide(&sync, CallKind::Verify, &lost).attempt.state,
            AttemptState::Settled
        );
        let look_up_only = AttemptContext {
            moves_money: false,
            ..context(&polling)
        };
        assert_eq!(
            decide(&look_up_only, CallKind::Verify, &lost).attempt.state,
            AttemptState::Settled
        );
        let unsent = Err(CallFailure::NotSent("refused".into()));
        assert_eq!(
            decide(&context(&polling), CallKind::Verify, &unsent)
                .attempt
                .state,
            AttemptState::Settled
        );
    }

    #[test]
    fn another_name_fails_an_account_only_where_the_merchant_says_so() {
        let polling = polling();
        let strict = AttemptContext {
            name_mismatch: true,
            ..context(&polling)
        };
        let next = decide(&strict, CallKind::Verify, &heard(Class::Valid)).next;
        assert_eq!(next.account_status(), Some(AccountStatus::Failure));
        // It changes nothing about what was not found out.
        let next = decide(&strict, CallKind::Verify, &heard(Class::Retryable)).next;
        assert_eq!(next.account_status(), None);
    }

    #[test]
    fn a_look_that_is_turned_away_leaves_the_attempt_open_and_waits_as_asked() {
        let polling = polling();
        let heard = Err(CallFailure::Rejected {
            retry_after: Some(Duration::from_mins(10)),
        });
        for state in [AttemptState::Pending, AttemptState::Unknown] {
            let open = AttemptContext {
                attempt: state,
                ..context(&polling)
            };
            let decision = decide(&open, CallKind::Lookup, &heard);
            assert_eq!(decision.attempt.state, state);
            let Next::Wait { until, .. } = decision.next else {
                panic!("{decision:?}")
            };
            assert_eq!(until, open.now + TimeDelta::seconds(600));
        }
    }

    #[test]
    fn an_alternative_is_asked_at_once() {
        let polling = polling();
        let with = AttemptContext {
            alternative: true,
            ..context(&polling)
        };
        let Next::Wait { until, .. } =
            decide(&with, CallKind::Verify, &heard(Class::Misconfigured)).next
        else {
            panic!()
        };
        assert_eq!(until, with.now);
    }

    #[test]
    fn retry_after_is_honoured_within_bounds() {
        let polling = polling();
        let answer = GatewayResponse {
            retry_after: Some(Duration::from_secs(90)),
            ..GatewayResponse::of(Class::Retryable, "429")
        };
        let Next::Wait { until, .. } =
            decide(&context(&polling), CallKind::Verify, &Ok(answer)).next
        else {
            panic!()
        };
        assert_eq!(until - context(&polling).now, TimeDelta::seconds(90));
    }

    proptest! {
        #[test]
        fn a_decision_fits_the_schema(
            class in 0usize..8, asked in any::<bool>(), lost in any::<bool>(), money in any::<bool>(),
            recovery in 0usize..3, polls in 0i16..50, setbacks in 0u32..400, past_deadline in any::<bool>(), pending in any::<bool>(),
        ) {
            let polling = polling();
            let base = context(&polling);
            let context = AttemptContext {
                deadline_at: if past_deadline { base.now } else { base.deadline_at },
                attempt: if pending { AttemptState::Pending } else { AttemptState::Started },
                moves_money: money,
                recovery: [Recovery::Lookup, Recovery::Resubmit, Recovery::None][recovery],
                polls, setbacks, ..base
            };
            let heard = match Class::ALL.get(class) {
                Some(class) => heard(*class),
                None if lost => Err(CallFailure::ResponseLost(String::new())),
                None => Err(CallFailure::NotSent(String::new())),
            };
            let decision = decide(&context, if asked { CallKind::Verify } else { CallKind::Lookup }, &heard);
            // The CHECK constraints of validation_attempts and validations.
            prop_assert_eq!(decision.attempt.state == AttemptState::Settled, decision.attempt.class.is_some_and(|c| c != Class::Pending || past_deadline));
            match decision.next {
                Next::Wait { until, .. } => {
                    prop_assert!(!past_deadline && until >= context.now && until <= context.deadline_at);
                    let open = decision.attempt.state != AttemptState::Settled;
                    prop_assert!(open || decision.attempt.class != Some(Class::Valid));
                }
                Next::Complete { outcome, failure } => {
                    prop_assert_eq!(decision.attempt.state, AttemptState::Settled);
                    prop_assert_eq!(failure.is_none(), outcome == Outcome::Valid);
                }
            }
        }
    }
}
