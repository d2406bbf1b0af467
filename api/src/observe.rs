//! The middleware around every request: its id, its span, its metrics, and the rendering of errors.

use std::rc::Rc;
use std::time::Instant;

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, Version};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use khata_domain::{MerchantId, ObjectReferenceId, ids};
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, field};

use crate::connection::{ConnectionState, PIECE, Pieces};
use crate::error::{ApiError, FaultCode};
use crate::limits::LimitState;
use crate::metrics::{Counted, Metrics, Request, method_label};
use crate::reply::REPLAYED;
use crate::settings::TraceCallers;
use crate::shares::{Share, Shares};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ROUTING_ID: HeaderName = HeaderName::from_static("x-routing-id");
const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const TRACE_PARENT: &str = "traceparent";
const FETCH_SITE: &str = "sec-fetch-site";

/// Ids of a request, for its handler.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// `x-routing-id`, if sent.
    pub(crate) routing_id: Option<String>,
    /// W3C trace context of the request's span.
    pub(crate) trace_parent: Option<String>,
}

/// The memory for replies, of which the reply to the request takes the merchant's share.
pub(crate) struct ReplyMemory(pub(crate) Shares);

/// Whether the API serves the guide, to which its errors then refer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HasGuide(pub(crate) bool);

/// Marks a request as waiting for outcomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting;

/// The middleware.
pub(crate) async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let connection = request.conn_data::<Rc<ConnectionState>>().cloned();
    let headers = request.headers();
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    let _serving = connection
        .as_ref()
        .map(|connection| connection.serve(started, has_body));
    let metrics = request.app_data::<web::Data<Metrics>>().cloned();
    let _in_flight = metrics
        .as_ref()
        .map(|metrics| Counted::new(&metrics.in_flight));
    let request_id = match visible_header(&request, &REQUEST_ID) {
        Ok(Some(id)) => id,
        _ => format!("req_{}", ids::encode(uuid::Uuid::now_v7())),
    };
    let routing_id = visible_header(&request, &ROUTING_ID);
    let valid_routing_id = routing_id.as_ref().ok().and_then(Option::as_deref);
    let span = span_of(&request, &request_id, valid_routing_id);
    let trace_parent = telemetry::trace_parent_of(&span);
    let response = match routing_id {
        Err(reason) => request
            .error_response(ApiError::field(
                ROUTING_ID.as_str(),
                FaultCode::Format,
                reason,
            ))
            .map_into_right_body(),
        Ok(_) if is_cross_site(&request) => request
            .error_response(ApiError::CrossSite)
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
    let mut memory = None;
    let error = response.response().extensions().get::<ApiError>().cloned();
    let error = error.or_else(|| take_memory(&response, &mut memory).err());
    let mut response = match &error {
        Some(error) => {
            let guide = response.request().app_data::<HasGuide>();
            let reply = error.render(&request_id, guide.is_some_and(|guide| guide.0));
            response.into_response(reply).map_into_boxed_body()
        }
        None => response.map_into_boxed_body(),
    };
    let waited = response.request().extensions().get::<Waiting>().is_some();
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        telemetry::fail(&span, status.as_str());
    }
    if waited {
        span.record("khata.waits", true);
    }
    if let Some(metrics) = metrics {
        let request = response.request();
        let route = request.match_pattern();
        metrics.answered(&Request {
            route: route.as_deref().unwrap_or("unmatched"),
            method: request.method(),
            status,
            merchant: request.extensions().get::<MerchantId>().copied(),
            waited,
            took: started.elapsed(),
            trace_parent: trace_parent.as_deref(),
            error: error.as_ref(),
            replayed: response.headers().contains_key(REPLAYED),
        });
    }
    add_headers(&mut response, &request_id, trace_parent.as_deref());
    Ok(response.map_body(|_, body| Pieces::new(body, memory, connection.as_ref())))
}

/// Takes memory for a reply that does not fit into the buffer of its connection, until the client has taken the reply.
fn take_memory(
    response: &ServiceResponse<impl MessageBody>,
    memory: &mut Option<Share>,
) -> Result<(), ApiError> {
    let BodySize::Sized(size) = response.response().body().size() else {
        return Ok(());
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size <= PIECE {
        return Ok(());
    }
    let extensions = response.request().extensions();
    let merchant = extensions.get::<MerchantId>();
    if let (Some(ReplyMemory(replies)), Some(merchant)) = (extensions.get(), merchant) {
        let mut share = replies.of(*merchant);
        share
            .take_memory(size)
            .map_err(|_| ApiError::RepliesNotTaken)?;
        *memory = Some(share);
    }
    Ok(())
}

/// Whether a page of another site makes a browser send the request, which may add credentials that the browser remembers.
/// No browser lets that page read the reply, so only a request that may change something matters.
fn is_cross_site(request: &ServiceRequest) -> bool {
    let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
    let is_cross_site = match header(HeaderName::from_static(FETCH_SITE)) {
        Some(site) => !matches!(site, b"same-origin" | b"none"),
        // Old browsers name only the origin of the page.
        None => header(ORIGIN).is_some_and(|origin| {
            let host = origin.splitn(2, |byte| *byte == b'/').nth(1);
            host.and_then(|host| host.strip_prefix(b"/")) != header(HOST)
        }),
    };
    is_cross_site && ![Method::GET, Method::HEAD].contains(request.method())
}

/// Adds the headers that every reply has.
fn add_headers(
    response: &mut ServiceResponse<impl MessageBody>,
    request_id: &str,
    trace_parent: Option<&str>,
) {
    let is_page = response.request().path().starts_with("/docs");
    let limit = response.request().extensions().get::<LimitState>().copied();
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A call that permits its reply to be kept has the header already.
    if !is_page && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Some(limit) = limit {
        limit.add_headers(headers);
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(value) = trace_parent.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(TRACE_RESPONSE, value);
    }
}

/// The span of a request. The span holds neither path values nor the query, because a customer reference may be a person's
/// phone number: `url.path` is the route's template. Handlers record Khata's own ids once they have parsed them.
fn span_of(request: &ServiceRequest, request_id: &str, routing_id: Option<&str>) -> Span {
    let route = request.match_pattern();
    let route = route.as_deref();
    // Probes call the health endpoints every few seconds: no trace.
    if route.is_some_and(|route| route.starts_with("/health")) {
        return Span::none();
    }
    let method = method_label(request.method());
    let version = match request.version() {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
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
        network.protocol.version = version,
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
    let caller = request.headers().get(TRACE_PARENT);
    if let Some(caller) = caller.and_then(|value| value.to_str().ok()) {
        match request.app_data().copied().unwrap_or_default() {
            // Callers do not control sampling.
            TraceCallers::Link => telemetry::link(&span, caller),
            TraceCallers::Continue => telemetry::continue_trace(&span, caller),
        }
    }
    span
}

/// An id that the caller sends in a header.
fn visible_header(
    request: &ServiceRequest,
    name: &HeaderName,
) -> Result<Option<String>, &'static str> {
    let Some(value) = request.headers().get(name) else {
        return Ok(None);
    };
    let id = value.to_str().ok().and_then(ObjectReferenceId::parse);
    let id = id.map(|id| id.expose().to_owned());
    id.map(Some).ok_or(ObjectReferenceId::MESSAGE)
}
