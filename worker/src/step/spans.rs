//! What a step leaves in the account's trace.

use std::time::SystemTime;

use khata_domain::gateway::RESPONSE_LOST;
use khata_domain::validation::{AttemptState, FailureCode, Next};
use khata_domain::{Class, Gateway};
use khata_queue::ReceivedWakeup;
use khata_store::validations::{Claimed, Settlement};
use khata_telemetry::{self as telemetry, LateSpan};
use tracing::{Span, field};

/// A step's span: made only in a recorded trace, so that all others cost nothing.
pub(super) fn process(queue: &str, wakeup: &ReceivedWakeup) -> Span {
    telemetry::in_trace(wakeup.trace_parent.as_deref(), || {
        tracing::info_span!(
            "process",
            otel.name = name(queue),
            otel.kind = "consumer",
            otel.status_code = field::Empty,
            error.r#type = field::Empty,
            messaging.system = "rabbitmq",
            messaging.operation.name = "process",
            messaging.operation.r#type = "process",
            messaging.destination.name = queue,
            khata.merchant_id = %wakeup.key.merchant,
            khata.validation_id = %wakeup.key.id,
            khata.account_id = field::Empty,
            khata.routing_id = field::Empty,
            khata.gateway = field::Empty,
            khata.gateway_reference_id = field::Empty,
            khata.attempt = field::Empty,
            khata.class = field::Empty,
            khata.code = field::Empty,
            khata.outcome = field::Empty,
        )
    })
    .unwrap_or_else(Span::none)
}

/// A span inside the current one; none where there is none.
pub(super) fn child(name: &'static str) -> Span {
    if Span::current().is_disabled() {
        Span::none()
    } else {
        tracing::info_span!("step", otel.name = name)
    }
}

/// A step that is over.
pub(super) struct Ended<'a> {
    pub(super) queue: &'a str,
    pub(super) claimed: &'a Claimed,
    pub(super) began: SystemTime,
    /// What it came to; `None` where it was given up.
    pub(super) settlement: Option<&'a Settlement>,
    /// Why that was not written down.
    pub(super) unsettled: Option<&'static str>,
}

/// Tells the trace how it ended. In a trace that is not recorded this is a span only if it failed or was slow.
pub(super) fn end(ended: &Ended<'_>) {
    let error = ended
        .unsettled
        .or_else(|| ended.settlement.and_then(error_type));
    let span = Span::current();
    if !span.is_disabled() {
        for (name, value) in ended.settlement.into_iter().flat_map(told) {
            span.record(name, value);
        }
        if let Some(error) = error {
            telemetry::fail(&span, error);
        }
        return;
    }
    let Some(trace_parent) = ended.claimed.trace_parent.as_deref() else {
        return;
    };
    let took = ended.began.elapsed().unwrap_or_default();
    if error.is_some() || telemetry::is_slow(took) {
        let span = LateSpan {
            name: name(ended.queue),
            began: ended.began,
            attributes: attributes(ended),
            error,
        };
        telemetry::record_late(trace_parent, span);
    }
}

fn name(queue: &str) -> String {
    format!("process {queue}")
}

fn attributes(ended: &Ended<'_>) -> Vec<(&'static str, String)> {
    let claimed = ended.claimed;
    let key = claimed.key;
    let mut attributes = vec![
        ("messaging.system", "rabbitmq".to_owned()),
        ("messaging.operation.name", "process".to_owned()),
        ("messaging.operation.type", "process".to_owned()),
        ("messaging.destination.name", ended.queue.to_owned()),
        ("khata.merchant_id", key.merchant.to_string()),
        ("khata.validation_id", key.id.to_string()),
        ("khata.account_id", claimed.account.to_string()),
        ("khata.routing_id", claimed.routing_id()),
    ];
    if let Some(settlement) = ended.settlement {
        if let Some(by) = &settlement.provenance {
            let gateway = Gateway::from_id(by.gateway_id).map(Gateway::name);
            attributes.extend(gateway.map(|name| ("khata.gateway", name.to_owned())));
            attributes.push((
                "khata.gateway_reference_id",
                by.gateway_reference_id.clone(),
            ));
        }
        if let Some(attempt) = &settlement.attempt {
            attributes.push(("khata.attempt", attempt.number.to_string()));
        }
        attributes.extend(told(settlement).map(|(name, value)| (name, value.to_owned())));
    }
    attributes
}

/// What was heard and what came of it.
fn told(settlement: &Settlement) -> impl Iterator<Item = (&'static str, &str)> {
    let end = settlement.attempt.as_ref().map(|attempt| &attempt.end);
    let outcome = match &settlement.next {
        Next::Complete { outcome, .. } => Some(outcome.as_str()),
        Next::Wait { .. } => None,
    };
    [
        end.and_then(|end| end.class)
            .map(|class| ("khata.class", class.as_str())),
        end.map(|end| ("khata.code", end.code.as_str())),
        outcome.map(|outcome| ("khata.outcome", outcome)),
    ]
    .into_iter()
    .flatten()
}

/// `error.type` of what somebody has to look at: no answer, a gateway that is down or refuses us, a code that stands in no
/// table, a payee that nobody could tell of. An invalid account is no error.
fn error_type(settlement: &Settlement) -> Option<&'static str> {
    if let Next::Complete {
        failure: Some(failure @ FailureCode::ValidationUnavailable),
        ..
    } = &settlement.next
    {
        return Some(failure.as_str());
    }
    let attempt = settlement.attempt.as_ref()?;
    match attempt.end.class {
        _ if attempt.unlisted_code => Some("unlisted_code"),
        Some(class @ (Class::Retryable | Class::Misconfigured)) => Some(class.as_str()),
        None if attempt.end.state == AttemptState::Unknown => Some(RESPONSE_LOST),
        _ => None,
    }
}
