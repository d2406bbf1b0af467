//! The program while it receives far more spans than fit into its memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::SocketAddr;
use std::process::Stdio;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const MEMORY: usize = 1024 * 1024;
const SPANS_OF_TRACE: u64 = 8;

/// A running viewer.
struct Viewer {
    process: Child,
    pages: SocketAddr,
    otlp: SocketAddr,
}

impl Viewer {
    async fn start() -> Self {
        // The viewer ends with the test, even if the test is killed.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(env!("CARGO_BIN_EXE_khata-traces"))
            .env_clear()
            .env("KHATA_TRACES_LISTEN", "127.0.0.1:0")
            .env("KHATA_TRACES_OTLP_LISTEN", "127.0.0.1:0")
            .env("KHATA_TRACES_MEMORY_BYTES", MEMORY.to_string())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("setpriv (Debian: util-linux)");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap_or_default();
        let addresses = line.strip_prefix("traces on http://").expect(&line);
        let (pages, otlp) = addresses.split_once(", spans by OTLP on ").expect(&line);
        Self {
            process,
            pages: pages.parse().unwrap(),
            otlp: otlp.parse().unwrap(),
        }
    }

    /// Returns the status and the JSON of a path.
    async fn get(&self, path: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.pages).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.pages);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").expect(&reply);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).expect(body))
    }

    async fn trace(&self, n: u64) -> (u16, Value) {
        self.get(&format!("/api/traces/{n:x}")).await
    }

    /// Returns the bytes of the process's own pages, without those of its program.
    fn memory(&self) -> usize {
        let path = format!("/proc/{}/status", self.process.id().unwrap());
        let status = std::fs::read_to_string(path).unwrap();
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
        let kib: usize = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib * 1024
    }
}

/// Returns one of Khata's typical spans.
fn span(trace: u64, id: u64) -> Span {
    let attribute = |name: &str, value: String| KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value)),
        }),
        ..KeyValue::default()
    };
    let start = (trace * SPANS_OF_TRACE + id) * 1_000_000;
    Span {
        trace_id: u128::from(trace).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: vec![0, 0, 0, 0, 0, 0, 0, 1],
        name: "process khata.validations".to_owned(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 500_000,
        attributes: vec![
            attribute("khata.number", trace.to_string()),
            attribute("khata.account_id", format!("banh_{trace:026}")),
            attribute("khata.validation_id", format!("val_{trace:026}")),
            attribute("khata.gateway", "CASHFREE".to_owned()),
            attribute("messaging.destination.name", "khata.validations".to_owned()),
            attribute("messaging.operation.name", "process".to_owned()),
        ],
        ..Span::default()
    }
}

fn export(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let service = KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue("khata-worker".to_owned())),
        }),
        ..KeyValue::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![service],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

#[tokio::test]
async fn the_viewer_stays_within_its_memory_and_shows_the_newest_traces() {
    let viewer = Viewer::start().await;
    let address = format!("http://{}", viewer.otlp);
    let mut exporter = TraceServiceClient::connect(address).await.unwrap();
    let before = viewer.memory();
    let (mut sent, mut traces) = (0, 0);
    while sent < 10 * MEMORY {
        let new = traces + 1..=traces + 50;
        let spans = new.flat_map(|trace| (1..=SPANS_OF_TRACE).map(move |id| span(trace, id)));
        let request = export(spans.collect());
        sent += request.encoded_len();
        let reply = exporter.export(request).await.unwrap().into_inner();
        assert_eq!(reply.partial_success, None);
        traces += 50;
        let (status, newest) = viewer.trace(traces).await;
        assert_eq!(status, 200, "{newest}");
    }
    // The spans, an export while it is decoded, and the buffers of the connections.
    let grown = viewer.memory().saturating_sub(before);
    assert!(grown < 4 * MEMORY, "{grown} bytes more than without a span");

    let (status, reply) = viewer.trace(1).await;
    assert_eq!((status, &reply["errors"][0]["code"]), (404, &404.into()));
    let (_, services) = viewer.get("/api/services").await;
    assert_eq!(services["data"], serde_json::json!(["khata-worker"]));
    let tag = format!("/api/traces?service=khata-worker&tag=khata.number:{traces}");
    let (_, found) = viewer.get(&tag).await;
    assert_eq!(found["total"], 1, "{found}");
    assert_eq!(found["data"][0]["traceID"], format!("{traces:032x}"));
    let (_, newest) = viewer
        .get("/api/traces?service=khata-worker&limit=20")
        .await;
    let newest = newest["data"].as_array().unwrap().iter();
    let newest: Vec<String> = newest
        .map(|one| one["traceID"].as_str().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (0..20).map(|n| format!("{:032x}", traces - n)).collect();
    assert_eq!(newest, expected);

    // A late span joins an older trace.
    let (_, all) = viewer.get("/api/traces?limit=1500").await;
    let kept = all["data"].as_array().unwrap().len();
    assert!((100..1_500).contains(&kept), "{kept} traces fit");
    let old = traces - u64::try_from(kept * 3 / 4).unwrap();
    exporter.export(export(vec![span(old, 99)])).await.unwrap();
    let (_, joined) = viewer.trace(old).await;
    let spans = joined["data"][0]["spans"].as_array().unwrap().iter();
    let ids: Vec<_> = spans.map(|span| span["spanID"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 9, "{ids:?}");
    assert_eq!(ids[8], "0000000000000063");
}
