//! The state of the model: rows of Postgres, messages, workers, calls on their way and what the gateways have done.

use std::hash::{DefaultHasher, Hash, Hasher};

use khata_domain::attempt::{Attempt, AttemptState, NextAction};
use khata_domain::gateway::{NOT_RECEIVED, NOT_YET_RECEIVED, RESPONSE_LOST, UNCLEAR_RESPONSE};
use khata_domain::ids::{AttemptReference, first_at};
use khata_domain::validation::{CallResult, FailureCode, Outcome};
use khata_domain::{
    AccountStatus, CallFailure, Class, GatewayAccountId, GatewayResponse, LostResponse, Method,
    ValidationId, ValidationState,
};
use uuid::Uuid;

use crate::scenario::{DEADLINE, Faults, Scenario};
use crate::time::{Seconds, seconds, time};

/// Messages in the queue for one validation. More of them change nothing.
pub const MAX_WAKEUPS: u8 = 2;

pub fn validation_id(index: usize) -> ValidationId {
    let first = first_at(time(0)).as_u128();
    ValidationId(Uuid::from_u128(first + index as u128))
}

pub fn gateway_id(index: usize) -> GatewayAccountId {
    GatewayAccountId(Uuid::from_u128(1 + index as u128))
}

/// A reference at a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    pub validation: usize,
    pub number: i16,
    /// Above 0 only where repeated calls get references of their own.
    pub repetition: i16,
}

impl Reference {
    fn parse(text: &str) -> Option<Self> {
        let reference = AttemptReference::parse(text)?;
        let index = reference.validation.0.as_u128() - validation_id(0).0.as_u128();
        Some(Self {
            validation: usize::try_from(index).ok()?,
            number: reference.number,
            repetition: 0,
        })
    }

    fn text(self) -> String {
        let reference = AttemptReference {
            validation: validation_id(self.validation),
            number: self.number,
        };
        reference.to_string()
    }
}

/// A row of `validation_attempts`. The last two members are not stored: they are what really happened.
#[allow(clippy::struct_excessive_bools, reason = "the columns of a row")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptRow {
    pub reference: Reference,
    pub gateway: usize,
    pub state: AttemptState,
    pub class: Option<Class>,
    pub code: Option<&'static str>,
    pub has_gateway_reference: bool,
    pub polls: i16,
    pub started_at: Seconds,
    pub sent_at: Seconds,
    /// `possible_double_drop`.
    pub is_flagged: bool,
    /// A worker has written a call to the socket.
    pub was_sent: bool,
    /// A worker that held the attempt was killed or kept it longer than its lease: Khata cannot know whether it was sent.
    pub was_abandoned: bool,
}

/// The codes that decide how an attempt goes on; all others are alike.
fn known_code(code: &str) -> &'static str {
    let known = [
        RESPONSE_LOST,
        NOT_RECEIVED,
        NOT_YET_RECEIVED,
        UNCLEAR_RESPONSE,
    ];
    let found = known.into_iter().find(|known| *known == code);
    found.unwrap_or("other")
}

impl AttemptRow {
    /// Takes the members that the product changes.
    pub fn store(&mut self, attempt: &Attempt) {
        self.state = attempt.state;
        self.code = attempt.code.as_deref().map(known_code);
        self.has_gateway_reference |= attempt.gateway_reference.is_some();
        self.polls = attempt.polls;
        self.sent_at = seconds(attempt.sent_at);
    }

    pub fn new(attempt: &Attempt, is_flagged: bool) -> Option<Self> {
        let index = attempt.gateway_account.0.as_u128() - 1;
        let mut row = Self {
            reference: Reference::parse(&attempt.reference)?,
            gateway: usize::try_from(index).ok()?,
            state: attempt.state,
            class: attempt.class,
            code: None,
            has_gateway_reference: false,
            polls: 0,
            started_at: seconds(attempt.started_at),
            sent_at: 0,
            is_flagged,
            was_sent: false,
            was_abandoned: false,
        };
        row.store(attempt);
        Some(row)
    }

