//! Searches for traces, with the parameters of Jaeger's `GET /api/traces`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::jaeger;
use crate::store::{Process, Span, Trace, TraceId};

/// Number of traces that a search without `limit` returns at most, as Jaeger's.
const DEFAULT_LIMIT: usize = 100;

/// Maximum of `limit`, as on Jaeger's page.
const MAX_LIMIT: usize = 1_500;

/// A search. It finds a trace if one of its spans meets all conditions.
#[derive(Debug)]
pub(crate) struct Search {
    service: Option<String>,
    operation: Option<String>,
    /// Names and values.
    tags: Vec<(String, String)>,
    shortest: Duration,
    longest: Duration,
    /// Microseconds since 1970.
    from: u64,
    to: u64,
    /// Maximum number of traces.
    pub(crate) limit: usize,
    /// Search in these traces only, if there are any.
    pub(crate) ids: Vec<TraceId>,
}

impl Search {
    /// Reads the parameters of a request. An error names the parameter.
    pub(crate) fn parse(parameters: &[(String, String)]) -> Result<Self, String> {
        let mut search = Self {
            service: None,
            operation: None,
            tags: Vec::new(),
            shortest: Duration::ZERO,
            longest: Duration::MAX,
            from: 0,
            to: u64::MAX,
            limit: DEFAULT_LIMIT,
            ids: Vec::new(),
        };
        for (name, value) in parameters {
            if !value.is_empty() {
                search.set(name, value)?;
            }
        }
        if search.shortest > search.longest {
            return Err("`minDuration` must not be longer than `maxDuration`".to_owned());
        }
        if search.from > search.to {
            return Err("`start` must not be after `end`".to_owned());
        }
        Ok(search)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |expected: &str| format!("`{name}` must be {expected}, not `{value}`");
        let time = || value.parse().map_err(|_| wrong("microseconds since 1970"));
        let duration =
            || parse_duration(value).ok_or_else(|| wrong("a duration, such as 1.2s or 100ms"));
        match name {
            "service" => self.service = Some(value.to_owned()),
            "operation" => self.operation = Some(value.to_owned()),
            "tag" => {
                let (key, value) = value.split_once(':').ok_or_else(|| wrong("name:value"))?;
                self.tags.push((key.to_owned(), value.to_owned()));
            }
            "tags" => {
                let tags: BTreeMap<String, String> = serde_json::from_str(value)
                    .map_err(|_| wrong("a JSON object whose values are strings"))?;
                self.tags.extend(tags);
            }
            "minDuration" => self.shortest = duration()?,
            "maxDuration" => self.longest = duration()?,
            "start" => self.from = time()?,
            "end" => self.to = time()?,
            "limit" => {
                let limit = value.parse::<usize>().ok().filter(|limit| *limit > 0);
                let limit = limit.ok_or_else(|| wrong("a number above 0"))?;
                self.limit = limit.min(MAX_LIMIT);
            }
            "traceID" => self.ids.push(parse_id(value)?),
            // The page sends more, such as the `lookback` from which it computes `start`.
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn finds(&self, trace: &Trace) -> bool {
        trace
            .spans()
            .any(|(span, process)| self.matches(span, process))
    }

    fn matches(&self, span: &Span, process: &Process) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        is(&self.service, &process.service)
            && is(&self.operation, &span.name)
            && (self.shortest..=self.longest).contains(&Duration::from_micros(span.duration))
            && (self.from..=self.to).contains(&span.start)
            // Last, because it decodes the span.
            && self.has_tags(span, process)
    }

    fn has_tags(&self, span: &Span, process: &Process) -> bool {
        if self.tags.is_empty() {
            return true;
        }
        let tags = jaeger::searched_tags(span, process);
        self.tags.iter().all(|(key, value)| {
            let mut same = tags.iter().filter(|tag| tag.key == *key);
            same.any(|tag| tag.value() == value.as_str())
        })
    }
}

/// Parses a trace id as Jaeger writes it: up to 32 hexadecimal digits.
pub(crate) fn parse_id(text: &str) -> Result<TraceId, String> {
    TraceId::from_str_radix(text, 16)
        .map_err(|_| format!("a trace id has up to 32 hexadecimal digits: `{text}` is none"))
}

/// Parses a duration as Go writes it: `1.2s`, `100ms`, `1h30m`.
fn parse_duration(text: &str) -> Option<Duration> {
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_digit(c))?);
        let (unit, after) = after.split_at(after.find(is_digit).unwrap_or(after.len()));
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::Status;
    use opentelemetry_proto::tonic::trace::v1::span::Event;

    use super::*;
    use crate::store::Store;
    use crate::store::tests::{attribute, of, span};

    fn parse(parameters: &[(&str, &str)]) -> Result<Search, String> {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Search::parse(&parameters)
    }

    #[test]
    fn durations_are_written_as_in_go() {
        for (text, micros) in [
            ("0s", 0),
            ("500us", 500),
            ("500µs", 500),
            ("100ms", 100_000),
            ("1.2s", 1_200_000),
            ("1h30m", 5_400_000_000),
            ("1m0.5s", 60_500_000),
        ] {
            let expected = Some(Duration::from_micros(micros));
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        for text in ["1", "s", "1 s", "1d", "-1s", "1.2.3s", "1e9999s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for (name, value, error) in [
            (
                "minDuration",
                "fast",
                "`minDuration` must be a duration, such as 1.2s or 100ms, not `fast`",
            ),
            (
                "maxDuration",
                "7",
                "`maxDuration` must be a duration, such as 1.2s or 100ms, not `7`",
            ),
            (
                "start",
                "today",
                "`start` must be microseconds since 1970, not `today`",
            ),
            (
                "end",
                "-1",
                "`end` must be microseconds since 1970, not `-1`",
            ),
            ("limit", "0", "`limit` must be a number above 0, not `0`"),
            (
                "tags",
                "error=true",
                "`tags` must be a JSON object whose values are strings, not `error=true`",
            ),
            ("tag", "error", "`tag` must be name:value, not `error`"),
            (
                "traceID",
                "banh_1",
                "a trace id has up to 32 hexadecimal digits: `banh_1` is none",
            ),
        ] {
            assert_eq!(parse(&[(name, value)]).unwrap_err(), error);
        }
        let durations = [("minDuration", "2s"), ("maxDuration", "1s")];
        assert!(parse(&durations).unwrap_err().contains("`minDuration`"));
        let times = [("start", "2"), ("end", "1")];
        assert!(parse(&times).unwrap_err().contains("`start`"));
    }

    #[test]
    fn an_empty_or_unknown_parameter_is_no_condition() {
        let search = parse(&[("minDuration", ""), ("tags", ""), ("lookback", "1h")]).unwrap();
        assert_eq!((search.shortest, search.tags), (Duration::ZERO, Vec::new()));
        assert_eq!(search.limit, DEFAULT_LIMIT);
        assert_eq!(parse(&[("limit", "9999")]).unwrap().limit, MAX_LIMIT);
    }

    #[test]
    fn one_span_of_the_trace_meets_all_conditions() {
        let mut request = span(1, 1, 0);
        request.name = "POST /customers".to_owned();
        request.attributes = vec![attribute("khata.account_id", "banh_1")];
        let mut call = span(1, 2, 0);
        call.name = "verify at gateway".to_owned();
        // Half a second later, for 1.5 s.
        call.start_time_unix_nano = 1_500_000_000;
        call.end_time_unix_nano = 3_000_000_000;
        call.kind = 3;
        call.status = Some(Status {
            code: 2,
            ..Status::default()
        });
        call.events = vec![Event {
            name: "response lost".to_owned(),
            ..Event::default()
        }];
        let mut store = Store::new(1024 * 1024);
        store.add(of("khata-api", vec![request]));
        store.add(of("khata-worker", vec![call]));
        let trace = store.get(1).unwrap();
        let finds = |parameters: &[(&str, &str)]| parse(parameters).unwrap().finds(trace);

        assert!(finds(&[]));
        for found in [
            &[("service", "khata-api"), ("operation", "POST /customers")][..],
            &[("operation", "verify at gateway"), ("tag", "error:true")],
            &[(
                "tags",
                r#"{"khata.account_id":"banh_1","service.name":"khata-api"}"#,
            )],
            &[("tags", r#"{"span.kind":"client","event":"response lost"}"#)],
            &[("minDuration", "1.5s"), ("maxDuration", "1500ms")],
            &[
                ("minDuration", "1s"),
                ("start", "1500000"),
                ("end", "1500000"),
            ],
        ] {
            assert!(finds(found), "{found:?}");
        }
        for not_found in [
            &[("service", "khata")][..],
            &[("operation", "POST")],
            &[("service", "khata-api"), ("operation", "verify at gateway")],
            &[("service", "khata-api"), ("tags", r#"{"error":"true"}"#)],
            &[("tags", r#"{"khata.account_id":"banh_1","error":"true"}"#)],
            &[("tag", "khata.account_id:banh_")],
            &[("minDuration", "1501ms")],
            &[("minDuration", "1ms"), ("maxDuration", "1499ms")],
            &[("start", "1500001")],
            &[("end", "999999")],
        ] {
            assert!(!finds(not_found), "{not_found:?}");
        }
    }
}
