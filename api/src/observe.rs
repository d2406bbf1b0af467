//! Around every request: its id, its span, and the rendering of whatever error came out of it.

use std::sync::Arc;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::http::{Method, Version};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use khata_domain::{MerchantId, ids};
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, field};

use crate::error::ApiError;
use crate::idempotency;
use crate::limits::Standing;
use crate::metrics::Request;
use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ROUTING_ID: HeaderName = HeaderName::from_static("x-routing-id");
const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const TRACE_PARENT: &str = "traceparent";
/// Of an id that comes from outside.
const MAX_ID: usize = 128;

/// What a handler may want to know of its request.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// `x-routing-id`, where given.
    pub(crate) routing_id: Option<String>,
    /// W3C trace context of the request's span.
    pub(crate) trace_parent: Option<String>,
}

/// Put to a request that waits for outcomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits;

/// The middleware.
pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let begun = Instant::now();
    let metrics = request
        .app_data::<web::Data<State>>()
        .map(|state| Arc::clone(&state.metrics));
    let _in_flight = metrics.as_ref().map(|metrics| metrics.begin());
    let given = visible_header(&request, &REQUEST_ID);
    let request_id = match given {
        Ok(Some(id)) => id,
        _ => format!("req_{}", ids::encode(uuid::Uuid::now_v7())),
    };
    let routing_id = visible_header(&request, &ROUTING_ID);
    let span = span_of(
        &request,
        &request_id,
        routing_id.as_ref().ok().and_then(Option::as_deref),
    );
    let trace_parent = telemetry::trace_parent_of(&span);
    let response = match routing_id {
        Err(reason) => request
            .error_response(ApiError::field(ROUTING_ID.as_str(), reason))
            .map_into_right_body(),
        Ok(routing_id) => {
            request.extensions_mut().insert(Observed {
                routing_id,
                trace_parent: trace_parent.clone(),
            });
            next.call(request)
                .instrument(span.clone())
                .await?
                .map_into_left_body()
        }
    };
    let failed = response.response().extensions().get::<ApiError>().cloned();
    let mut response = match &failed {
        Some(error) => response
            .into_response(error.render(&request_id))
            .map_into_boxed_body(),
        None => response.map_into_boxed_body(),
    };
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        telemetry::fail(&span, status.as_str());
    }
    let waited = response.request().extensions().get::<Waits>().is_some();
    if waited {
        span.record("khata.waits", true);
    }
    if let Some(metrics) = metrics {
        let request = response.request();
        let route = request.match_pattern();
        let route = route.as_deref().unwrap_or("unmatched");
        metrics.answered(&Request {
            route,
            method: request.method(),
            status,
            merchant: request.extensions().get::<MerchantId>().copied(),
            waited,
            took: begun.elapsed(),
            trace_parent: trace_parent.as_deref(),
            error: failed.as_ref(),
            replayed: response.headers().contains_key(idempotency::REPLAYED),
        });
    }
    let is_page = response.request().path().starts_with("/docs");
    let standing = response.request().extensions().get::<Standing>().copied();
    let headers = response.headers_mut();
    if !is_page {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(standing) = standing {
        standing.tell(headers);
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(value) = trace_parent.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(TRACE_RESPONSE, value);
    }
    Ok(response)
}

/// Names neither the URL's values nor the query: a merchant's customer reference may be a person's phone number. What the
/// conventions call the path is therefore the route; ids of ours are told once they have been understood.
fn span_of(request: &ServiceRequest, request_id: &str, routing_id: Option<&str>) -> Span {
    let route = request.match_pattern();
    let route = route.as_deref();
    // Health is asked every few seconds by every probe: no trace.
    if route.is_some_and(|route| route.starts_with("/health")) {
        return Span::none();
    }
    let method = method_of(request.method());
    let span = tracing::info_span!(
        "request",
        otel.name = match route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        },
        otel.kind = "server",
        otel.status_code = field::Empty,
        error.r#type = field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        network.protocol.version = version_of(request.version()),
        url.path = route,
        url.scheme = "http",
        khata.request_id = request_id,
        khata.routing_id = routing_id,
        khata.merchant_id = field::Empty,
        khata.customer_id = field::Empty,
        khata.account_id = field::Empty,
        khata.accounts = field::Empty,
        khata.waits = field::Empty,
    );
    if let Some(caller) = request
        .headers()
        .get(TRACE_PARENT)
        .and_then(|value| value.to_str().ok())
    {
        // A stranger does not decide what we record: linked, not continued.
        telemetry::link(&span, caller);
    }
    span
}

/// As the conventions have it: a method that nobody knows is not repeated.
fn method_of(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::HEAD
        | Method::OPTIONS
        | Method::PATCH
        | Method::CONNECT
        | Method::TRACE => method.as_str(),
        _ => "_OTHER",
    }
}

fn version_of(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn visible_header(
    request: &ServiceRequest,
    name: &HeaderName,
) -> Result<Option<String>, &'static str> {
    match request.headers().get(name) {
        None => Ok(None),
        Some(value) => match value.to_str() {
            Ok(text)
                if (1..=MAX_ID).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Ok(Some(text.to_owned()))
            }
            _ => Err("must be 1 to 128 visible ASCII characters"),
        },
    }
}
