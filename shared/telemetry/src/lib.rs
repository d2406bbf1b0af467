//! Traces over OTLP and logs as JSON lines, each line with its trace.
//!
//! Never in a span or a line: account numbers, VPAs, names, a merchant's own customer reference, keys, bodies, SQL
//! with values. Ids of ours, codes, counts and times are welcome (see `docs/operations.md`).

mod context;
mod keep;
mod late;
mod log_format;
pub mod metrics;
mod sampler;
mod spans;

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use context::{in_trace, is_recorded, link, recorded_trace_id, trace_parent_of};
pub use late::{LateSpan, is_slow, record_late};
pub use spans::{database, fail};

/// Longest wait for the collector to take a batch, and at the end for the last one.
const EXPORT_PATIENCE: Duration = Duration::from_secs(3);

/// What to record and where to send it.
#[derive(Clone, Debug, clap::Args)]
pub struct TelemetrySettings {
    /// OTLP gRPC endpoint that spans are sent to, as http://host:4317; none are sent without it
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Traces begun in a second that are recorded, by each process; beyond it only what fails or is slow is recorded
    #[arg(long, env = "KHATA_TRACES_PER_SECOND", default_value_t = 100)]
    pub traces_per_second: u32,
    /// What takes longer is slow, and recorded whatever the rate, in milliseconds
    #[arg(long, env = "KHATA_TRACES_SLOW_MS", default_value_t = 2_000)]
    pub slow_trace_ms: u64,
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
    let slow = Duration::from_millis(settings.slow_trace_ms);
    let batch_processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(batches)
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(keep::KeepFailedAndSlow::new(batch_processor, slow))
        .with_sampler(sampler::ParentOrRate::new(settings.traces_per_second))
        .with_resource(resource)
        .build();
    late::install(provider.tracer("khata"), slow);
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
