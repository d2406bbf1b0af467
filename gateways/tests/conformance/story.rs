//! An attempt as the worker makes it: the worker's own driver (`khata_gateways::OpenAttempt`) makes each call and decides
//! about its result. Only the lease, Postgres and the waits of the worker are missing.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use khata_domain::attempt::{AttemptState, CallKind, NextAction};
use khata_domain::validation::{Decision, FailureCode, Next, Outcome};
use khata_domain::{CallFailure, Class, Details, GatewayAccountId, GatewayResponse};
use khata_gateways::{Advanced, Call, Connector, OpenAttempt};
use khata_name_match::{self as name_match, NameMatchResult, is_placeholder};

/// The result of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// An answer of this class.
    Response(Class),
    /// Nothing, and nothing was sent.
    NotSent,
    /// Nothing, and it may have been acted upon.
    Lost,
    /// A look that was one too many.
    Rejected,
    /// The gateway has not received the call.
    NotReceived,
}

/// The next step of the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The validation ends.
    Complete(Outcome, Option<FailureCode>),
    /// Another gateway account is asked at once.
    Elsewhere,
    /// A new attempt, after this long.
    Again(Duration),
    /// The gateway is asked for the outcome, after this long.
    Look(Duration),
    /// The gateway is asked what became of the call, after this long.
    Recover(Duration),
}

/// The holder's name as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// None, or a placeholder.
    Missing,
    Given,
    /// The one that the sandbox has for an account that is another's.
    Another,
}

/// The attempt's row, and what is kept of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) state: AttemptState,
    pub(crate) class: Option<Class>,
    /// Whether the connector's tables list the code.
    pub(crate) listed: bool,
    /// Whether the gateway's id is kept.
    pub(crate) reference: bool,
    pub(crate) name: Name,
    pub(crate) utr: bool,
}

/// All of it: as it should be, and as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Story {
    /// Call by call.
    pub(crate) results: Vec<CallOutcome>,
    /// After each call but the last.
    pub(crate) meantime: Vec<Action>,
    /// After the last call.
    pub(crate) action: Action,
    pub(crate) record: Record,
    /// Rupees that the gateway dropped meanwhile.
    pub(crate) rupees: u64,
}

/// The average wait.
const JITTER: f64 = 0.5;

/// An unfinished attempt, and the results so far.
pub(crate) struct Attempt<'a> {
    open: OpenAttempt<'a>,
    /// Whether the merchant treats a different name as a failure.
    pub(crate) strict: bool,
    results: Vec<CallOutcome>,
    actions: Vec<Action>,
    last: Option<Advanced>,
}

impl<'a> Attempt<'a> {
    /// Stored, and not yet sent.
    pub(crate) fn new(call: &Call<'a>) -> Self {
        Self {
            open: OpenAttempt {
                attempt: khata_domain::attempt::Attempt {
                    number: call.attempt,
                    gateway_account: GatewayAccountId::new(),
                    method: call.method,
                    reference: call.reference.to_owned(),
                    state: AttemptState::Started,
                    class: None,
                    code: None,
                    failure: None,
                    gateway_reference: None,
                    polls: 0,
                    started_at: call.started_at,
                    // An hour ago, so that a lookup that does not find the call is believed.
                    sent_at: call.started_at - TimeDelta::hours(1),
                },
                details: call.details,
                consent: call.consent,
                deadline_at: Utc::now() + TimeDelta::hours(48),
                setbacks: 0,
                reason: None,
                alternative: true,
                recovered_until: None,
            },
            strict: false,
            results: Vec::new(),
            actions: Vec::new(),
            last: None,
        }
    }

    /// Sets how long the merchant lets the call be looked up before another gateway account is called.
    pub(crate) fn set_patience(&mut self, patience: TimeDelta) {
        self.open.recovered_until = Some(Utc::now() + patience);
    }

