//! Spans and attributes that all parts of Khata share, named by OpenTelemetry's semantic conventions.

use opentelemetry::trace::TraceContextExt;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes a client span for work in Postgres, inside the current span; none if the current one is not recorded. `summary`
/// describes the work in a few words, without values: it becomes the span's name and `db.query.summary`.
pub fn database(summary: &'static str) -> Span {
    let current = Span::current();
    if current.is_disabled() || !current.context().span().span_context().is_sampled() {
        return Span::none();
    }
    tracing::info_span!(
        "database",
        otel.name = summary,
        otel.kind = "client",
        otel.status_code = field::Empty,
        error.r#type = field::Empty,
        db.system.name = "postgresql",
        db.query.summary = summary,
    )
}

/// Marks a span as failed; `error_type` is a code or a status, never a text with values. The span must have the fields
/// `otel.status_code` and `error.type`.
pub fn fail(span: &Span, error_type: &str) {
    span.record("otel.status_code", "ERROR")
        .record("error.type", error_type);
}
