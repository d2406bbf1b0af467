//! Traces in the JSON of Jaeger's query API, as its pages read them.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as OtlpSpan, Status};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::store::{Process, Span, Trace, TraceId};

/// An attribute of a span, an event or a process.
#[derive(Debug, Serialize)]
pub(crate) struct Tag {
    pub(crate) key: String,
    r#type: &'static str,
    value: Value,
}

impl Tag {
    fn text(key: &str, value: &str) -> Self {
        Self {
            key: key.to_owned(),
            r#type: "string",
            value: value.into(),
        }
    }

    fn of(attribute: KeyValue) -> Self {
        let (r#type, value) = match json_of(attribute.value) {
            Value::Bool(bool) => ("bool", bool.into()),
            Value::Number(number) if number.is_f64() => ("float64", number.into()),
            Value::Number(number) => ("int64", number.into()),
            Value::String(text) => ("string", text.into()),
            other => ("string", other.to_string().into()),
        };
        Self {
            key: attribute.key,
            r#type,
            value,
        }
    }

    /// Returns the value as a search writes it: `true`, `503`, `CASHFREE`.
    pub(crate) fn value(&self) -> Cow<'_, str> {
        match &self.value {
            Value::String(text) => text.into(),
            other => other.to_string().into(),
        }
    }
}

/// Returns a trace as an element of `data`.
pub(crate) fn trace(id: TraceId, trace: &Trace) -> Value {
    let trace_id = HEXLOWER.encode(&id.to_be_bytes());
    let processes = trace.processes().iter().enumerate();
    let processes: Map<_, _> = processes
        .map(|(index, process)| {
            let tags = tags(process.attributes());
            let process = json!({"serviceName": process.service, "tags": tags});
            (process_id(index), process)
        })
        .collect();
    let spans: Vec<_> = trace.spans().map(|(one, _)| span(&trace_id, one)).collect();
    json!({"traceID": trace_id, "spans": spans, "processes": processes, "warnings": null})
}

/// Returns everything that a search for tags finds: the attributes of the span, of its events and of its process.
pub(crate) fn searched_tags(span: &Span, process: &Process) -> Vec<Tag> {
    let mut other = span.other();
    let events = std::mem::take(&mut other.events);
    let mut all = span_tags(span, &mut other);
    all.extend(events.into_iter().flat_map(event_tags));
    all.extend(tags(process.attributes()));
    all
}

/// Returns the name of a span's kind: `server`.
pub(crate) fn kind(span: &Span) -> &'static str {
    match SpanKind::try_from(span.kind) {
        Ok(SpanKind::Internal) => "internal",
        Ok(SpanKind::Server) => "server",
        Ok(SpanKind::Client) => "client",
        Ok(SpanKind::Producer) => "producer",
        Ok(SpanKind::Consumer) => "consumer",
        Ok(SpanKind::Unspecified) | Err(_) => "",
    }
}

fn span(trace_id: &str, span: &Span) -> Value {
    let mut other = span.other();
    let mut references = Vec::new();
    if !other.parent_span_id.is_empty() {
        references.push(reference("CHILD_OF", trace_id, &other.parent_span_id));
    }
    for link in &other.links {
        let linked = HEXLOWER.encode(&link.trace_id);
        references.push(reference("FOLLOWS_FROM", &linked, &link.span_id));
    }
    let events = std::mem::take(&mut other.events).into_iter();
    let logs: Vec<_> = events
        .map(|event| {
            let timestamp = event.time_unix_nano / 1_000;
            json!({"timestamp": timestamp, "fields": event_tags(event)})
        })
        .collect();
    json!({
        "traceID": trace_id,
        "spanID": HEXLOWER.encode(&span.id.to_be_bytes()),
        "operationName": span.name,
        "references": references,
        "startTime": span.start,
        "duration": span.duration,
        "tags": span_tags(span, &mut other),
        "logs": logs,
        "processID": process_id(span.process),
        "warnings": null,
    })
}

fn process_id(index: usize) -> String {
    format!("p{}", index + 1)
}

fn reference(kind: &str, trace_id: &str, span_id: &[u8]) -> Value {
    json!({"refType": kind, "traceID": trace_id, "spanID": HEXLOWER.encode(span_id)})
}

/// Returns the attributes of a span, and its kind and status as Jaeger's pages know them.
fn span_tags(span: &Span, other: &mut OtlpSpan) -> Vec<Tag> {
    let mut all = tags(std::mem::take(&mut other.attributes));
    let kind = kind(span);
    if !kind.is_empty() {
        all.push(Tag::text("span.kind", kind));
    }
    let Status { message, code } = other.status.take().unwrap_or_default();
    if code == StatusCode::Error as i32 {
        all.push(Tag::text("otel.status_code", "ERROR"));
        all.push(Tag {
            key: "error".to_owned(),
            r#type: "bool",
            value: true.into(),
        });
    }
    if !message.is_empty() {
        all.push(Tag::text("otel.status_description", &message));
    }
    all
}

