//! Decides which traces are recorded: a continued trace has the decision of its first span, and each process begins at most a
//! set number of recorded traces per second. At usual load every account is a trace, and a flood of requests does not add
//! cost. A process's first span of an unrecorded trace is kept until it ends, as it may fail or be slow (`keep`).

use std::sync::{Arc, Mutex};
use std::time::Instant;

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

#[derive(Clone, Debug)]
pub(super) struct ParentOrRate {
    per_second: f64,
    bucket: Arc<Mutex<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl ParentOrRate {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let bucket = Bucket {
            tokens: per_second,
            filled_at: Instant::now(),
        };
        Self {
            per_second,
            bucket: Arc::new(Mutex::new(bucket)),
        }
    }

    fn may_begin(&self) -> bool {
        // No code panics while it holds the lock; if it did, no recording is the safe choice.
        let Ok(mut bucket) = self.bucket.lock() else {
            return false;
        };
        let now = Instant::now();
        let gained = now.duration_since(bucket.filled_at).as_secs_f64() * self.per_second;
        bucket.tokens = (bucket.tokens + gained).min(self.per_second);
        bucket.filled_at = now;
        let may = bucket.tokens >= 1.0;
        if may {
            bucket.tokens -= 1.0;
        }
        may
    }
}

impl ShouldSample for ParentOrRate {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _trace_id: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let parent = parent
            .map(|context| context.span().span_context().clone())
            .filter(opentelemetry::trace::SpanContext::is_valid);
        let decision = match &parent {
            Some(parent) if parent.is_sampled() => SamplingDecision::RecordAndSample,
            // The first span of this process in a trace that its caller does not record.
            Some(parent) if parent.is_remote() => SamplingDecision::RecordOnly,
            Some(_) => SamplingDecision::Drop,
            None if self.may_begin() => SamplingDecision::RecordAndSample,
            None => SamplingDecision::RecordOnly,
        };
        SamplingResult {
            decision,
            attributes: Vec::new(),
            trace_state: parent
                .map_or_else(TraceState::default, |context| context.trace_state().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_bounds_new_traces() {
        let sampler = ParentOrRate::new(10);
        let begun = (0..1_000).filter(|_| sampler.may_begin()).count();
        assert!((10..=20).contains(&begun), "{begun}");
        assert!(!ParentOrRate::new(0).may_begin());
    }
}
