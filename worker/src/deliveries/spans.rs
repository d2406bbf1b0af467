//! The span of an attempt, in the account's trace.

use khata_store::events::Event;
use khata_telemetry as telemetry;
use tracing::{Span, field};

use super::body::Started;

/// Returns the span of one attempt; none if the trace is not recorded.
pub(super) fn deliver(started: &Started) -> Span {
    let Some(event) = started.event() else {
        return Span::none();
    };
    let Event {
        id,
        name,
        trace_parent,
        ..
    } = event;
    let delivery = &started.delivery;
    telemetry::in_trace(trace_parent.as_deref(), || {
        tracing::info_span!(
            "deliver",
            otel.name = "deliver event",
            otel.status_code = field::Empty,
            error.r#type = field::Empty,
            khata.merchant_id = %delivery.key.merchant,
            khata.webhook_endpoint_id = %delivery.key.endpoint,
            khata.event_id = %id,
            khata.event_name = name.as_str(),
            khata.attempt = delivery.number,
            http.response.status_code = field::Empty,
        )
    })
    .unwrap_or_else(Span::none)
}
