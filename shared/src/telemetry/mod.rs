//! Traces over OTLP and logs as JSON lines, each line with its trace.
//!
//! Never in a span or a line: account numbers, VPAs, names, a merchant's own customer reference, keys, bodies, SQL
//! with values. Ids of ours, codes, counts and times are welcome (see `docs/operations.md`).

mod log_format;
mod sampler;

use std::time::Duration;

use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Longest wait for the collector to take a batch, and at the end for the last one.
const EXPORT_PATIENCE: Duration = Duration::from_secs(3);

/// What to record and where to send it.
#[derive(Clone, Debug, clap::Args)]
pub struct TelemetrySettings {
    /// OTLP gRPC endpoint that spans are sent to, as http://host:4317; none are sent without it
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Traces begun in a second that are recorded, by each process; beyond it traces are not recorded
    #[arg(long, env = "KHATA_TRACES_PER_SECOND", default_value_t = 100)]
    pub traces_per_second: u32,
    /// What is logged, as a tracing filter: `info`, `debug`, `info,khata_worker=debug`
    #[arg(long = "log", env = "KHATA_LOG", default_value = "info")]
    pub log: String,
}

/// Keeps telemetry alive; flushes what is left when it is shut down.
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter.
    #[error("KHATA_LOG is not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The endpoint.
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Starts logging and tracing for the process; inside a tokio runtime, which the exporter's channel runs on.
pub fn start(
    settings: &TelemetrySettings,
    service: &'static str,
) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log)?;
    let logs = tracing_subscriber::fmt::layer()
        .event_format(log_format::JsonLines::new(service))
        // A line names its trace, not its spans' fields: they need not be written down for it.
        .fmt_fields(tracing_subscriber::fmt::format::debug_fn(|_, _, _| Ok(())))
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let registry = tracing_subscriber::registry().with(logs);
    let Some(endpoint) = &settings.otlp_endpoint else {
        registry.init();
        return Ok(Telemetry(None));
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_PATIENCE)
        .build()?;
    // A full queue drops spans: the service never waits for its collector.
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(2_048)
        .with_max_export_batch_size(512)
        .with_scheduled_delay(Duration::from_secs(1))
        .build();
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.namespace", "khata"))
        .with_attribute(KeyValue::new(
            "service.instance.id",
            uuid::Uuid::new_v4().to_string(),
        ))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(
            BatchSpanProcessor::builder(exporter)
                .with_batch_config(batches)
                .build(),
        )
        .with_sampler(sampler::ParentOrRate::new(settings.traces_per_second))
        .with_resource(resource)
        .build();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("khata"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(tracing_subscriber::filter::filter_fn(|metadata| {
            metadata.is_span() && metadata.target().starts_with("khata")
        }));
    registry.with(spans).init();
    Ok(Telemetry(Some(provider)))
}

impl Telemetry {
    /// Sends what is left, within three seconds.
    pub fn shut_down(self) {
        if let Some(provider) = self.0 {
            let _ = provider.shutdown_with_timeout(EXPORT_PATIENCE);
        }
    }
}

/// The W3C `traceparent` of a span; `None` where spans are not traced at all.
pub fn trace_parent_of(span: &Span) -> Option<String> {
    let context = span.context();
    let span_context = context.span().span_context().clone();
    span_context.is_valid().then(|| {
        format!(
            "00-{}-{}-{:02x}",
            span_context.trace_id(),
            span_context.span_id(),
            span_context.trace_flags().to_u8()
        )
    })
}

/// Whether a `traceparent` belongs to a recorded trace.
pub fn is_recorded(trace_parent: &str) -> bool {
    parse(trace_parent).is_some_and(|context| context.is_sampled())
}

/// The trace that a `traceparent` is in, where it is recorded.
pub fn recorded_trace_id(trace_parent: &str) -> Option<&str> {
    let is_recorded = is_recorded(trace_parent);
    trace_parent.split('-').nth(1).filter(|_| is_recorded)
}

/// Makes a span as a child of the trace that `trace_parent` tells of; `None`, and nothing is made, where there is none
/// or it is not recorded.
pub fn in_trace(trace_parent: Option<&str>, make: impl FnOnce() -> Span) -> Option<Span> {
    let parent = parse(trace_parent?).filter(SpanContext::is_sampled)?;
    let span = make();
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    Some(span)
}

/// Links a span to the trace of whoever called, which we do not continue: a stranger does not decide what we record.
pub fn link_caller(span: &Span, trace_parent: &str) {
    if let Some(context) = parse(trace_parent) {
        span.add_link(context);
    }
}

fn parse(trace_parent: &str) -> Option<SpanContext> {
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
    fn trace_parents_are_read_strictly() {
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