    pub fn attempt(&self) -> Attempt {
        Attempt {
            number: self.reference.number,
            gateway_account: gateway_id(self.gateway),
            method: Method::PennyDrop,
            reference: self.reference.text(),
            state: self.state,
            class: self.class,
            code: self.code.map(str::to_owned),
            failure: None,
            gateway_reference: self.has_gateway_reference.then(|| "theirs".to_owned()),
            polls: self.polls,
            started_at: time(self.started_at),
            sent_at: time(self.sent_at),
        }
    }
}

/// A row of `gateway_notices`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Webhook {
    pub number: i16,
    /// `None`: a hint.
    pub class: Option<Class>,
}

/// A row of `validations`, with its attempts and webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Validation {
    pub state: ValidationState,
    pub due_at: Seconds,
    pub leased_until: Seconds,
    /// The lease; no two that are in use are equal.
    pub token: Option<u8>,
    pub failed_steps: i16,
    pub called_back: bool,
    pub has_waited: bool,
    pub began_at: Seconds,
    pub deadline_at: Seconds,
    pub outcome: Option<(Outcome, Option<FailureCode>)>,
    pub attempts: Vec<AttemptRow>,
    pub webhooks: Vec<Webhook>,
    /// Messages in the queue.
    pub wakeups: u8,
}

impl Validation {
    pub fn new(now: Seconds, deadline: Seconds) -> Self {
        Self {
            state: ValidationState::Due,
            // `WAKEUP_GRACE_MS`: the scheduler publishes another wake-up then.
            due_at: now + 5,
            leased_until: 0,
            token: None,
            failed_steps: 0,
            called_back: false,
            has_waited: false,
            began_at: now,
            deadline_at: now + deadline,
            outcome: None,
            attempts: Vec::new(),
            webhooks: Vec::new(),
            wakeups: 1,
        }
    }

    pub fn is_completed(&self) -> bool {
        self.state == ValidationState::Completed
    }

    pub fn publish(&mut self) {
        self.wakeups = (self.wakeups + 1).min(MAX_WAKEUPS);
    }
}

/// A row of `customer_accounts`. Each version has an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    pub status: AccountStatus,
    pub version: u8,
    /// The newest validation.
    pub validation: usize,
}

/// The result of a call, or of a stored webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResponseKind {
    Class(Class),
    Lost,
    Unclear,
    NotSent,
    Rejected,
    NotReceived,
}

impl ResponseKind {
    pub fn result(self) -> CallResult {
        match self {
            Self::Class(class) => Ok(response(class)),
            Self::Lost => Err(CallFailure::ResponseLost("time-out".into())),
            Self::Unclear => Err(CallFailure::ResponseLost(LostResponse {
                is_unclear: true,
                ..LostResponse::default()
            })),
            Self::NotSent => Err(CallFailure::NotSent("refused".into())),
            Self::Rejected => Ok(GatewayResponse::of(Class::Retryable, "429")),
            Self::NotReceived => Err(CallFailure::NotReceived),
        }
    }
}

pub fn response(class: Class) -> GatewayResponse {
    GatewayResponse {
        gateway_reference: Some("theirs".to_owned()),
        ..GatewayResponse::of(class, "word")
    }
}

/// [`NextAction`], in a form that can be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Verify,
    VerifyAgain,
    Poll,
    UseWebhook(Class),
}

impl Act {
    pub fn of(action: &NextAction) -> Self {
        match action {
            NextAction::Verify => Self::Verify,
            NextAction::VerifyAgain => Self::VerifyAgain,
            NextAction::Poll => Self::Poll,
            NextAction::UseWebhook(response) => Self::UseWebhook(response.class),
        }
    }

