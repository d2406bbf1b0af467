//! Spans of work in a trace that is not recorded, told once it is known that somebody will want to see them.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::context::parse;

static LATE: OnceLock<Late> = OnceLock::new();

struct Late {
    tracer: SdkTracer,
    slow: Duration,
}

/// A consumer's span that was not made while its work was done.
#[derive(Debug)]
pub struct LateSpan {
    /// As it would have been named.
    pub name: String,
    /// When the work began; it ends now.
    pub began: SystemTime,
    /// What would have been recorded on it.
    pub attributes: Vec<(&'static str, String)>,
    /// `error.type`, where it failed.
    pub error: Option<&'static str>,
}

pub(super) fn install(tracer: SdkTracer, slow: Duration) {
    let _ = LATE.set(Late { tracer, slow });
}

/// Whether work that took so long is recorded for it; never where nothing is traced.
pub fn is_slow(took: Duration) -> bool {
    LATE.get().is_some_and(|late| took >= late.slow)
}

/// Exports the span in the trace that `trace_parent` tells of, recorded or not. Nothing where nothing is traced.
pub fn record_late(trace_parent: &str, span: LateSpan) {
    let (Some(late), Some(parent)) = (LATE.get(), parse(trace_parent)) else {
        return;
    };
    // The sampler follows its parent.
    let parent = SpanContext::new(
        parent.trace_id(),
        parent.span_id(),
        parent.trace_flags().with_sampled(true),
        true,
        parent.trace_state().clone(),
    );
    let attributes = span
        .attributes
        .into_iter()
        .chain(span.error.map(|error| ("error.type", error.to_owned())))
        .map(|(name, value)| KeyValue::new(name, value));
    let builder = late
        .tracer
        .span_builder(span.name)
        .with_kind(SpanKind::Consumer)
        .with_start_time(span.began)
        .with_attributes(attributes);
    let context = Context::new().with_remote_span_context(parent);
    let mut told = late.tracer.build_with_context(builder, &context);
    if span.error.is_some() {
        told.set_status(Status::error(""));
    }
    told.end();
}
