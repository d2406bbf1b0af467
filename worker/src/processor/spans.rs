//! The spans of a processed validation, in the account's trace.

use std::time::SystemTime;

use khata_domain::gateway::RESPONSE_LOST;
use khata_domain::validation::{AttemptState, FailureCode, Next};
use khata_domain::{Class, Gateway};
use khata_queue::Wakeup;
use khata_store::validations::{Claimed, Settlement};
use khata_telemetry::{self as telemetry, LateSpan};
use tracing::{Span, field};

/// Returns the span of one processed validation; none if the trace is not recorded.
pub(super) fn process(queue: &str, wakeup: &Wakeup) -> Span {
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
            khata.pending_reason = field::Empty,
        )
    })
    .unwrap_or_else(Span::none)
}

/// Records the result in the trace. A trace that is not recorded gets a span only for a failure or a slow result.
/// `settlement`: `None` if processing stopped early. `unsettled`: why the settlement was not stored.
pub(super) fn end(
    queue: &str,
    claimed: &Claimed,
    began: SystemTime,
    settlement: Option<&Settlement>,
    unsettled: Option<&'static str>,
) {
    let error = unsettled.or_else(|| settlement.and_then(error_type));
    let span = Span::current();
    if !span.is_disabled() {
        for (name, value) in settlement.into_iter().flat_map(result_attributes) {
            span.record(name, value);
        }
        if let Some(error) = error {
            telemetry::fail(&span, error);
        }
        return;
    }
    let Some(trace_parent) = claimed.trace_parent.as_deref() else {
        return;
    };
    let took = began.elapsed().unwrap_or_default();
    if error.is_some() || telemetry::is_slow(took) {
        let span = LateSpan {
            name: name(queue),
            began,
            attributes: attributes(queue, claimed, settlement),
            error,
        };
        telemetry::record_late(trace_parent, span);
    }
}

fn name(queue: &str) -> String {
    format!("process {queue}")
}

fn attributes(
    queue: &str,
    claimed: &Claimed,
    settlement: Option<&Settlement>,
) -> Vec<(&'static str, String)> {
    let key = claimed.key;
    let mut attributes = vec![
        ("messaging.system", "rabbitmq".to_owned()),
        ("messaging.operation.name", "process".to_owned()),
        ("messaging.operation.type", "process".to_owned()),
        ("messaging.destination.name", queue.to_owned()),
        ("khata.merchant_id", key.merchant.to_string()),
        ("khata.validation_id", key.id.to_string()),
        ("khata.account_id", claimed.account.to_string()),
        ("khata.routing_id", claimed.routing_id()),
    ];
    if let Some(settlement) = settlement {
        if let Some(by) = &settlement.provenance {
            let gateway = Gateway::from_id(by.gateway_id).map(Gateway::name);
            attributes.extend(gateway.map(|name| ("khata.gateway", name.to_owned())));
            let reference = by.gateway_reference_id.clone();
            attributes.push(("khata.gateway_reference_id", reference));
        }
        if let Some(attempt) = &settlement.attempt {
            attributes.push(("khata.attempt", attempt.number.to_string()));
        }
        let results = result_attributes(settlement);
        attributes.extend(results.map(|(name, value)| (name, value.to_owned())));
    }
    attributes
}

fn result_attributes(settlement: &Settlement) -> impl Iterator<Item = (&'static str, &str)> {
    let end = settlement.attempt.as_ref().map(|attempt| &attempt.end);
    let class = end.and_then(|end| end.class);
    let (outcome, pending_reason) = match &settlement.next {
        Next::Complete { outcome, .. } => (Some(outcome.as_str()), None),
        Next::Wait { reason, .. } => (None, Some(reason.as_str())),
    };
    [
        class.map(|class| ("khata.class", class.as_str())),
        end.map(|end| ("khata.code", end.code.as_str())),
        outcome.map(|outcome| ("khata.outcome", outcome)),
        pending_reason.map(|reason| ("khata.pending_reason", reason)),
    ]
    .into_iter()
    .flatten()
}

/// Returns `error.type` of a result that an operator should check: no response, a gateway that is down or rejects us, an
/// unknown code, a validation without outcome. An invalid account is not an error.
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