    pub fn action(self) -> NextAction {
        match self {
            Self::Verify => NextAction::Verify,
            Self::VerifyAgain => NextAction::VerifyAgain,
            Self::Poll => NextAction::Poll,
            Self::UseWebhook(class) => NextAction::UseWebhook(Box::new(response(class))),
        }
    }

    pub fn moves_money(self) -> bool {
        matches!(self, Self::Verify | Self::VerifyAgain)
    }
}

/// The planned step of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Attempt {
        /// As planned; the row may have changed since.
        row: AttemptRow,
        act: Act,
        setbacks: u32,
        alternative: bool,
        recovered_until: Option<Seconds>,
    },
    Complete(Outcome, Option<FailureCode>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The claim is committed.
    Claimed,
    /// The lease leaves time for the call.
    Checked,
    /// The call began, and ends at this time.
    Called {
        called_at: Seconds,
        until: Seconds,
        response: ResponseKind,
    },
}

/// A validation in a worker's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub validation: usize,
    pub token: u8,
    /// By the worker's own reckoning.
    pub lease_ends: Seconds,
    pub step: Step,
    pub phase: Phase,
    pub is_paused: bool,
}

/// A call that arrives after the worker's time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LateCall {
    pub reference: Reference,
    pub gateway: usize,
    /// It arrives before this time.
    pub arrives_before: Seconds,
}

/// A call that a gateway has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Received {
    pub reference: Reference,
    pub gateway: usize,
    pub at: Seconds,
    pub rupees: u8,
}

/// A change that no later state may hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    RupeeWithoutAttempt,
    OutcomeChanged,
    StatusWentBack,
    UnsentCountsAsLost,
    OutcomeIgnored,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub now: Seconds,
    pub account: Account,
    pub validations: Vec<Validation>,
    /// Idle ones hold nothing. In the order of their hashes, because the workers are alike.
    pub workers: Vec<Option<Held>>,
    pub late_calls: Vec<LateCall>,
    pub received: Vec<Received>,
    pub is_first_gateway_disabled: bool,
    /// The faults that may still happen.
    pub left: Faults,
    pub broken: Option<Broken>,
}

impl State {
    pub fn new(scenario: &Scenario) -> Self {
        Self {
            now: 0,
            account: Account {
                status: AccountStatus::Created,
                version: 1,
                validation: 0,
            },
            validations: vec![Validation::new(0, DEADLINE)],
            workers: vec![None; 2],
            late_calls: Vec::new(),
            received: Vec::new(),
            is_first_gateway_disabled: false,
            left: scenario.faults,
            broken: None,
        }
    }

    /// Puts the workers in order.
    pub fn normalize(&mut self) {
        self.workers.sort_by_cached_key(|worker| {
            let mut hasher = DefaultHasher::new();
            worker.hash(&mut hasher);
            (worker.is_some(), hasher.finish())
        });
    }

    /// Returns a token that no worker and no row uses.
    pub fn free_token(&self, validation: usize) -> u8 {
        let held = self.workers.iter().flatten();
        let held = held.filter(|held| held.validation == validation);
        let used: Vec<u8> = held
            .map(|held| held.token)
            .chain(self.validations[validation].token)
            .collect();
        (0..u8::MAX)
            .find(|token| !used.contains(token))
            .unwrap_or(u8::MAX)
    }

    pub fn breaks(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    /// Whether the gateway has confirmed that it has received the call.
    pub fn is_accepted(&self, row: &AttemptRow) -> bool {
        let mut webhooks = self.validations[row.reference.validation].webhooks.iter();
        row.state == AttemptState::Pending
            || webhooks.any(|webhook| webhook.number == row.reference.number)
    }

    /// The row of an attempt.
    pub fn row(&mut self, reference: Reference) -> Option<&mut AttemptRow> {
        let rows = &mut self.validations[reference.validation].attempts;
        rows.iter_mut()
            .find(|row| row.reference.number == reference.number)
    }
}
