//! The attempt driver: makes one call, with its recovery, and decides about the result. The worker makes all its calls
//! through the driver, and the conformance suite tests every connector with it.

use chrono::{DateTime, Utc};
use khata_domain::attempt::{Attempt, CallKind, CallResult, NextAction};
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::mutants::{self, Mutant};
use khata_domain::validation::{AttemptContext, Decision, FailureCode, decide};
use khata_domain::{CallFailure, Consent, Details, GatewayResponse};
use tracing::{Instrument, Span};

use crate::connector::{Call, Connector};

/// An unfinished attempt, and everything that its calls and decisions need.
#[derive(Clone, Debug)]
pub struct OpenAttempt<'a> {
    /// Kept up to date by each call.
    pub attempt: Attempt,
    pub details: &'a Details,
    pub consent: Option<&'a Consent>,
    /// When the validation ends without an outcome.
    pub deadline_at: DateTime<Utc>,
    /// Settled attempts of the validation before this one.
    pub setbacks: u32,
    /// The newest reason that a gateway gave, in any attempt, why the account takes no credit.
    pub reason: Option<FailureCode>,
    /// Whether another gateway account is tried next if this one cannot decide.
    pub alternative: bool,
    /// When a lost response is given up and another gateway account is tried; `None` if there is no other.
    pub recovered_until: Option<DateTime<Utc>>,
}

/// The result of an action, and the decision about it.
#[derive(Clone, Debug)]
pub struct Advanced {
    pub result: CallResult,
    pub decision: Decision,
    /// When the decision was made; waits begin then.
    pub decided_at: DateTime<Utc>,
}

impl OpenAttempt<'_> {
    /// Returns the call to make or to look up.
    pub fn call(&self) -> Call<'_> {
        Call {
            reference: &self.attempt.reference,
            details: self.details,
            method: self.attempt.method,
            consent: self.consent,
            attempt: self.attempt.number,
            started_at: self.attempt.started_at,
        }
    }

    /// Makes the call of the action, decides about the result and updates the attempt. `now` returns the time by the clock of
    /// the stored times. `is_mismatch` compares names: whether the response has a name that fails the account. `jitter` is
    /// random, `0.0..1.0`.
    pub async fn advance(
        &mut self,
        connector: &dyn Connector,
        action: NextAction,
        now: impl Fn() -> DateTime<Utc>,
        jitter: f64,
        is_mismatch: impl FnOnce(&GatewayResponse) -> bool,
    ) -> Advanced {
        // Repeated calls count too: the delay before the next one grows with them.
        if !matches!(action, NextAction::Verify | NextAction::UseWebhook(_)) {
            self.attempt.polls = self.attempt.polls.saturating_add(1);
        }
        let called_at = now();
        let (kind, result) = self.make_call(connector, action).await;
        let name_mismatch = result.as_ref().is_ok_and(is_mismatch);
        let times = Times {
            called_at,
            decided_at: now(),
        };
        self.decide(connector, (kind, result), name_mismatch, &times, jitter)
    }

    async fn make_call(
        &self,
        connector: &dyn Connector,
        action: NextAction,
    ) -> (CallKind, CallResult) {
        let call = self.call();
        let reference = self.attempt.gateway_reference.as_deref();
        let verified = match action {
            NextAction::UseWebhook(response) => return (CallKind::Lookup, Ok(*response)),
            NextAction::Poll => {
                failpoints::pass(Failpoint::LOOKUP_BEFORE_REQUEST).await;
                let found = connector.lookup(&call, reference).await;
                failpoints::pass(Failpoint::LOOKUP_AFTER_RESPONSE).await;
                let found = found.and_then(|found| found.ok_or(CallFailure::NotReceived));
                return (CallKind::Lookup, found);
            }
            NextAction::Verify => {
                failpoints::pass(Failpoint::CALL_BEFORE_REQUEST).await;
                let verified = connector.verify(&call).instrument(verify_span()).await;
                failpoints::pass(Failpoint::CALL_AFTER_RESPONSE).await;
                verified
            }
            NextAction::VerifyAgain => {
                let other =
                    mutants::is_on(Mutant::NewReference).then(|| format!("{}r", call.reference));
                let call = Call {
                    reference: other.as_deref().unwrap_or(call.reference),
                    ..call
                };
                failpoints::pass(Failpoint::REPEAT_BEFORE_REQUEST).await;
                let verify = connector.verify_again(&call);
                let verified = verify.instrument(verify_span()).await;
                failpoints::pass(Failpoint::REPEAT_AFTER_RESPONSE).await;
                verified
            }
        };
        (CallKind::Verify, verified)
    }

    /// Decides about a call that was not made, or of which no response can come, and updates the attempt.
    pub fn record(
        &mut self,
        connector: &dyn Connector,
        kind: CallKind,
        result: CallResult,
        name_mismatch: bool,
        decided_at: DateTime<Utc>,
        jitter: f64,
    ) -> Advanced {
        let times = Times {
            called_at: decided_at,
            decided_at,
        };
        self.decide(connector, (kind, result), name_mismatch, &times, jitter)
    }

    fn decide(
        &mut self,
        connector: &dyn Connector,
        (kind, result): (CallKind, CallResult),
        name_mismatch: bool,
        times: &Times,
        jitter: f64,
    ) -> Advanced {
        let context = AttemptContext {
            now: times.decided_at,
            called_at: times.called_at,
            deadline_at: self.deadline_at,
            attempt: &self.attempt,
            setbacks: self.setbacks,
            reason: self.reason,
            alternative: self.alternative,
            recovery: connector.recovery(self.details, self.attempt.method),
            late_calls: connector.late_calls(self.details),
            recovered_until: self.recovered_until,
            polling: connector.polling(self.attempt.method),
            name_mismatch,
            jitter,
        };
        let decision = decide(&context, kind, &result);
        self.attempt.state = decision.attempt.state;
        self.attempt.code = Some(decision.attempt.code.clone());
        let failure = result.as_ref().ok().and_then(|response| response.failure);
        self.attempt.failure = failure.or(self.attempt.failure);
        if let Ok(response) = &result
            && response.gateway_reference.is_some()
        {
            let reference = &response.gateway_reference;
            self.attempt.gateway_reference.clone_from(reference);
        }
        Advanced {
            result,
            decision,
            decided_at: times.decided_at,
        }
    }
}

/// When a call began, and when its result is decided about.
struct Times {
    called_at: DateTime<Utc>,
    decided_at: DateTime<Utc>,
}

/// A span inside the current one; none if the trace is not recorded.
fn verify_span() -> Span {
    if Span::current().is_disabled() {
        Span::none()
    } else {
        tracing::info_span!("step", otel.name = "verify at gateway")
    }
}