fn event_tags(event: Event) -> Vec<Tag> {
    let mut all = vec![Tag::text("event", &event.name)];
    all.extend(tags(event.attributes));
    all
}

fn tags(attributes: Vec<KeyValue>) -> Vec<Tag> {
    attributes.into_iter().map(Tag::of).collect()
}

fn json_of(value: Option<AnyValue>) -> Value {
    use any_value::Value as Any;
    match value.and_then(|value| value.value) {
        Some(Any::StringValue(text)) => text.into(),
        Some(Any::BoolValue(bool)) => bool.into(),
        Some(Any::IntValue(number)) => number.into(),
        Some(Any::DoubleValue(number)) => number.into(),
        Some(Any::BytesValue(bytes)) => HEXLOWER.encode(&bytes).into(),
        Some(Any::ArrayValue(array)) => {
            let values = array.values.into_iter();
            values.map(|value| json_of(Some(value))).collect()
        }
        Some(Any::KvlistValue(list)) => {
            let members = list.values.into_iter();
            let members = members.map(|member| (member.key, json_of(member.value)));
            Value::Object(members.collect())
        }
        // Only profiles have indices of strings.
        Some(Any::StringValueStrindex(_)) | None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::ArrayValue;
    use opentelemetry_proto::tonic::trace::v1::span::Link;

    use super::*;
    use crate::store::Store;
    use crate::store::tests::{attribute, of, span};

    fn number(key: &str, value: any_value::Value) -> KeyValue {
        KeyValue {
            value: Some(AnyValue { value: Some(value) }),
            ..attribute(key, "")
        }
    }

    #[test]
    fn a_trace_has_the_form_that_jaegers_pages_read() {
        use any_value::Value as Any;
        let mut sent = span(0xabc, 2, 0);
        sent.parent_span_id = vec![0, 0, 0, 0, 0, 0, 0, 1];
        sent.kind = SpanKind::Server as i32;
        let words = ["a", "b"].map(|word| AnyValue {
            value: Some(Any::StringValue(word.to_owned())),
        });
        sent.attributes = vec![
            attribute("khata.code", "E1"),
            number("tries", Any::IntValue(3)),
            number("ratio", Any::DoubleValue(0.5)),
            number("khata.waits", Any::BoolValue(true)),
            number(
                "words",
                Any::ArrayValue(ArrayValue {
                    values: words.to_vec(),
                }),
            ),
        ];
        sent.links = vec![Link {
            trace_id: vec![0xab; 16],
            span_id: vec![0xcd; 8],
            ..Link::default()
        }];
        sent.events = vec![Event {
            time_unix_nano: 2_000_001_999,
            name: "sent".to_owned(),
            ..Event::default()
        }];
        sent.status = Some(Status {
            code: StatusCode::Error as i32,
            message: "refused".to_owned(),
        });
        let mut store = Store::new(1024 * 1024);
        store.add(of("khata-api", vec![sent]));
        let id = "00000000000000000000000000000abc";
        let expected = json!({
            "traceID": id,
            "spans": [{
                "traceID": id,
                "spanID": "0000000000000002",
                "operationName": "work 2",
                "references": [
                    {"refType": "CHILD_OF", "traceID": id, "spanID": "0000000000000001"},
                    {"refType": "FOLLOWS_FROM", "traceID": "ab".repeat(16), "spanID": "cd".repeat(8)},
                ],
                "startTime": 2_000_000,
                "duration": 5,
                "tags": [
                    {"key": "khata.code", "type": "string", "value": "E1"},
                    {"key": "tries", "type": "int64", "value": 3},
                    {"key": "ratio", "type": "float64", "value": 0.5},
                    {"key": "khata.waits", "type": "bool", "value": true},
                    {"key": "words", "type": "string", "value": "[\"a\",\"b\"]"},
                    {"key": "span.kind", "type": "string", "value": "server"},
                    {"key": "otel.status_code", "type": "string", "value": "ERROR"},
                    {"key": "error", "type": "bool", "value": true},
                    {"key": "otel.status_description", "type": "string", "value": "refused"},
                ],
                "logs": [{
                    "timestamp": 2_000_001,
                    "fields": [{"key": "event", "type": "string", "value": "sent"}],
                }],
                "processID": "p1",
                "warnings": null,
            }],
            "processes": {"p1": {
                "serviceName": "khata-api",
                "tags": [{"key": "service.name", "type": "string", "value": "khata-api"}],
            }},
            "warnings": null,
        });
        assert_eq!(trace(0xabc, store.get(0xabc).unwrap()), expected);
    }
}