    /// Whether the attempt is over, with its response lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.open.attempt.is_lost()
    }

    /// Makes it the attempt of this number.
    pub(crate) fn set_number(&mut self, number: i16) {
        self.open.attempt.number = number;
    }

    pub(crate) fn call(&self) -> Call<'_> {
        self.open.call()
    }

    pub(crate) fn gateway_reference(&self) -> Option<&str> {
        self.open.attempt.gateway_reference.as_deref()
    }

    /// Makes the first call.
    pub(crate) async fn verify(&mut self, connector: &dyn Connector) {
        self.advance(connector, NextAction::Verify).await;
    }

    /// Makes the next call, if the attempt is unfinished.
    pub(crate) async fn go_on(&mut self, connector: &dyn Connector) {
        let (state, call) = (self.open.attempt.state, self.open.call());
        let recovery = connector.recovery(call.details, call.method);
        match NextAction::resume(&self.open.attempt, recovery) {
            Some(action) => self.advance(connector, action).await,
            None if state == AttemptState::Settled => {}
            // The gateway offers no recovery: the planner gives the attempt up and begins another one.
            None => {
                let lost = Err(CallFailure::ResponseLost("no recovery".into()));
                let kind = CallKind::Verify;
                let advanced = self
                    .open
                    .record(connector, kind, lost, false, Utc::now(), JITTER);
                self.keep(advanced);
            }
        }
    }

    /// Makes the next calls until the attempt is settled, at most `calls`.
    pub(crate) async fn go_on_to_the_end(
        &mut self,
        connector: &dyn Connector,
        calls: usize,
        pause: Duration,
    ) {
        for _ in 0..calls {
            match self.open.attempt.state {
                AttemptState::Settled => return,
                AttemptState::Pending => tokio::time::sleep(pause).await,
                AttemptState::Started | AttemptState::Unknown => {}
            }
            self.go_on(connector).await;
        }
    }

    async fn advance(&mut self, connector: &dyn Connector, action: NextAction) {
        let (strict, details) = (self.strict, self.open.details);
        let is_mismatch = |response: &GatewayResponse| strict && is_another_name(details, response);
        let advanced = self
            .open
            .advance(connector, action, Utc::now, JITTER, is_mismatch)
            .await;
        self.keep(advanced);
    }

    fn keep(&mut self, advanced: Advanced) {
        self.results.push(match &advanced.result {
            Ok(response) => CallOutcome::Response(response.class),
            Err(CallFailure::NotSent(_)) => CallOutcome::NotSent,
            Err(CallFailure::ResponseLost(_)) => CallOutcome::Lost,
            Err(CallFailure::Rejected { .. }) => CallOutcome::Rejected,
            Err(CallFailure::NotReceived) => CallOutcome::NotReceived,
        });
        self.actions
            .push(action(&advanced.decision, advanced.decided_at));
        self.last = Some(advanced);
    }

    /// Returns the story so far.
    pub(crate) fn story(&self, rupees: u64) -> Story {
        let (Some(last), Some((action, meantime))) = (&self.last, self.actions.split_last()) else {
            panic!("no call was made");
        };
        let response = last.result.as_ref().ok();
        let name = response.and_then(|response| response.name_at_bank.as_deref());
        Story {
            results: self.results.clone(),
            meantime: meantime.to_vec(),
            action: *action,
            record: Record {
                state: last.decision.attempt.state,
                class: last.decision.attempt.class,
                listed: response.is_none_or(|response| !response.unlisted),
                reference: self.gateway_reference().is_some(),
                name: match name.filter(|name| !is_placeholder(name)) {
                    None => Name::Missing,
                    Some("ZUBIN IRANI") => Name::Another,
                    Some(_) => Name::Given,
                },
                utr: response.is_some_and(|response| response.utr.is_some()),
            },
            rupees,
        }
    }
}

fn action(decision: &Decision, now: DateTime<Utc>) -> Action {
    let until = match decision.next {
        Next::Complete { outcome, failure } => return Action::Complete(outcome, failure),
        Next::Wait { until, .. } => until,
    };
    let after = (until - now).to_std().unwrap_or_default();
    match decision.attempt.state {
        AttemptState::Pending => Action::Look(after),
        AttemptState::Started | AttemptState::Unknown => Action::Recover(after),
        AttemptState::Settled if after.is_zero() => Action::Elsewhere,
        AttemptState::Settled => Action::Again(after),
    }
}

fn is_another_name(details: &Details, response: &GatewayResponse) -> bool {
    let Details::Bank(bank) = details else {
        return false;
    };
    let given = bank.beneficiary_name.as_ref();
    given
        .zip(response.name_at_bank.as_ref())
        .and_then(|(given, at_bank)| name_match::compare(given.expose(), at_bank))
        .is_some_and(|found| found.result == NameMatchResult::NoMatch)
}
