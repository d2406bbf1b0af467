//! HTTP to a gateway: one call, one span, and the question "was it sent?" answered for each failure.

use std::time::Duration;

use khata_domain::CallFailure;

use reqwest::header::{HeaderMap, HeaderValue};
use tracing::{Instrument, Span, field};
use zeroize::Zeroizing;

/// Idle connections kept to one gateway: as many as a worker has calls in hand by default, as a connection that is
/// thrown away is made anew for the next call.
const IDLE_CONNECTIONS: usize = 512;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// No answer of a gateway is longer.
const MAX_BODY: usize = 256 * 1024;

/// The client all connectors of a process share. Follows no redirects: credentials go where they were configured to.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Somebody else in the process may have installed it: all of ours use the same.
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

/// A gateway's HTTP answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as this type; a body that is not is as good as none.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, CallFailure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            CallFailure::ResponseLost(format!("malformed answer at column {}", error.column()))
        })
    }

    /// How long the gateway asks us to stay away.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.seconds("retry-after")
            .or_else(|| self.seconds("x-ratelimit-reset"))
    }

    /// What an answer says of a look that told nothing of the call it was after.
    pub(crate) fn unheard(&self) -> CallFailure {
        if self.status == 429 {
            let retry_after = self
                .seconds("retry-after")
                .or_else(|| self.seconds("x-ratelimit-reset"));
            CallFailure::Rejected { retry_after }
        } else {
            CallFailure::ResponseLost(format!("look-up answered {}", self.status))
        }
    }

    /// A header that holds whole seconds.
    fn seconds(&self, name: &str) -> Option<Duration> {
        self.headers
            .get(name)?
            .to_str()
            .ok()?
            .trim()
            .parse()
            .ok()
            .map(Duration::from_secs)
    }
}

/// A request body in JSON.
pub(crate) fn json_body(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// A header value that `Debug` hides; `None` where it is not visible ASCII.
pub(crate) fn secret_header(value: Zeroizing<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Sends. `route` is the path without values, for the span.
pub(crate) async fn send(
    client: &reqwest::Client,
    request: reqwest::RequestBuilder,
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
            // The values in its path and query are not told.
            url.full = format!("{}{route}", request.url().origin().ascii_serialization()),
            url.template = route,
        )
    };
    let reply = exchange(client, request).instrument(span.clone()).await;
    match &reply {
        Ok(reply) => {
            span.record("http.response.status_code", reply.status);
            if reply.status >= 400 {
                fail(&span, &reply.status.to_string());
            }
        }
        Err(failure) => {
            fail(&span, failure.code());
        }
    }
    reply
}

/// Marks a span as failed with an error code or an HTTP status.
fn fail(span: &Span, error_type: &str) {
    span.record("otel.status_code", "ERROR")
        .record("error.type", error_type);
}

async fn exchange(
    client: &reqwest::Client,
    request: reqwest::Request,
) -> Result<Reply, CallFailure> {
    let lost = |error: &reqwest::Error| CallFailure::ResponseLost(describe(error));
    let mut response = client.execute(request).await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            CallFailure::NotSent(describe(&error))
        } else {
            lost(&error)
        }
    })?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(CallFailure::ResponseLost("answer too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply {
        status: response.status().as_u16(),
        headers: std::mem::take(response.headers_mut()),
        body,
    })
}

/// What went wrong in a few words; a URL may carry a reference, so it stays out.
fn describe(error: &reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "broken answer"
    } else {
        "connection lost"
    };
    kind.to_owned()
}
