//! The HTTP client that sends webhooks to endpoints.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use reqwest::dns::Resolve;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;
use tracing::{Instrument, Span, field};

use crate::call_error::CallError;
use crate::endpoint_url::EndpointUrl;
use crate::reply::{EXCERPT_LENGTH, EndpointReply};
use crate::request::DeliveryRequest;
use crate::resolver::{CheckedResolver, SystemResolver};

/// Maximum time of a call, from the lookup of the host's name to the end of the reply.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time until a connection can carry the request: lookup, TCP and TLS.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum part of a reply's body that is read, in bytes; with the HTTP library's last piece it is somewhat more. The reply's
/// head has the limits of the library: 100 headers, and about 400 KiB. Only the time limits heads of `1xx` replies and the
/// framing of chunks.
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

/// Sends webhooks. All calls of a process share one client, and its connections.
///
/// A call connects to public addresses only, by HTTPS with a certificate that the system trusts, follows no redirect and uses
/// no proxy. In sandbox mode a call may also use HTTP and connect to loopback addresses.
pub struct WebhookClient {
    http: reqwest::Client,
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
        let http = reqwest::Client::builder()
            .dns_resolver(CheckedResolver {
                resolver,
                sandbox_mode,
            })
            // A proxy would resolve the name itself, to addresses that nothing checks.
            .no_proxy()
            .https_only(!sandbox_mode)
            // The limits of a reply are those of HTTP/1.
            .http1_only()
            .redirect(Policy::none())
            .timeout(CALL_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A compressed reply could be much longer than the bytes that are counted.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .tcp_nodelay(true)
            .build()
            .map_err(io::Error::other)?;
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
        let http = self
            .http
            .post(url.url().clone())
            .headers(request.headers())
            .body(request.message.body().clone());
        // The set ends its task when it is dropped, so that a call ends with its caller.
        let mut calls = JoinSet::new();
        calls.spawn_on(exchange(http).instrument(span.clone()), &self.threads);
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

async fn exchange(request: RequestBuilder) -> Result<EndpointReply, CallError> {
    let mut response = request.send().await?;
    let mut body = Vec::new();
    let _ = tokio::time::timeout(BODY_TIMEOUT, read_start(&mut response, &mut body)).await;
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok());
    let status = response.status().as_u16();
    Ok(EndpointReply::new(status, retry_after, &body, Utc::now()))
}

/// Reads at most [`MAX_BODY`] bytes of the body, so that the connection can carry the next call, and keeps the first
/// [`EXCERPT_LENGTH`] bytes. Dropping a response that is not read to its end closes the connection.
async fn read_start(response: &mut Response, start: &mut Vec<u8>) {
    let mut length = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        let missing = EXCERPT_LENGTH - start.len();
        start.extend_from_slice(&chunk[..chunk.len().min(missing)]);
        length += chunk.len();
        if length > MAX_BODY {
            break;
        }
    }
}
