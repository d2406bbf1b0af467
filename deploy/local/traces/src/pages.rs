//! The HTTP server: Jaeger's pages, and the part of Jaeger's query API that they call.

use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::jaeger;
use crate::search::{Search, parse_id};
use crate::store::{SharedStore, Trace, TraceId, lock};

/// Number of traces that a search compares before other requests and exports get their turn.
const AT_ONCE: usize = 256;

/// The line of Jaeger's page that a server replaces by its configuration.
const NO_CONFIGURATION: &str = "const JAEGER_CONFIG = DEFAULT_CONFIG;";
/// Maximum length of Jaeger's page: several times its own.
const MAX_PAGE: usize = 64 * 1024;

/// A reply in the form of Jaeger's query API.
#[derive(Serialize)]
struct Reply<T> {
    data: Vec<T>,
    total: usize,
    limit: usize,
    offset: usize,
    errors: Option<()>,
}

/// Why a request gets no data.
struct Refusal(StatusCode, String);

type Parameters = Query<Vec<(String, String)>>;

/// Returns the server's routes.
pub(crate) fn router(store: SharedStore) -> Router {
    // The library with the pages has a store and an API of its own, which remain unused.
    let unused = otlp_embedded::State::new(otlp_embedded::Config {
        max_length: 0,
        max_memory_usage: 0,
    });
    let pages = otlp_embedded::ui_app(unused, "/")
        .layer(map_response(redirect_as_page))
        .layer(map_response(configured));
    Router::new()
        .route("/api/services", get(services))
        .route("/api/services/{service}/operations", get(operation_names))
        .route("/api/operations", get(operations))
        .route("/api/traces", get(search))
        .route("/api/traces/{id}", get(trace))
        .with_state(store)
        .fallback_service(pages)
}

async fn services(State(store): State<SharedStore>) -> Response {
    let store = lock(&store);
    let processes = store.traces().flat_map(Trace::processes);
    let services: BTreeSet<&str> = processes.map(|process| &*process.service).collect();
    reply(services)
}

async fn operation_names(
    State(store): State<SharedStore>,
    Path(service): Path<String>,
) -> Response {
    let store = lock(&store);
    let spans = store.traces().flat_map(Trace::spans);
    let spans = spans.filter(|(_, process)| *process.service == *service);
    let names: BTreeSet<&str> = spans.map(|(span, _)| &*span.name).collect();
    reply(names)
}

async fn operations(State(store): State<SharedStore>, Query(parameters): Parameters) -> Response {
    let is = |name: &str, value: &str| {
        let mut wanted = parameters.iter().filter(|(key, _)| key == name);
        wanted.all(|(_, wanted)| wanted.is_empty() || wanted == value)
    };
    let store = lock(&store);
    let spans = store.traces().flat_map(Trace::spans);
    let spans = spans.filter(|(_, process)| is("service", &process.service));
    let operations = spans.map(|(span, _)| (&*span.name, jaeger::kind(span)));
    let operations: BTreeSet<_> = operations
        .filter(|(_, kind)| is("spanKind", kind))
        .collect();
    let operations = operations.into_iter();
    reply(operations.map(|(name, kind)| json!({"name": name, "spanKind": kind})))
}

async fn search(
    State(store): State<SharedStore>,
    Query(parameters): Parameters,
) -> Result<Response, Refusal> {
    let search =
        Search::parse(&parameters).map_err(|message| Refusal(StatusCode::BAD_REQUEST, message))?;
    let mut ids = search.ids.clone();
    if ids.is_empty() {
        ids = lock(&store).newest_first();
    }
    let mut found = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        found.extend(find(&store, ids, &search, search.limit - found.len()));
        if found.len() == search.limit {
            break;
        }
        tokio::task::yield_now().await;
    }
    Ok(reply(found))
}

/// Returns the traces that the search finds among these, `most` at most.
fn find(store: &SharedStore, ids: &[TraceId], search: &Search, most: usize) -> Vec<Box<RawValue>> {
    let store = lock(store);
    ids.iter()
        .filter_map(|id| Some((*id, store.get(*id)?)))
        .filter(|(_, trace)| search.finds(trace))
        .take(most)
        .filter_map(|(id, trace)| json_of(id, trace))
        .collect()
}

async fn trace(
    State(store): State<SharedStore>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let id = parse_id(&id).map_err(|message| Refusal(StatusCode::BAD_REQUEST, message))?;
    let store = lock(&store);
    let found = store.get(id).and_then(|trace| json_of(id, trace));
    let missing = || {
        let message = "no span of this trace has arrived, or newer traces have replaced it";
        Refusal(StatusCode::NOT_FOUND, message.to_owned())
    };
    Ok(reply([found.ok_or_else(missing)?]))
}

/// Returns a trace as text: its values would take several times the memory.
fn json_of(id: TraceId, trace: &Trace) -> Option<Box<RawValue>> {
    to_raw_value(&jaeger::trace(id, trace)).ok()
}

fn reply<T: Serialize>(data: impl IntoIterator<Item = T>) -> Response {
    let data: Vec<T> = data.into_iter().collect();
    Json(Reply {
        total: data.len(),
        data,
        limit: 0,
        offset: 0,
        errors: None,
    })
    .into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, message) = self;
        let error = json!({"code": status.as_u16(), "msg": message});
        let body = json!({"data": null, "total": 0, "limit": 0, "offset": 0, "errors": [error]});
        (status, Json(body)).into_response()
    }
}

/// Writes the configuration into a page, without the menus of what the server does not have.
async fn configured(response: Response) -> Response {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_page = content_type.is_some_and(|it| it.as_bytes().starts_with(b"text/html"));
    if !is_page {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(page) = to_bytes(body, MAX_PAGE).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let menus = json!({"dependencies": {"menuEnabled": false}, "monitor": {"menuEnabled": false}});
    let page = String::from_utf8_lossy(&page);
    let page = page.replace(NO_CONFIGURATION, &format!("const JAEGER_CONFIG = {menus};"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(page))
}

/// Changes the status of the UI's own routes (`/trace/<id>`) to 200. The library replies with the right page but with status
/// 307 and no `Location`, which clients other than browsers treat as a failure.
async fn redirect_as_page(mut response: Response) -> Response {
    if response.status() == StatusCode::TEMPORARY_REDIRECT
        && !response.headers().contains_key(header::LOCATION)
    {
        *response.status_mut() = StatusCode::OK;
    }
    response
}
