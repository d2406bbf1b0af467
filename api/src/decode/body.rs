//! The body: read up to its limit, in time, and decoded by its content type.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::Payload;
use futures_util::StreamExt;
use khata_crypto::secret_buf::{self as wiped, Object};
use serde_json::{Map, Value};

use super::form;
use crate::error::{ApiError, FieldFault};

/// Contract, *Limits*.
const MAX_BODY: usize = 256 * 1024;
/// Taken at once for a body that says how long it is; a longer one has to show it first.
const FIRST_ROOM: usize = 16 * 1024;
/// A body of that size takes a slow line a few seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// A request's body as it came.
pub(crate) struct Body {
    content_type: Option<String>,
    bytes: wiped::Buffer,
}

impl Body {
    /// Reads a request's body up to its limit, in time.
    pub(crate) async fn receive(request: &HttpRequest, payload: Payload) -> Result<Self, ApiError> {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or("?").to_owned());
        let declared = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > MAX_BODY) {
            return Err(ApiError::BodyTooLarge);
        }
        let bytes = tokio::time::timeout(PATIENCE, collect(payload, declared))
            .await
            .map_err(|_| ApiError::BodyTimeout)??;
        Ok(Self {
            content_type,
            bytes,
        })
    }

    /// As it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes it into an object.
    pub(crate) fn decode(&self) -> Result<Object, ApiError> {
        decode(self.content_type.as_deref(), &self.bytes)
    }
}

async fn collect(mut payload: Payload, declared: Option<usize>) -> Result<wiped::Buffer, ApiError> {
    let mut body = wiped::Buffer::with_capacity(declared.unwrap_or_default().min(FIRST_ROOM));
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|_| ApiError::field("body", "ended before its declared length"))?;
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ApiError::BodyTooLarge);
        }
        body.push(&chunk);
    }
    Ok(body)
}

/// Decodes a body of this content type; no body at all is an empty form.
pub(crate) fn decode(content_type: Option<&str>, body: &[u8]) -> Result<Object, ApiError> {
    let (media_type, parameters) = match content_type {
        Some(value) => value.split_once(';').unwrap_or((value, "")),
        None if body.is_empty() => return Ok(Object::default()),
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
        json(body)
    } else {
        Err(ApiError::UnsupportedMediaType)
    }
}

fn json(body: &[u8]) -> Result<Object, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => {
            let mut faults = Vec::new();
            let object = Object::from(flatten(object, &mut faults));
            if faults.is_empty() {
                Ok(object)
            } else {
                Err(ApiError::Invalid(faults))
            }
        }
        Ok(other) => {
            wiped::wipe(other);
            Err(ApiError::field("body", "must be a JSON object"))
        }
        Err(error) => {
            let reason = format!(
                "is not JSON: line {}, column {}",
                error.line(),
                error.column()
            );
            Err(ApiError::field("body", &reason))
        }
    }
}

/// `{"metadata":{"a":"b"}}` means what `metadata.a=b` means in a form; `consent` likewise.
fn flatten(mut object: Map<String, Value>, faults: &mut Vec<FieldFault>) -> Map<String, Value> {
    for group in ["metadata", "consent"] {
        match object.remove(group) {
            None | Some(Value::Null) => {}
            Some(Value::Object(members)) => {
                for (name, value) in members {
                    object.insert(format!("{group}.{name}"), value);
                }
            }
            Some(other) => {
                wiped::wipe(other);
                faults.push(FieldFault {
                    field_name: group.into(),
                    reason: "must be an object".into(),
                });
            }
        }
    }
    object
}
