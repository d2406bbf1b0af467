//! Asking a gateway about an attempt in hand, and judging what it said.

use chrono::Utc;
use khata_domain::validation::{
    AttemptContext, AttemptState, CallKind, CallResult, Decision, decide,
};
use khata_domain::{CallFailure, Details, Method, Recovery};
use khata_gateways::{Call, Connector};
use khata_name_match::{self as name_match, NameMatch, NameMatchResult};
use tracing::Instrument;

use super::spans::child;
use crate::plan::NextAction;

/// What changes about an attempt while it is in hand.
pub(super) struct Case {
    pub(super) deadline_at: chrono::DateTime<Utc>,
    pub(super) setbacks: u32,
    pub(super) alternative: bool,
    pub(super) recovery: Recovery,
    pub(super) state: AttemptState,
    pub(super) polls: i16,
    pub(super) gateway_reference: Option<String>,
    pub(super) fail_on_name_mismatch: bool,
}

impl Case {
    pub(super) fn decide(
        &self,
        connector: &dyn Connector,
        method: Method,
        asked: CallKind,
        heard: &CallResult,
        name_match: Option<NameMatch>,
    ) -> Decision {
        let standing = AttemptContext {
            now: Utc::now(),
            deadline_at: self.deadline_at,
            attempt: self.state,
            polls: self.polls,
            setbacks: self.setbacks,
            alternative: self.alternative,
            moves_money: method.moves_money(),
            recovery: self.recovery,
            polling: connector.polling(method),
            name_mismatch: self.fail_on_name_mismatch && is_mismatch(name_match),
            jitter: rand::random(),
        };
        decide(&standing, asked, heard)
    }

    pub(super) fn learn(&mut self, decision: &Decision, heard: &CallResult) {
        self.state = decision.attempt.state;
        if let Ok(answer) = heard {
            self.gateway_reference = answer
                .gateway_reference
                .clone()
                .or_else(|| self.gateway_reference.take());
        }
    }
}

/// Makes the call that the move asks for. A call that the gateway has never seen is made under the same reference.
pub(super) async fn ask(
    connector: &dyn Connector,
    call: &Call<'_>,
    next: NextAction,
    case: &mut Case,
) -> (CallKind, CallResult) {
    let next = match next {
        NextAction::UseWebhook(answer) => return (CallKind::Lookup, Ok(*answer)),
        next => next,
    };
    // Counted too where the call is made again: the wait before the next time grows with it.
    if next != NextAction::Verify {
        case.polls = case.polls.saturating_add(1);
    }
    if matches!(next, NextAction::Recover | NextAction::Poll) {
        match connector
            .lookup(call, case.gateway_reference.as_deref())
            .await
        {
            Ok(Some(answer)) => return (CallKind::Lookup, Ok(answer)),
            Err(failure) => return (CallKind::Lookup, Err(failure)),
            // It said that it would know later and now knows nothing: do not pay again on that word.
            Ok(None) if next == NextAction::Poll => {
                return (
                    CallKind::Lookup,
                    Err(CallFailure::ResponseLost("unknown to the gateway".into())),
                );
            }
            Ok(None) => {}
        }
    }
    let verify = match next {
        NextAction::VerifyAgain => connector.verify_again(call),
        _ => connector.verify(call),
    };
    let heard = match verify.instrument(child("verify at gateway")).await {
        Ok(answer) => Ok(answer),
        Err(failure) => Err(failure),
    };
    (CallKind::Verify, heard)
}

/// The name that the merchant gave against the one the bank has, where there are both.
pub(super) fn name_match(details: &Details, heard: &CallResult) -> Option<NameMatch> {
    match heard {
        Ok(answer) => compare_names(details, answer.name_at_bank.as_ref()?),
        Err(_) => None,
    }
}

pub(super) fn compare_names(details: &Details, at_bank: &str) -> Option<NameMatch> {
    match details {
        Details::Bank(bank) => {
            let given = bank.beneficiary_name.as_ref()?;
            name_match::compare(given.expose(), at_bank)
        }
        Details::Upi(_) => None,
    }
}

pub(super) fn is_mismatch(name_match: Option<NameMatch>) -> bool {
    name_match.is_some_and(|name_match| name_match.result == NameMatchResult::NoMatch)
}
