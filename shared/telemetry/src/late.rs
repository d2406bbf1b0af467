//! Late spans: work in a trace that is not recorded, exported after the work turned out to be slow or to fail.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::context::{parse, sampled};

static LATE: OnceLock<Late> = OnceLock::new();

struct Late {
    tracer: SdkTracer,
    slow: Duration,
}

/// A consumer's span that did not exist while its work ran.
#[derive(Debug)]
pub struct LateSpan {
    pub name: String,
    /// When the work began; the span ends now.
    pub began: SystemTime,
    pub attributes: Vec<(&'static str, String)>,
    /// `error.type`, if the work failed.
    pub error: Option<&'static str>,
}

pub(super) fn install(tracer: SdkTracer, slow: Duration) {
    let _ = LATE.set(Late { tracer, slow });
}

/// Whether work of this duration is slow enough to be exported; false if tracing is off.
pub fn is_slow(took: Duration) -> bool {
    LATE.get().is_some_and(|late| took >= late.slow)
}

/// Exports the span as a child of `trace_parent`, recorded or not. Does nothing if tracing is off.
pub fn record_late(trace_parent: &str, span: LateSpan) {
    let (Some(late), Some(parent)) = (LATE.get(), parse(trace_parent)) else {
        return;
    };
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
    // The sampler takes the decision of the parent.
    let context = Context::new().with_remote_span_context(sampled(&parent));
    let mut late_span = late.tracer.build_with_context(builder, &context);
    if span.error.is_some() {
        late_span.set_status(Status::error(""));
    }
    late_span.end();
}
