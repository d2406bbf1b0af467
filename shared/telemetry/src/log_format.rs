//! The log format, one event per line: time, level, service, target, message, the event's fields and its trace id.

use std::fmt::{self, Write as _};

use chrono::{SecondsFormat, Utc};
use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Form of the log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A JSON object per line, for collectors
    #[default]
    Json,
    /// Time, level, target, message and fields, for a terminal
    Text,
}

pub(super) struct LogLines {
    pub(super) service: &'static str,
    pub(super) format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for LogLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        line.insert("timestamp".into(), now.into());
        line.insert("level".into(), event.metadata().level().as_str().into());
        line.insert("service".into(), self.service.into());
        line.insert("target".into(), event.metadata().target().into());
        event.record(&mut Fields(&mut line));
        if let Some(span) = context.lookup_current() {
            let otel = tracing::dispatcher::get_default(|dispatch| {
                tracing_opentelemetry::get_otel_context(&span.id(), dispatch)
            });
            if let Some(otel) = otel.filter(TraceContextExt::has_active_span) {
                let span = otel.span().span_context().clone();
                line.insert("trace_id".into(), span.trace_id().to_string().into());
                line.insert("span_id".into(), span.span_id().to_string().into());
            }
        }
        match self.format {
            LogFormat::Json => writeln!(writer, "{}", Value::Object(line)),
            LogFormat::Text => writeln!(writer, "{}", text(line)),
        }
    }
}

/// Returns a line of text. It has no control characters, so that no value can end the line or command the terminal.
fn text(mut line: Map<String, Value>) -> String {
    let mut take = |name: &str| match line.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let head = ["timestamp", "level", "target", "message"].map(&mut take);
    let [timestamp, level, target, message] = head;
    // One process writes to a terminal, so its name is left out.
    take("service");
    let mut text = format!("{timestamp} {level:5} {target}: {message}");
    for (name, value) in line {
        let _ = write!(text, " {name}={value}");
    }
    text.replace(char::is_control, " ")
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().into(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_of_text_has_the_message_before_the_fields_and_no_second_line() {
        let event = json!({
            "timestamp": "2026-11-29T08:00:00.000001Z", "level": "WARN", "service": "khata-worker", "target": "khata_worker",
            "message": "validation\nnot claimed", "error": "two\nlines\u{9b}31m", "tries": 3,
        });
        assert_eq!(
            text(event.as_object().cloned().unwrap_or_default()),
            "2026-11-29T08:00:00.000001Z WARN  khata_worker: validation not claimed error=\"two\\nlines 31m\" tries=3"
        );
    }
}
