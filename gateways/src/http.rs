//! HTTP calls to a gateway: one span per call, and for each failure whether the request was sent.

use std::time::Duration;

use khata_domain::CallFailure;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Url};
use tracing::{Instrument, Span, field};
use zeroize::Zeroizing;

use crate::body::Body;
use crate::config::{ConfigError, ConnectorConfig};

/// Idle connections kept per gateway: as many as a worker has calls under way by default, because a connection that is
/// closed must be opened again for the next call.
const IDLE_CONNECTIONS: usize = 512;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum length of a gateway's reply in bytes.
const MAX_BODY: usize = 256 * 1024;

/// Returns the HTTP client that all connectors of a process share. The client follows no redirects, so that credentials
/// reach only the configured address.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Fails if the process has installed a provider already; all parts of Khata use the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("khata/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .build()
}

/// Calls one service of a gateway. All calls have the same headers and the same time-out.
pub(crate) struct Client {
    http: reqwest::Client,
    base_url: Url,
    headers: HeaderMap,
    pub(crate) timeout: Duration,
}

impl Client {
    /// Makes a client whose calls carry these credentials as headers.
    pub(crate) fn new<const N: usize>(
        config: &ConnectorConfig<'_>,
        base_url: &str,
        timeout: Duration,
        credentials: [(&'static str, Zeroizing<String>); N],
    ) -> Result<Self, ConfigError> {
        const INVISIBLE: &str = "ids and secrets must be visible ASCII";
        let mut headers = HeaderMap::new();
        for (name, value) in credentials {
            let value = secret_header(&value).ok_or(ConfigError::Credentials(INVISIBLE))?;
            headers.insert(name, value);
        }
        let no_url = |_| ConfigError::Settings("base_url is not a URL".into());
        Ok(Self {
            http: config.http.clone(),
            base_url: Url::parse(base_url).map_err(no_url)?,
            headers,
            timeout,
        })
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// Makes a request. The path begins with a slash and may end with a query.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // Only the path is parsed: parsing a whole URL costs as much as sending the request.
        let base_path = self.base_url.path().trim_end_matches('/');
        let request = match self.base_url.join(&format!("{base_path}{path}")) {
            Ok(url) => self.http.request(method, url),
            // The builder reports the error.
            Err(_) => self.http.request(method, path),
        };
        let mut request = request.timeout(self.timeout);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
    }

    /// Sends a request. `route` is the path without values, for the span.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        route: &'static str,
    ) -> Result<Reply, CallFailure> {
        let request = request
            .build()
            .map_err(|error| CallFailure::NotSent(describe(&error)))?;
        // Spans exist only inside a recorded trace.
        let span = if Span::current().is_disabled() {
            Span::none()
        } else {
            tracing::info_span!(
                "gateway call",
                otel.name = format!("{} {route}", request.method()),
                otel.kind = "client",
                otel.status_code = field::Empty,
                error.r#type = field::Empty,
                http.request.method = %request.method(),
                http.response.status_code = field::Empty,
                server.address = request.url().host_str().unwrap_or_default(),
                server.port = request.url().port_or_known_default(),
                // Without the values in the path and the query.
                url.full = format!("{}{route}", request.url().origin().ascii_serialization()),
                url.template = route,
            )
        };
        let reply = exchange(&self.http, request).instrument(span.clone()).await;
        match &reply {
            Ok(reply) => {
                span.record("http.response.status_code", reply.status);
                if reply.status >= 400 {
                    record_error(&span, &reply.status.to_string());
                }
            }
            Err(failure) => record_error(&span, failure.code()),
        }
        reply
    }
}

/// A gateway's HTTP reply.
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    /// Parses the body. A body that holds no JSON object counts as a lost response.
    pub(crate) fn body(&self) -> Result<Body, CallFailure> {
        Body::parse(&self.body)
            .ok_or_else(|| CallFailure::ResponseLost("malformed response".into()))
    }

    /// Parses the body of an error; without fields if it holds no JSON object.
    pub(crate) fn error_body(&self) -> Body {
        Body::parse(&self.body).unwrap_or_else(Body::empty)
    }

    /// Returns the gateway's code, or the HTTP status if the code is empty.
    pub(crate) fn code_or_status(&self, code: &str) -> String {
        if code.is_empty() {
            format!("http_{}", self.status)
        } else {
            code.to_owned()
        }
    }

    /// Returns how long the gateway asks us to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.seconds("retry-after")
            .or_else(|| self.seconds("x-ratelimit-reset"))
    }

    /// Maps the reply to a failed lookup to a [`CallFailure`]: the reply says nothing about the call that was looked up.
    pub(crate) fn lookup_failure(&self) -> CallFailure {
        if self.status == 429 {
            CallFailure::Rejected {
                retry_after: self.retry_after(),
            }
        } else {
            CallFailure::ResponseLost(format!("lookup failed with status {}", self.status).into())
        }
    }

    /// Returns a header that holds whole seconds.
    fn seconds(&self, name: &str) -> Option<Duration> {
        let text = self.headers.get(name)?.to_str().ok()?;
        text.trim().parse().ok().map(Duration::from_secs)
    }
}

/// Makes a header value that `Debug` hides; `None` if the value is not visible ASCII.
pub(crate) fn secret_header(value: &str) -> Option<HeaderValue> {
    let is_visible = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    let mut value = HeaderValue::from_str(value).ok().filter(|_| is_visible)?;
    value.set_sensitive(true);
    Some(value)
}

/// Marks a span as failed with an error code or an HTTP status.
fn record_error(span: &Span, error_type: &str) {
    span.record("otel.status_code", "ERROR")
        .record("error.type", error_type);
}

/// Makes the calls of this thread get this reply, without a gateway.
#[cfg(feature = "canned-replies")]
pub fn set_canned_reply(status: u16, body: &[u8]) {
    CANNED_REPLY.set(Some((status, body.to_vec())));
}

#[cfg(feature = "canned-replies")]
thread_local! {
    static CANNED_REPLY: std::cell::RefCell<Option<(u16, Vec<u8>)>> = const { std::cell::RefCell::new(None) };
}

async fn exchange(
    client: &reqwest::Client,
    request: reqwest::Request,
) -> Result<Reply, CallFailure> {
    #[cfg(feature = "canned-replies")]
    if let Some((status, body)) = CANNED_REPLY.with_borrow(Clone::clone) {
        return Ok(Reply {
            status,
            headers: HeaderMap::new(),
            body,
        });
    }
    let lost = |error: reqwest::Error| CallFailure::ResponseLost(describe(&error).into());
    let mut response = client.execute(request).await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            CallFailure::NotSent(describe(&error))
        } else {
            lost(error)
        }
    })?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(CallFailure::ResponseLost("response too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply {
        status: response.status().as_u16(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}

/// Describes an error in a few words, without the URL, which may hold a reference.
fn describe(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "broken response"
    } else {
        "connection lost"
    };
    kind.to_owned()
}
