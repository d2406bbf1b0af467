//! The error replies of every call with an API key, for the OpenAPI document.

use utoipa::IntoResponses;

use crate::error::Envelope;

/// Errors of calls that read.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "a schema")]
pub(crate) enum ReadErrors {
    /// A field is missing or invalid. `error_info.fields` lists every problem.
    #[response(status = 400)]
    Invalid(Envelope<'static>),
    /// The key is missing, malformed, unknown, expired or revoked.
    #[response(status = 401)]
    Unauthorized(Envelope<'static>),
    /// Not found, or belongs to another merchant.
    #[response(status = 404)]
    NotFound(Envelope<'static>),
    /// Too many requests with this key. See `Retry-After`.
    #[response(status = 429)]
    TooMany(Envelope<'static>),
    /// Internal error.
    #[response(status = 500)]
    Internal(Envelope<'static>),
    /// The database cannot be reached. Nothing was stored. See `Retry-After`.
    #[response(status = 503)]
    Unavailable(Envelope<'static>),
}

/// Errors of calls that change data.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "a schema")]
pub(crate) enum WriteErrors {
    /// Invalid field, missing field, unknown command, gateway not configured, or customer already exists. See
    /// `error_info.code`.
    #[response(status = 400)]
    Invalid(Envelope<'static>),
    /// The key is missing, malformed, unknown, expired or revoked.
    #[response(status = 401)]
    Unauthorized(Envelope<'static>),
    /// Not found, or belongs to another merchant.
    #[response(status = 404)]
    NotFound(Envelope<'static>),
    /// The request body did not arrive in time.
    #[response(status = 408)]
    BodyTimeout(Envelope<'static>),
    /// The first call with this `Idempotency-Key` is still running, or the account is deleted.
    #[response(status = 409)]
    Conflict(Envelope<'static>),
    /// The request body is larger than 256 KiB.
    #[response(status = 413)]
    BodyTooLarge(Envelope<'static>),
    /// The body is neither a form nor JSON.
    #[response(status = 415)]
    UnsupportedMediaType(Envelope<'static>),
    /// The `Idempotency-Key` was used for another call.
    #[response(status = 422)]
    KeyReused(Envelope<'static>),
    /// Too many requests with this key, or too many validations of an account. See `Retry-After`.
    #[response(status = 429)]
    TooMany(Envelope<'static>),
    /// Internal error.
    #[response(status = 500)]
    Internal(Envelope<'static>),
    /// The database cannot be reached. Nothing was stored. See `Retry-After`.
    #[response(status = 503)]
    Unavailable(Envelope<'static>),
}
