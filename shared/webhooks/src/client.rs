//! The HTTP client that sends webhooks to endpoints.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::dns::Resolve;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument, Span, field};

use crate::call_error::CallError;
use crate::connector::EndpointConnector;
use crate::endpoint_url::{EndpointUrl, UrlError};
use crate::reply::{EXCERPT_LENGTH, EndpointReply};
use crate::request::DeliveryRequest;
use crate::resolver::{CheckedResolver, SystemResolver};

/// Maximum time of a call, from the lookup of the host's name to the end of the reply.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum part of a reply's body that is read, in bytes; with the HTTP library's last piece it is somewhat more. The reply's
/// head has at most 100 headers, and [`crate::MAX_REPLY`] bounds all bytes together.
pub const MAX_BODY: usize = 64 * 1024;
/// Maximum time for a reply's body, after its head: the status has decided, and only the excerpt is missing.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Threads of the calls. Endpoints decide how many bytes these threads parse, so that no other work of the process is on them.
const THREADS: usize = 2;

/// Idle connections that are kept for each host.
const IDLE_CONNECTIONS: usize = 8;
/// Less than the 5 s after which a Node.js server closes an idle connection by default: a request that is sent at that moment
/// fails.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The client below reqwest, which has no bound on what a connection sends. It knows no redirects, no proxies, which would look names
/// up themselves, and no compression, by which a reply would be longer than the bytes that are counted.
type HttpClient = Client<EndpointConnector, Full<Bytes>>;

/// Sends webhooks. All calls of a process share one client, and its connections.
///
/// A call connects to public addresses only, by HTTPS with a certificate that the system trusts, follows no redirect and uses
/// no proxy. In sandbox mode a call may also use HTTP and connect to loopback addresses.
pub struct WebhookClient {
    http: HttpClient,
    sandbox_mode: bool,
    threads: Handle,
    /// `None` only while the client is dropped.
    runtime: Option<Runtime>,
}

impl WebhookClient {
    /// Makes a client that resolves names as the operating system does.
    pub fn new(sandbox_mode: bool) -> io::Result<Self> {
        Self::with_resolver(sandbox_mode, Arc::new(SystemResolver::new(sandbox_mode)))
    }

    /// Makes a client with another name resolution. Its addresses are checked like any others.
    pub fn with_resolver(sandbox_mode: bool, resolver: Arc<dyn Resolve>) -> io::Result<Self> {
        // Fails if the process has installed a provider already; all parts of Khata use the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let connector = EndpointConnector::new(CheckedResolver {
            resolver,
            sandbox_mode,
        })?;
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("webhooks")
            .enable_all()
            .build()?;
        Ok(Self {
            http,
            sandbox_mode,
            threads: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Makes one attempt. A reply with any status is `Ok`: [`EndpointReply::failure`] says whether it is a delivery. The
    /// status decides, so that a reply whose body breaks off, is too long or too slow counts by its status.
    ///
    /// Spans hold the URL's host and port only: path and query may hold a token.
    pub async fn send(
        &self,
        url: &EndpointUrl,
        request: &DeliveryRequest<'_>,
    ) -> Result<EndpointReply, CallError> {
        // Spans exist only inside a recorded trace.
        let span = if Span::current().is_disabled() {
            Span::none()
        } else {
            tracing::info_span!(
                "webhook call",
                otel.name = "POST",
                otel.kind = "client",
                otel.status_code = field::Empty,
                error.r#type = field::Empty,
                http.request.method = "POST",
                http.request.resend_count = request.attempt.saturating_sub(1),
                http.response.status_code = field::Empty,
                server.address = url.host(),
                server.port = url.port(),
            )
        };
        let result = self.call(url, request, &span).await;
        if let Ok(reply) = &result {
            span.record("http.response.status_code", reply.status);
        }
        let failure = match &result {
            Ok(reply) => reply.failure(),
            Err(error) => Some(error.clone()),
        };
        if let Some(error) = failure {
            span.record("otel.status_code", "ERROR")
                .record("error.type", error.word());
        }
        result
    }

    async fn call(
        &self,
        url: &EndpointUrl,
        request: &DeliveryRequest<'_>,
        span: &Span,
    ) -> Result<EndpointReply, CallError> {
        // The resolver is not asked for a host that is an address, and the URL may come from a time in sandbox mode.
        url.check(self.sandbox_mode)?;
        let uri = url.as_str().parse::<Uri>();
        let uri = uri.map_err(|_| CallError::Url(UrlError::Malformed))?;
        let mut http = Request::new(Full::new(request.message.body().clone()));
        *http.method_mut() = Method::POST;
        *http.uri_mut() = uri;
        *http.headers_mut() = request.headers();
        http.headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("*/*"));
        // The set ends its task when it is dropped, so that a call ends with its caller.
        let mut calls = JoinSet::new();
        let exchange = exchange(self.http.clone(), http).instrument(span.clone());
        calls.spawn_on(exchange, &self.threads);
        match calls.join_next().await {
            Some(Ok(result)) => result,
            // The process ends, or the HTTP library panicked.
            Some(Err(_)) | None => Err(CallError::Protocol),
        }
    }
}

impl Drop for WebhookClient {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Without waiting for lookups of names, which hold their threads for long.
            runtime.shutdown_background();
        }
    }
}

async fn exchange(
    client: HttpClient,
    request: Request<Full<Bytes>>,
) -> Result<EndpointReply, CallError> {
    let ends_at = Instant::now() + CALL_TIMEOUT;
    let response = timeout_at(ends_at, client.request(request)).await;
    let (head, mut body) = response.map_err(|_| CallError::Timeout)??.into_parts();
    let mut start = Vec::new();
    let body_ends_at = ends_at.min(Instant::now() + BODY_TIMEOUT);
    let _ = timeout_at(body_ends_at, read_start(&mut body, &mut start)).await;
    let retry_after = head.headers.get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok());
    let status = head.status.as_u16();
    Ok(EndpointReply::new(status, retry_after, &start, Utc::now()))
}

/// Reads at most [`MAX_BODY`] bytes of the body, so that the connection can carry the next call, and keeps the first
/// [`EXCERPT_LENGTH`] bytes. Dropping a body that is not read to its end closes the connection.
async fn read_start(body: &mut Incoming, start: &mut Vec<u8>) {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        // Trailers are no data.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let missing = EXCERPT_LENGTH - start.len();
        start.extend_from_slice(&data[..data.len().min(missing)]);
        length += data.len();
        if length > MAX_BODY {
            break;
        }
    }
}
