//! Spans in a fixed amount of memory.
//!
//! The store counts every byte that it holds. It keeps a span as protobuf, apart from the fields that a search compares first,
//! because the decoded form takes several times the memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as OtlpSpan};
use prost::Message;

/// Maximum part of the memory that one trace takes, so that it cannot replace all others. Beyond it, the trace loses its oldest
/// spans.
const SHARE_OF_TRACE: usize = 16;

/// Maximum part of the memory that one span takes, and that the processes of one trace take. A trace with both is within its share.
const SHARE_OF_SPAN: usize = 64;

/// Maximum bytes that an allocation takes beside its contents.
const ALLOCATION: usize = 32;

/// Bytes of a trace in both maps of the store. A node of a B-tree is at least five elevenths full.
const ENTRY: usize = 3 * size_of::<(TraceId, Trace)>() + 3 * size_of::<(u64, TraceId)>();

pub(crate) type TraceId = u128;

/// The store that the receiver and the pages share.
pub(crate) type SharedStore = Arc<Mutex<Store>>;

/// The traces that arrived last.
#[derive(Debug)]
pub(crate) struct Store {
    /// Maximum of `bytes`.
    limit: usize,
    /// Sum over the traces.
    bytes: usize,
    traces: BTreeMap<TraceId, Trace>,
    /// The traces by their newest span's number, in order of arrival.
    by_arrival: BTreeMap<u64, TraceId>,
    arrived: u64,
}

/// The spans of a trace that have arrived, of any service.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// In order of arrival: a parent usually ends, and arrives, after its children.
    spans: VecDeque<Span>,
    processes: Vec<Process>,
    /// Size of the spans and processes.
    contents: usize,
    /// Number of the newest span, in order of arrival.
    arrival: u64,
}

#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) id: u64,
    pub(crate) name: Box<str>,
    /// `SpanKind` of OTLP.
    pub(crate) kind: i32,
    /// Microseconds since 1970.
    pub(crate) start: u64,
    /// Microseconds.
    pub(crate) duration: u64,
    /// Index in the trace's processes.
    pub(crate) process: usize,
    /// The fields that are not above, as protobuf.
    other: Box<[u8]>,
}

/// A program that recorded spans.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) service: Box<str>,
    /// `Resource` of OTLP, as protobuf.
    resource: Box<[u8]>,
}

/// Locks the store.
pub(crate) fn lock(store: &SharedStore) -> MutexGuard<'_, Store> {
    // No code panics while it holds the lock.
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Makes a store that holds `limit` bytes at most: the allocations of its spans, at their size in the heap.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            traces: BTreeMap::new(),
            by_arrival: BTreeMap::new(),
            arrived: 0,
        }
    }

    /// Adds the spans of one process. Returns the number of spans that were rejected: their ids have another length than OTLP
    /// asks for, or they are too large.
    pub(crate) fn add(&mut self, exported: ResourceSpans) -> i64 {
        let resource = exported.resource.unwrap_or_default();
        let spans = exported.scope_spans.into_iter().flat_map(|s| s.spans);
        let process = Process::new(&resource);
        spans
            .map(|span| i64::from(self.add_span(span, &process).is_none()))
            .sum()
    }

    fn add_span(&mut self, span: OtlpSpan, process: &Process) -> Option<()> {
        let id = u128::from_be_bytes(span.trace_id.as_slice().try_into().ok()?);
        let mut span = Span::new(span)?;
        let known = self.traces.get(&id);
        let size_before = known.map_or(0, Trace::size);
        let processes = known.map_or(0, |trace| trace.size_of_others(process)) + process.size();
        if span.size().max(processes) > self.limit / SHARE_OF_SPAN {
            return None;
        }
        let trace = self.traces.entry(id).or_default();
        span.process = trace.index_of(process);
        trace.push(span, self.limit / SHARE_OF_TRACE);
        self.bytes = self.bytes - size_before + trace.size();

        self.by_arrival.remove(&trace.arrival);
        self.arrived += 1;
        trace.arrival = self.arrived;
        self.by_arrival.insert(self.arrived, id);
        // The trace of this span stays: it is the last in order, and far below the limit.
        while self.bytes > self.limit
            && let Some((_, oldest)) = self.by_arrival.pop_first()
        {
            let removed = self.traces.remove(&oldest);
            self.bytes -= removed.map_or(0, |trace| trace.size());
        }
        Some(())
    }

    pub(crate) fn get(&self, id: TraceId) -> Option<&Trace> {
        self.traces.get(&id)
    }

    pub(crate) fn traces(&self) -> impl Iterator<Item = &Trace> {
        self.traces.values()
    }

    /// Returns the ids of all traces, of the one that began last first.
    pub(crate) fn newest_first(&self) -> Vec<TraceId> {
        let mut ids: Vec<_> = self
            .traces
            .iter()
            .map(|(id, trace)| (trace.start(), *id))
            .collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.into_iter().map(|(_, id)| id).collect()
    }
}

