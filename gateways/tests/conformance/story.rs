//! An attempt as the worker makes it: each call, what was heard, and what `decide` makes of it. Here are the worker's
//! own moves (`worker/src/step.rs`), without its lease, its Postgres and its waits.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use khata_domain::validation::{
    AttemptContext, AttemptState, CallKind, CallResult, Decision, FailureCode, Next, Outcome,
    decide,
};
use khata_domain::{CallFailure, Class, Details, GatewayResponse, Recovery};
use khata_gateways::{Call, Connector};
use khata_name_match::{self as name_match, NameMatchResult};

/// What came back of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// An answer of this class.
    Said(Class),
    /// Nothing, and nothing was sent.
    NotSent,
    /// Nothing, and it may have been acted upon.
    Lost,
    /// A look that was one too many.
    Rejected,
}

/// What the worker does next.
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
    /// None: none was told, or a placeholder.
    Nobody,
    /// One.
    Somebody,
    /// The one that the sandbox has for an account that is another's.
    Another,
}

/// The attempt's row, and what is kept of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) state: AttemptState,
    pub(crate) class: Option<Class>,
    /// Whether the code stands in a table of the connector's.
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
    pub(crate) heard: Vec<Word>,
    /// After each call but the last.
    pub(crate) meantime: Vec<Action>,
    /// After the last call.
    pub(crate) action: Action,
    pub(crate) record: Record,
    /// Rupees that the gateway dropped meanwhile.
    pub(crate) rupees: u64,
}

/// An attempt under way.
pub(crate) struct Attempt<'a> {
    pub(crate) call: Call<'a>,
    /// Whether the merchant takes another name for a failure.
    pub(crate) strict: bool,
    state: AttemptState,
    polls: i16,
    gateway_reference: Option<String>,
    heard: Vec<Word>,
    actions: Vec<Action>,
    last: Option<(CallResult, Decision)>,
}

impl<'a> Attempt<'a> {
    /// Written down, and not yet made.
    pub(crate) fn new(call: Call<'a>) -> Self {
        Self {
            call,
            strict: false,
            state: AttemptState::Started,
            polls: 0,
            gateway_reference: None,
            heard: Vec::new(),
            actions: Vec::new(),
            last: None,
        }
    }

    pub(crate) fn gateway_reference(&self) -> Option<&str> {
        self.gateway_reference.as_deref()
    }

    /// The first call.
    pub(crate) async fn verify(&mut self, connector: &dyn Connector) {
        let heard = connector.verify(&self.call).await;
        self.hear(connector, CallKind::Verify, heard);
    }

    /// What the attempt's state asks for next, if anything.
    pub(crate) async fn go_on(&mut self, connector: &dyn Connector) {
        let recovery = connector.recovery(self.call.details, self.call.method);
        match (self.state, recovery) {
            (AttemptState::Settled, _) => {}
            (AttemptState::Pending, _) => self.poll(connector).await,
            (AttemptState::Started | AttemptState::Unknown, Recovery::Lookup) => {
                self.polls += 1;
                match self.look(connector).await {
                    Ok(Some(answer)) => self.hear(connector, CallKind::Lookup, Ok(answer)),
                    Err(failure) => self.hear(connector, CallKind::Lookup, Err(failure)),
                    // Never seen: the same call under the same reference.
                    Ok(None) => self.verify(connector).await,
                }
            }
            (AttemptState::Started | AttemptState::Unknown, Recovery::Resubmit) => {
                self.polls += 1;
                let heard = connector.verify_again(&self.call).await;
                self.hear(connector, CallKind::Verify, heard);
            }
            // Nothing can be found out: it is given up for lost, and what comes next is another attempt.
            (AttemptState::Started | AttemptState::Unknown, Recovery::None) => {
                let lost = CallFailure::ResponseLost("nobody can tell".into());
                self.hear(connector, CallKind::Verify, Err(lost));
            }
        }
    }

    /// Goes on until nothing more will come of it, `calls` further calls at most.
    pub(crate) async fn go_on_to_the_end(
        &mut self,
        connector: &dyn Connector,
        calls: usize,
        pause: Duration,
    ) {
        for _ in 0..calls {
            if self.state == AttemptState::Settled {
                return;
            }
            if self.state == AttemptState::Pending {
                tokio::time::sleep(pause).await;
            }
            self.go_on(connector).await;
        }
    }

    /// What has come of it.
    pub(crate) fn story(&self, rupees: u64) -> Story {
        let (Some((heard, decision)), Some((action, meantime))) =
            (&self.last, self.actions.split_last())
        else {
            panic!("no call was made");
        };
        let answer = heard.as_ref().ok();
        let name = answer
            .and_then(|answer| answer.name_at_bank.as_ref())
            .filter(|name| !name_match::is_placeholder(name));
        Story {
            heard: self.heard.clone(),
            meantime: meantime.to_vec(),
            action: *action,
            record: Record {
                state: decision.attempt.state,
                class: decision.attempt.class,
                listed: answer.is_none_or(|answer| !answer.unlisted),
                reference: self.gateway_reference.is_some(),
                name: match name.map(String::as_str) {
                    None => Name::Nobody,
                    Some("ZUBIN IRANI") => Name::Another,
                    Some(_) => Name::Somebody,
                },
                utr: answer.is_some_and(|answer| answer.utr.is_some()),
            },
            rupees,
        }
    }

    async fn poll(&mut self, connector: &dyn Connector) {
        self.polls += 1;
        let heard = match self.look(connector).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(CallFailure::ResponseLost("unknown to the gateway".into())),
            Err(failure) => Err(failure),
        };
        self.hear(connector, CallKind::Lookup, heard);
    }

    async fn look(
        &self,
        connector: &dyn Connector,
    ) -> Result<Option<GatewayResponse>, CallFailure> {
        connector
            .lookup(&self.call, self.gateway_reference.as_deref())
            .await
    }

    fn hear(
        &mut self,
        connector: &dyn Connector,
        asked: CallKind,
        heard: Result<GatewayResponse, CallFailure>,
    ) {
        let now = Utc::now();
        let standing = AttemptContext {
            now,
            deadline_at: now + TimeDelta::hours(48),
            attempt: self.state,
            polls: self.polls,
            setbacks: 0,
            alternative: true,
            moves_money: self.call.method.moves_money(),
            recovery: connector.recovery(self.call.details, self.call.method),
            polling: connector.polling(self.call.method),
            name_mismatch: self.strict && is_another_name(self.call.details, &heard),
            // In the middle: waits are what they are on average.
            jitter: 0.5,
        };
        let decision = decide(&standing, asked, &heard);
        self.state = decision.attempt.state;
        self.heard.push(match &heard {
            Ok(answer) => Word::Said(answer.class),
            Err(CallFailure::NotSent(_)) => Word::NotSent,
            Err(CallFailure::ResponseLost(_)) => Word::Lost,
            Err(CallFailure::Rejected { .. }) => Word::Rejected,
        });
        if let Ok(answer) = &heard {
            let theirs = answer.gateway_reference.clone();
            self.gateway_reference = theirs.or_else(|| self.gateway_reference.take());
        }
        self.actions.push(action(&decision, now));
        self.last = Some((heard, decision));
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

fn is_another_name(details: &Details, heard: &CallResult) -> bool {
    let (Details::Bank(bank), Ok(answer)) = (details, heard) else {
        return false;
    };
    bank.beneficiary_name
        .as_ref()
        .zip(answer.name_at_bank.as_ref())
        .and_then(|(given, at_bank)| name_match::compare(given.expose(), at_bank))
        .is_some_and(|found| found.result == NameMatchResult::NoMatch)
}
