//! The request body: received within its limits and decoded by its content type.

use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::{form, json};
use crate::connection::ConnectionState;
use crate::error::{ApiError, Faults};
use crate::shares::Share;

/// Contract, *Limits*.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// Size from which a body is decoded on another thread: decoding it takes about a millisecond.
const LARGE_BODY: usize = 32 * 1024;
/// Steps in which a body takes memory.
const STEP: usize = 16 * 1024;
/// Time limit for the whole body: enough for 256 KiB on a slow line.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Permits to decode large bodies: one for each core, because a decoded body takes ten times its memory.
static DECODERS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// The bytes of a request body and their content type.
#[derive(Default)]
pub(crate) struct Body {
    content_type: Option<String>,
    bytes: Vec<u8>,
    _memory: Option<Share>,
}

impl Body {
    /// Receives a body of at most this length within its time limit, and within this share of the memory for bodies.
    pub(crate) async fn receive(
        request: &HttpRequest,
        payload: Payload,
        most: usize,
        mut memory: Share,
    ) -> Result<Self, ApiError> {
        let headers = request.headers();
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or("?").to_owned());
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > most) {
            return Err(ApiError::BodyTooLarge);
        }
        let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
        let length = (!is_chunked).then(|| declared.unwrap_or(0));
        let connection = request.conn_data::<Rc<ConnectionState>>();
        let _receiving = connection.map(|connection| connection.receive(length));
        let bytes = collect(payload, declared, most, &mut memory);
        let bytes = tokio::time::timeout(TIME_LIMIT, bytes)
            .await
            .map_err(|_| ApiError::BodyTimeout)??;
        Ok(Self {
            content_type,
            bytes,
            _memory: Some(memory),
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes the body; a large one on another thread, so that other requests do not wait.
    pub(crate) async fn decode(self: &Arc<Self>) -> Result<Map<String, Value>, ApiError> {
        if self.bytes.len() <= LARGE_BODY {
            return decode(self.content_type.as_deref(), &self.bytes);
        }
        let body = Arc::clone(self);
        let permit = DECODERS.acquire().await;
        let decoded = web::block(move || {
            // The thread holds the permit, because it may outlive the caller.
            let _permit = permit;
            decode(body.content_type.as_deref(), &body.bytes)
        });
        decoded.await.unwrap_or(Err(ApiError::Internal))
    }
}

async fn collect(
    mut payload: Payload,
    declared: Option<usize>,
    most: usize,
    memory: &mut Share,
) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    if declared != Some(0) {
        // A body that never comes takes a share, too.
        memory.take_memory(STEP)?;
        body.reserve_exact(declared.unwrap_or(STEP).min(STEP));
    }
    let mut reserved = STEP;
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|_| ApiError::field("body", "ended before its declared length"))?;
        if body.len() + chunk.len() > most {
            return Err(ApiError::BodyTooLarge);
        }
        let needed = (body.len() + chunk.len()).next_multiple_of(STEP);
        if needed > reserved {
            memory.take_memory(needed - reserved)?;
            body.reserve_exact(needed - body.len());
            reserved = needed;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Decodes a body of this content type. No body at all is an empty form.
pub(crate) fn decode(
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Map<String, Value>, ApiError> {
    let (media_type, parameters) = match content_type {
        Some(value) => value.split_once(';').unwrap_or((value, "")),
        None if body.is_empty() => return Ok(Map::new()),
        None => return Err(ApiError::UnsupportedMediaType),
    };
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    if charset.is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
        return Err(ApiError::UnsupportedMediaType);
    }
    let media_type = media_type.trim();
    if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        form::decode(body).map_err(ApiError::Invalid)
    } else if media_type.eq_ignore_ascii_case("application/json") {
        decode_json(body)
    } else {
        Err(ApiError::UnsupportedMediaType)
    }
}

fn decode_json(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let mut faults = Faults::default();
    match json::parse(body, None, &mut faults) {
        Ok(Value::Object(object)) => {
            let object = flatten(object, &mut faults);
            faults.check().map(|()| object)
        }
        Ok(_) => Err(ApiError::field("body", "must be a JSON object")),
        // The parser has stopped.
        Err(_) if faults.is_full() => faults.check().map(|()| Map::new()),
        Err(error) => Err(ApiError::field("body", &json::not_json(&error))),
    }
}

/// Renames members of groups as a form names them: `{"metadata":{"a":"b"}}` becomes `metadata.a`; `consent` likewise.
fn flatten(mut object: Map<String, Value>, faults: &mut Faults) -> Map<String, Value> {
    for group in ["metadata", "consent"] {
        match object.remove(group) {
            None | Some(Value::Null) => {}
            Some(Value::Object(members)) => {
                for (name, value) in members {
                    let name = format!("{group}.{name}");
                    if object.contains_key(&name) {
                        faults.push(json::printable(&name), json::REPEATED);
                    }
                    object.insert(name, value);
                }
            }
            Some(_) => faults.push(group, "must be an object"),
        }
    }
    object
}
