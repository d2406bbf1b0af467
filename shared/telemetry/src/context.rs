//! W3C trace contexts: parsing, formatting, parents and links.

use std::fmt::Write;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Length of a `traceparent`.
const LENGTH: usize = 55;

/// Returns the W3C `traceparent` of a span; `None` if tracing is off.
pub fn trace_parent_of(span: &Span) -> Option<String> {
    let context = span.context();
    let span_context = context.span().span_context().clone();
    span_context.is_valid().then(|| {
        let (trace, span) = (span_context.trace_id(), span_context.span_id());
        let flags = span_context.trace_flags().to_u8();
        let mut text = String::with_capacity(LENGTH);
        // Writing to a string cannot fail.
        let _ = write!(text, "00-{trace}-{span}-{flags:02x}");
        text
    })
}

/// Whether a `traceparent` belongs to a recorded trace.
pub fn is_recorded(trace_parent: &str) -> bool {
    parse(trace_parent).is_some_and(|context| context.is_sampled())
}

/// Returns the trace id of a `traceparent`, if the trace is recorded.
pub fn recorded_trace_id(trace_parent: &str) -> Option<&str> {
    let is_recorded = is_recorded(trace_parent);
    trace_parent.split('-').nth(1).filter(|_| is_recorded)
}

/// Makes a span as a child of `trace_parent`; `None`, without making one, if there is no parent or its trace is not
/// recorded.
pub fn in_trace(trace_parent: Option<&str>, make: impl FnOnce() -> Span) -> Option<Span> {
    let trace_parent = trace_parent.filter(|text| is_recorded(text))?;
    let span = make();
    continue_trace(&span, trace_parent);
    Some(span)
}

/// Makes a span, which has not been entered, the child of a span of another process, recorded or not. A malformed
/// `trace_parent` changes nothing.
pub fn continue_trace(span: &Span, trace_parent: &str) {
    if let Some(parent) = parse(trace_parent) {
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Links a span to a span of another trace.
pub fn link(span: &Span, trace_parent: &str) {
    if let Some(context) = parse(trace_parent) {
        span.add_link(context);
    }
}

/// Returns the context of the same span in a recorded trace.
pub(super) fn sampled(context: &SpanContext) -> SpanContext {
    SpanContext::new(
        context.trace_id(),
        context.span_id(),
        context.trace_flags().with_sampled(true),
        context.is_remote(),
        context.trace_state().clone(),
    )
}

pub(super) fn parse(trace_parent: &str) -> Option<SpanContext> {
    let mut parts = trace_parent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2
        || version == "ff"
        || trace.len() != 32
        || span.len() != 16
        || flags.len() != 2
    {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_trace_parents_parse() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_recorded(good));
        assert!(!is_recorded(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
        ));
        assert_eq!(
            recorded_trace_id(good),
            Some("4bf92f3577b34da6a3ce929d0e0e4736")
        );
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-xyz-00f067aa0ba902b7-01",
            "é-é-é-é",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
