//! Successful replies: 200 with JSON.

use actix_web::HttpResponse;
use actix_web::http::header::{ContentType, HeaderName, HeaderValue};
use serde::Serialize;

use crate::error::ApiError;

/// Marks the reply of an earlier call with the same `Idempotency-Key`.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Serializes a reply.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "reply is not JSON");
        ApiError::Internal
    })
}

/// 200 with this value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<HttpResponse, ApiError> {
    Ok(ok(to_json(value)?))
}

/// 200 with this JSON.
pub(crate) fn ok(body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(body)
}

/// 200 with the reply of an earlier call.
pub(crate) fn replayed(body: Vec<u8>) -> HttpResponse {
    let mut response = ok(body);
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
