//! The request body: received within its limits and decoded by its content type.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use serde_json::{Map, Value};

use super::{form, json};
use crate::connection::Reading;
use crate::error::{ApiError, Faults};

/// Contract, *Limits*.
const MAX_BODY: usize = 256 * 1024;
/// Size from which a body is decoded on another thread: decoding it takes about a millisecond.
const LARGE_BODY: usize = 32 * 1024;
/// Most memory reserved for a declared length before any byte has arrived.
const MAX_RESERVED: usize = 16 * 1024;
/// Time limit for the whole body: enough for 256 KiB on a slow line.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// The bytes of a request body and their content type.
#[derive(Default)]
pub(crate) struct Body {
    content_type: Option<String>,
    bytes: Vec<u8>,
}

impl Body {
    /// Receives a body within its size and time limits.
    pub(crate) async fn receive(request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        let headers = request.headers();
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or("?").to_owned());
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > MAX_BODY) {
            return Err(ApiError::BodyTooLarge);
        }
        let reading = request.conn_data::<Rc<Reading>>();
        let _receiving = reading.map(Reading::receive);
        let bytes = tokio::time::timeout(TIME_LIMIT, collect(payload, declared))
            .await
            .map_err(|_| ApiError::BodyTimeout)??;
        Ok(Self {
            content_type,
            bytes,
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
        let decoded = web::block(move || decode(body.content_type.as_deref(), &body.bytes));
        decoded.await.unwrap_or(Err(ApiError::Internal))
    }
}

async fn collect(mut payload: Payload, declared: Option<usize>) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::with_capacity(declared.unwrap_or_default().min(MAX_RESERVED));
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|_| ApiError::field("body", "ended before its declared length"))?;
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ApiError::BodyTooLarge);
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
        Err(error) => Err(ApiError::field("body", &form::not_json(&error))),
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
