//! A client of the trace viewer: the JSON that its pages load.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;

use crate::client::{install_tls, text};
use crate::deadline::eventually;
use crate::process::Process;
use crate::settings::settings;

/// A running trace viewer.
#[derive(Clone, Debug)]
pub struct Traces {
    http: Client,
    /// `http://127.0.0.1:16686`
    pub url: String,
}

/// One trace.
#[derive(Clone, Debug)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The trace's text, for searches over everything.
    pub json: String,
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Clone, Debug, Deserialize)]
pub struct Span {
    #[serde(rename = "spanID")]
    pub id: String,
    #[serde(rename = "operationName")]
    pub name: String,
    /// Parent and links.
    #[serde(default, deserialize_with = "or_none")]
    pub references: Vec<Reference>,
    /// Name of the service that recorded the span.
    #[serde(default)]
    pub service: String,
    #[serde(rename = "processID")]
    process: String,
    /// Microseconds since 1970.
    #[serde(rename = "startTime")]
    pub start: u64,
    /// Microseconds.
    duration: u64,
    /// Objects with `key` and `value`.
    tags: Vec<Value>,
}

/// A reference of a span to another span.
#[derive(Clone, Debug, Deserialize)]
pub struct Reference {
    /// `CHILD_OF` or `FOLLOWS_FROM`.
    #[serde(rename = "refType")]
    pub kind: String,
    #[serde(rename = "traceID")]
    pub trace: String,
    #[serde(rename = "spanID")]
    pub span: String,
}

fn or_none<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<Reference>, D::Error> {
    Option::deserialize(input).map(Option::unwrap_or_default)
}

impl Span {
    /// Returns the text of an attribute.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// Returns an attribute: a text, a number or a boolean.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.tags
            .iter()
            .find(|tag| tag["key"] == name)?
            .get("value")
    }

    /// Returns the span's duration.
    pub fn took(&self) -> Duration {
        Duration::from_micros(self.duration)
    }

    /// Returns the id of the parent span.
    pub fn parent(&self) -> Option<&str> {
        let mut parents = self.references.iter().filter(|r| r.kind == "CHILD_OF");
        parents.next().map(|reference| reference.span.as_str())
    }
}

impl Trace {
    /// Returns the spans whose name starts with `start`.
    pub fn named(&self, start: &str) -> Vec<&Span> {
        let spans = self.spans.iter();
        spans.filter(|span| span.name.starts_with(start)).collect()
    }

    /// Returns the names from a span up to the trace's root, the span's own first.
    pub fn path_up(&self, span: &Span) -> Vec<&str> {
        let mut names = Vec::new();
        let find = |id: &str| self.spans.iter().find(|span| span.id == id);
        let mut next = find(&span.id);
        while let Some(span) = next {
            names.push(span.name.as_str());
            next = span.parent().and_then(find);
        }
        names
    }
}

impl Traces {
    /// Starts a viewer that logs into `folder`. Also returns the URL for spans (OTLP over gRPC), which the viewer logs.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<(Process, Self, Url)> {
        let own = settings(&[
            ("KHATA_TRACES_LISTEN", "127.0.0.1:0"),
            ("KHATA_TRACES_OTLP_LISTEN", "127.0.0.1:0"),
        ]);
        let log = folder.join("khata-traces.log");
        let mut process = Process::start("khata-traces", &[], &own, &log)?;
        let listening = process.wait_for_log(|log| {
            let mut lines = log.lines();
            let line = lines.find_map(|line| line.strip_prefix("traces on "))?;
            let (url, otlp) = line.split_once(", spans by OTLP on ")?;
            Some((url.to_owned(), format!("http://{otlp}")))
        });
        let (url, otlp) = listening.await?;
        Ok((process, Self::new(&url), otlp.parse()?))
    }

    /// Returns a client of the viewer at this address.
    pub fn new(url: &str) -> Self {
        install_tls();
        Self {
            http: Client::new(),
            url: url.to_owned(),
        }
    }

    /// Returns the address of the page of a trace.
    pub fn page(&self, trace_id: &str) -> String {
        format!("{}/trace/{trace_id}", self.url)
    }

    /// Returns the spans of a trace that have arrived; `None` if there are none.
    pub async fn get(&self, trace_id: &str) -> anyhow::Result<Option<Trace>> {
        let url = format!("{}/api/traces/{trace_id}", self.url);
        let response = self.http.get(url).send().await?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let reply: Value = response.error_for_status()?.json().await?;
        Ok(traces_of(&reply)?.pop())
    }

    /// Searches with the parameters of Jaeger's `GET /api/traces`, as the viewer's page does. Returns the traces, of the one
    /// that began last first.
    pub async fn search(&self, parameters: &[(&str, &str)]) -> anyhow::Result<Vec<Trace>> {
        let request = self.http.get(format!("{}/api/traces", self.url));
        let response = request.query(parameters).send().await?;
        let reply: Value = response.json().await?;
        anyhow::ensure!(reply["errors"].is_null(), "{}", reply["errors"]);
        traces_of(&reply)
    }

    /// Returns the list at a path of Jaeger's API.
    pub async fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let response = self.http.get(format!("{}{path}", self.url)).send().await?;
        let reply: Value = response.error_for_status()?.json().await?;
        Ok(reply["data"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until `is_complete` accepts the trace.
    pub async fn wait_for(
        &self,
        trace_id: &str,
        patience: Duration,
        is_complete: impl Fn(&Trace) -> bool,
    ) -> anyhow::Result<Trace> {
        eventually(patience, &format!("trace {trace_id}"), async || {
            let Some(trace) = self.get(trace_id).await? else {
                anyhow::bail!("the viewer has no span of it");
            };
            if is_complete(&trace) {
                return Ok(Some(trace));
            }
            let names: Vec<_> = trace.spans.iter().map(|span| span.name.as_str()).collect();
            anyhow::bail!("it has only {names:?}")
        })
        .await
    }
}

/// Reads the traces of a reply.
fn traces_of(reply: &Value) -> anyhow::Result<Vec<Trace>> {
    let mut traces = Vec::new();
    for page in reply["data"].as_array().into_iter().flatten() {
        let mut spans = Vec::new();
        for span in page["spans"].as_array().into_iter().flatten() {
            let mut span =
                Span::deserialize(span).context("the trace is not in Jaeger's format")?;
            let recorder = &page["processes"][&span.process];
            span.service = text(recorder, "/serviceName").into();
            spans.push(span);
        }
        let id = text(page, "/traceID").to_owned();
        let json = page.to_string();
        traces.push(Trace { id, json, spans });
    }
    Ok(traces)
}
