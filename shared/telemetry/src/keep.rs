//! Exports failed and slow spans of traces that the rate limit left out.

use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::context::sampled;

/// Attribute of a span that waited because its caller asked for it: such a span does not count as slow.
pub(super) const WAITS: &str = "khata.waits";

/// A span processor in front of the one that exports.
#[derive(Debug)]
pub(super) struct KeepFailedAndSlow<P> {
    pub(super) exported: P,
    pub(super) slow: Duration,
}

impl<P> KeepFailedAndSlow<P> {
    fn is_kept(&self, span: &SpanData) -> bool {
        let took = span.end_time.duration_since(span.start_time);
        let waited = || span.attributes.iter().any(|a| a.key.as_str() == WAITS);
        matches!(span.status, Status::Error { .. })
            || (took.is_ok_and(|took| took >= self.slow) && !waited())
    }
}

impl<P: SpanProcessor> SpanProcessor for KeepFailedAndSlow<P> {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.exported.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            if !self.is_kept(&span) {
                return;
            }
            span.span_context = sampled(&span.span_context);
        }
        self.exported.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exported.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exported.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exported.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use opentelemetry::trace::{Span as _, SpanBuilder, TraceContextExt, Tracer, TracerProvider};
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::super::context::parse;
    use super::super::sampler::ParentOrRate;
    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Exported(Arc<Mutex<Vec<String>>>);

    impl SpanProcessor for Exported {
        fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

        fn on_end(&self, span: SpanData) {
            assert!(
                span.span_context.is_sampled(),
                "the exporter drops other spans"
            );
            self.0.lock().unwrap().push(span.name.into_owned());
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    /// Returns which of a good, a failed, a slow and a waiting span are exported. The spans have a parent if there is a
    /// `trace_parent`.
    fn exported(traces_per_second: u32, trace_parent: Option<&str>) -> Vec<String> {
        let seen = Exported::default();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(KeepFailedAndSlow {
                exported: seen.clone(),
                slow: Duration::from_secs(2),
            })
            .with_sampler(ParentOrRate::new(traces_per_second))
            .build();
        let tracer = provider.tracer("test");
        let begun = SystemTime::now();
        let parent = trace_parent.and_then(parse);
        let context = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent)
        });
        let start = |name: &'static str| {
            let builder = SpanBuilder::from_name(name).with_start_time(begun);
            tracer.build_with_context(builder, &context)
        };
        let end = |mut span: opentelemetry_sdk::trace::Span, seconds| {
            span.end_with_timestamp(begun + Duration::from_secs(seconds));
        };
        end(start("good"), 1);
        let mut failed = start("failed");
        failed.set_status(Status::error(""));
        end(failed, 0);
        end(start("slow"), 2);
        let mut waits = start("waits");
        waits.set_attribute(KeyValue::new(WAITS, true));
        end(waits, 9);
        drop(provider);
        std::mem::take(&mut *seen.0.lock().unwrap())
    }

    #[test]
    fn failed_and_slow_spans_are_exported_beyond_the_rate() {
        assert_eq!(exported(100, None), ["good", "failed", "slow", "waits"]);
        assert_eq!(exported(0, None), ["failed", "slow"]);
    }

    #[test]
    fn a_caller_decides_about_the_trace_that_it_began_but_not_about_failed_and_slow_spans() {
        let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        let recorded = exported(0, Some(&format!("{caller}-01")));
        assert_eq!(recorded, ["good", "failed", "slow", "waits"]);
        let unrecorded = exported(100, Some(&format!("{caller}-00")));
        assert_eq!(unrecorded, ["failed", "slow"]);
    }
}
