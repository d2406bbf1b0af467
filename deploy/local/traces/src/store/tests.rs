//! Tests of the store, and the spans of all unit tests.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::trace::v1::ScopeSpans;

use super::*;

const MIB: usize = 1024 * 1024;

pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// Returns a span that starts at second `id`, with `size` bytes of attributes.
pub(crate) fn span(trace: u128, id: u64, size: usize) -> OtlpSpan {
    OtlpSpan {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        name: format!("work {}", id % 7),
        start_time_unix_nano: id * 1_000_000_000,
        end_time_unix_nano: id * 1_000_000_000 + 5_000,
        attributes: vec![attribute("khata.text", &"x".repeat(size))],
        ..OtlpSpan::default()
    }
}

pub(crate) fn of(service: &str, spans: Vec<OtlpSpan>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![attribute("service.name", service)],
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

/// Counts what the store holds, apart from its own count: allocations at the size that glibc's malloc takes for them.
fn count(store: &Store) -> usize {
    let allocation = |bytes: usize| match bytes {
        0 => 0,
        _ => (bytes + 8).next_multiple_of(16).max(32),
    };
    let of_trace = |trace: &Trace| {
        let spans = trace.spans.iter();
        let spans: usize = spans
            .map(|span| allocation(span.name.len()) + allocation(span.other.len()))
            .sum();
        let processes = trace.processes.iter();
        let processes: usize = processes
            .map(|one| allocation(one.service.len()) + allocation(one.resource.len()))
            .sum();
        spans
            + processes
            + allocation(trace.spans.capacity() * size_of::<Span>())
            + allocation(trace.processes.capacity() * size_of::<Process>())
            + size_of::<(TraceId, Trace)>()
            + size_of::<(u64, TraceId)>()
    };
    store.traces.values().map(of_trace).sum()
}

fn assert_bounded(store: &Store) {
    let sizes: usize = store.traces.values().map(Trace::size).sum();
    assert_eq!(store.bytes, sizes, "the running count is the sum");
    assert!(count(store) <= store.bytes);
    assert!(store.bytes <= store.limit, "{} bytes", store.bytes);
    let ids: BTreeSet<TraceId> = store.by_arrival.values().copied().collect();
    assert!(ids.iter().eq(store.traces.keys()));
    assert_eq!(ids.len(), store.by_arrival.len());
}

#[test]
fn the_memory_stays_within_its_limit_and_the_newest_traces_stay() {
    let mut store = Store::new(MIB);
    let (mut sent, mut next) = (0, 0);
    // Twenty times the memory, in traces of one to nine spans of very different sizes.
    while sent < 20 * MIB {
        let trace = u128::from(next) + 1;
        for _ in 0..=next % 9 {
            next += 1;
            let size = [0, 40, 300, 2_000, 9_000][usize::try_from(next % 5).unwrap()];
            sent += size + 60;
            assert_eq!(store.add(of("khata-api", vec![span(trace, next, size)])), 0);
            assert!(store.get(trace).is_some(), "the newest trace is there");
        }
        next += 1;
        if next % 50 < 3 {
            assert_bounded(&store);
        }
    }
    assert_bounded(&store);
    assert!(store.bytes > MIB * 9 / 10, "{} bytes are used", store.bytes);
    // Without a gap: the oldest trace that is kept, and all newer ones.
    let kept: Vec<TraceId> = store.traces.keys().copied().collect();
    let arrived: Vec<TraceId> = store.by_arrival.values().copied().collect();
    assert!(kept.len() > 50 && kept == arrived, "{} traces", kept.len());
    let mut newest = kept;
    newest.reverse();
    assert_eq!(store.newest_first(), newest);
}

#[test]
fn a_late_span_joins_its_trace_and_keeps_it() {
    let mut store = Store::new(MIB);
    store.add(of("khata-api", vec![span(1, 1, 100)]));
    for id in 2..6_000 {
        store.add(of("khata-api", vec![span(u128::from(id), id, 100)]));
        if id % 500 == 0 {
            let worker = if id % 1_000 == 0 {
                "khata-worker"
            } else {
                "khata-api"
            };
            store.add(of(worker, vec![span(1, id, 100)]));
        }
    }
    assert_bounded(&store);
    assert!(store.get(2).is_none() && store.get(3_000).is_none());
    let spans = store.get(1).unwrap().spans();
    let spans: Vec<_> = spans
        .map(|(span, process)| (span.id, &*process.service))
        .collect();
    assert_eq!(spans.len(), 12);
    assert_eq!(
        spans[..3],
        [
            (1, "khata-api"),
            (500, "khata-api"),
            (1_000, "khata-worker")
        ]
    );
    assert_eq!(store.get(1).unwrap().processes().len(), 2);
}

#[test]
fn one_endless_trace_loses_its_oldest_spans_and_replaces_no_other() {
    let mut store = Store::new(MIB);
    store.add(of("khata-api", vec![span(2, 1, 100)]));
    for id in 1..3_000 {
        assert_eq!(store.add(of("khata-worker", vec![span(1, id, 100)])), 0);
        assert!(store.get(1).unwrap().size() <= MIB / SHARE_OF_TRACE);
    }
    assert_bounded(&store);
    let ids: Vec<u64> = store
        .get(1)
        .unwrap()
        .spans()
        .map(|(span, _)| span.id)
        .collect();
    let kept = u64::try_from(ids.len()).unwrap();
    assert!(kept > 100, "{kept} spans");
    assert!(
        ids.into_iter().eq(3_000 - kept..3_000),
        "the newest, in order"
    );
    assert!(store.get(2).is_some());
}

#[test]
fn a_span_without_ids_or_of_an_excessive_size_is_rejected() {
    let mut store = Store::new(MIB);
    let no_trace = OtlpSpan {
        trace_id: vec![1; 15],
        ..span(1, 1, 0)
    };
    let no_id = OtlpSpan {
        span_id: Vec::new(),
        ..span(1, 1, 0)
    };
    let large = span(1, 2, MIB / SHARE_OF_SPAN);
    let rejected = store.add(of("khata-api", vec![no_trace, no_id, large, span(1, 3, 0)]));
    assert_eq!(rejected, 3);
    assert_eq!(store.add(of(&"x".repeat(MIB), vec![span(1, 4, 0)])), 1);
    // A trace has a bounded number of processes.
    let mut services = (0_u32..).map(|n| format!("{n:0100}"));
    let mut added = 0;
    while store.add(of(&services.next().unwrap(), vec![span(1, 10 + added, 0)])) == 0 {
        added += 1;
    }
    assert!((10..100).contains(&added), "{added} processes");
    assert_bounded(&store);
    let ids = store.get(1).unwrap().spans().map(|(span, _)| span.id);
    assert!(ids.eq(std::iter::once(3).chain(10..10 + added)));
}

#[test]
fn a_span_that_is_sent_again_is_kept_once_and_unchanged() {
    let mut store = Store::new(MIB);
    for _ in 0..3 {
        assert_eq!(store.add(of("khata-api", vec![span(1, 1, 10)])), 0);
    }
    assert_bounded(&store);
    let spans: Vec<_> = store.get(1).unwrap().spans().collect();
    let [(kept, process)] = spans[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(
        (&*kept.name, kept.start, kept.duration),
        ("work 1", 1_000_000, 5)
    );
    assert_eq!(
        kept.other().attributes,
        [attribute("khata.text", "xxxxxxxxxx")]
    );
    assert_eq!(
        process.attributes(),
        [attribute("service.name", "khata-api")]
    );
}
