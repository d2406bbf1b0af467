//! Traces over OTLP, and logs with their trace ids.
//!
//! Never put into a span or a log line: account numbers, VPAs, names, a merchant's customer reference, keys, bodies, SQL with
//! values. Khata's ids, codes, counts and times are allowed (see `docs/operations.md`).

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

pub use context::{
    continue_trace, in_trace, is_recorded, link, recorded_trace_id, trace_parent_of,
};
pub use late::{LateSpan, is_slow, record_late};
pub use log_format::LogFormat;
pub use spans::{database, fail};

/// Maximum wait for the collector to accept a batch; at shutdown, the last one.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// Log filter before the one of the settings, which can overrule it. The HTTP server logs an error for each malformed request:
/// a client without a key could fill the log. The client of RabbitMQ logs each failure several times, and Khata logs it once.
const QUIET: &str = "actix_http::h1::dispatcher=off,lapin=off";

/// The levels of a log filter.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Settings of traces and logs.
#[derive(Clone, Debug, clap::Args)]
pub struct TelemetrySettings {
    /// OTLP gRPC endpoint for spans without TLS, as http://host:4317; without it, no spans are sent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = check_endpoint)]
    pub otlp_endpoint: Option<String>,
    /// Maximum new traces per second that each process records; beyond it, only failed and slow spans are recorded
    #[arg(long, env = "KHATA_TRACES_PER_SECOND", default_value_t = 100)]
    pub traces_per_second: u32,
    /// Duration in milliseconds from which a span is slow and recorded at any rate
    #[arg(long, env = "KHATA_TRACES_SLOW_MS", default_value_t = 2_000)]
    pub slow_trace_ms: u64,
    /// Log filter: `info`, `debug`, `info,khata_worker=debug`
    #[arg(long = "log", env = "KHATA_LOG", default_value = "info", value_parser = check_filter)]
    pub log: String,
    /// Form of the log lines
    #[arg(long, env = "KHATA_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// A handle that keeps telemetry running; its shutdown flushes the remaining spans.
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("KHATA_LOG is not a log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Returns the filter unchanged if it is one. The library takes a word that is no level for the name of a target, and then logs nothing
/// else: a misspelt level would silence the process.
fn check_filter(filter: &str) -> Result<String, String> {
    for directive in filter.split(',') {
        let is_bare = !directive.contains(['=', '[']);
        let level = directive.to_ascii_lowercase();
        if is_bare && !LEVELS.contains(&level.as_str()) {
            return Err(format!(
                "`{directive}` is not a level: expected off, error, warn, info, debug or trace, alone or for a part of a program, as \
                 `info,khata_worker=debug`"
            ));
        }
    }
    EnvFilter::try_new(filter)
        .map(|_| filter.to_owned())
        .map_err(|error| error.to_string())
}

/// Returns the endpoint unchanged if the exporter, which has no TLS, can use it.
fn check_endpoint(endpoint: &str) -> Result<String, &'static str> {
    let host = endpoint.strip_prefix("http://").unwrap_or_default();
    if !endpoint.is_empty() && (host.is_empty() || host.starts_with(['/', ':'])) {
        return Err(
            "expected http://host:port, as http://otel-collector:4317: spans are sent without TLS, to a collector in your network that \
             forwards them",
        );
    }
    Ok(endpoint.to_owned())
}

/// Starts logging and tracing for the process. Call it inside a tokio runtime, which the exporter needs.
pub fn start(
    settings: &TelemetrySettings,
    service: &'static str,
) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", settings.log))?;
    let logs = tracing_subscriber::fmt::layer()
        .event_format(log_format::LogLines {
            service,
            format: settings.log_format,
        })
        // A log line has its trace id, not the fields of its spans, so those are not formatted.
        .fmt_fields(tracing_subscriber::fmt::format::debug_fn(|_, _, _| Ok(())))
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let registry = tracing_subscriber::registry().with(logs);
    // An empty variable counts as unset, as OpenTelemetry specifies.
    let endpoint = settings.otlp_endpoint.as_ref();
    let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_empty()) else {
        registry.init();
        return Ok(Telemetry(None));
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    // A full queue drops spans, so that the service never waits for its collector.
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
        .with_span_processor(keep::KeepFailedAndSlow {
            exported: batch_processor,
            slow,
        })
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
    /// Sends the remaining spans, within three seconds.
    pub fn shut_down(self) {
        if let Some(provider) = self.0 {
            let _ = provider.shutdown_with_timeout(EXPORT_TIMEOUT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_filter_has_levels_and_parts_with_levels() {
        for filter in [
            "info",
            "WARN",
            "off",
            "info,khata_worker=debug",
            "warn,lapin=trace",
            "khata_api[call]=debug",
        ] {
            assert_eq!(check_filter(filter).as_deref(), Ok(filter));
        }
        for (filter, named) in [
            ("warning", "`warning`"),
            ("info,khata_api", "`khata_api`"),
            ("", "``"),
            ("khata_api=loud", ""),
        ] {
            let why = check_filter(filter).expect_err(filter);
            assert!(why.contains(named), "{filter}: {why}");
        }
    }

    #[test]
    fn spans_go_to_an_http_endpoint() {
        for endpoint in [
            "",
            "http://otel-collector.monitoring.svc:4317",
            "http://[::1]:4317/",
        ] {
            assert_eq!(check_endpoint(endpoint), Ok(endpoint.to_owned()));
        }
        for endpoint in [
            "https://collector:4317",
            "collector:4317",
            "http://",
            "http://:4317",
        ] {
            assert!(check_endpoint(endpoint).is_err(), "{endpoint}");
        }
    }
}