impl Trace {
    pub(crate) fn spans(&self) -> impl Iterator<Item = (&Span, &Process)> {
        let spans = self.spans.iter();
        spans.filter_map(|span| Some((span, self.processes.get(span.process)?)))
    }

    pub(crate) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Returns the start of the first span, in microseconds since 1970.
    fn start(&self) -> u64 {
        let starts = self.spans.iter().map(|span| span.start);
        starts.min().unwrap_or_default()
    }

    /// Returns the bytes of the trace in the heap, at most.
    fn size(&self) -> usize {
        let spans = ALLOCATION + self.spans.capacity() * size_of::<Span>();
        let processes = ALLOCATION + self.processes.capacity() * size_of::<Process>();
        ENTRY + spans + processes + self.contents
    }

    fn size_of_others(&self, process: &Process) -> usize {
        let others = self.processes.iter().filter(|other| *other != process);
        others.map(Process::size).sum()
    }

    /// Returns the index of a process, which it adds if it is new.
    fn index_of(&mut self, process: &Process) -> usize {
        let known = self.processes.iter().position(|known| known == process);
        known.unwrap_or_else(|| {
            self.contents += process.size();
            self.processes.push(process.clone());
            self.processes.len() - 1
        })
    }

    /// Adds a span, unless the trace has it already. Removes the oldest spans as long as the trace is larger than `share`.
    fn push(&mut self, span: Span, share: usize) {
        // An exporter that gets no reply sends its spans again.
        if self.spans.iter().any(|known| known.id == span.id) {
            return;
        }
        self.contents += span.size();
        self.spans.push_back(span);
        while self.size() > share
            && self.spans.len() > 1
            && let Some(oldest) = self.spans.pop_front()
        {
            self.contents -= oldest.size();
        }
    }
}

impl Span {
    /// Returns `None` if the span's id is not eight bytes long.
    fn new(mut span: OtlpSpan) -> Option<Self> {
        let id = u64::from_be_bytes(span.span_id.as_slice().try_into().ok()?);
        let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
        let (name, kind) = (std::mem::take(&mut span.name), span.kind);
        span.trace_id.clear();
        span.span_id.clear();
        (span.start_time_unix_nano, span.end_time_unix_nano) = (0, 0);
        Some(Self {
            id,
            name: name.into_boxed_str(),
            kind,
            start: start / 1_000,
            duration: end.saturating_sub(start) / 1_000,
            process: 0,
            other: span.encode_to_vec().into_boxed_slice(),
        })
    }

    /// Returns what the span's own fields do not hold: parent, attributes, events, links and status.
    pub(crate) fn other(&self) -> OtlpSpan {
        // The bytes were encoded by `new`.
        OtlpSpan::decode(&*self.other).unwrap_or_default()
    }

    fn size(&self) -> usize {
        2 * ALLOCATION + self.name.len() + self.other.len()
    }
}

impl Process {
    fn new(resource: &Resource) -> Self {
        let mut attributes = resource.attributes.iter();
        let name = attributes.find(|attribute| attribute.key == "service.name");
        let name = name.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
        let service = match name {
            Some(any_value::Value::StringValue(name)) => name.as_str(),
            _ => "unknown",
        };
        Self {
            service: service.into(),
            resource: resource.encode_to_vec().into_boxed_slice(),
        }
    }

    pub(crate) fn attributes(&self) -> Vec<KeyValue> {
        // The bytes were encoded by `new`.
        let resource = Resource::decode(&*self.resource).unwrap_or_default();
        resource.attributes
    }

    fn size(&self) -> usize {
        2 * ALLOCATION + self.service.len() + self.resource.len()
    }
}

#[cfg(test)]
pub(crate) mod tests;
