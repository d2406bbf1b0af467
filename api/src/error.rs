//! Errors of the merchant API and their JSON form (contract, *Errors*). The client's text is here; details for operators are
//! logged where the error occurs. No reply shows SQL, a path, a stack trace or a secret.

mod envelope;
mod fault;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use chrono::TimeDelta;
use khata_domain::mutants::{self, Mutant};
use khata_present::PresentError;
use khata_store::accounts::Limited;
use khata_store::group_commit::BatchError;
use khata_store::keys::KeyScope;

use self::envelope::ErrorInfo;
pub(crate) use self::envelope::{Envelope, ErrorCode};
pub(crate) use self::fault::{FaultCode, Faults, FieldFault};
use self::fault::{MAX_FAULTS, summary};

/// Why a call failed.
#[derive(Clone, Debug)]
pub(crate) enum ApiError {
    Invalid(Vec<FieldFault>),
    /// A sentence with the valid commands.
    InvalidCommand(&'static str),
    GatewayNotFound,
    /// A reason that says nothing about a key.
    Unauthorized(&'static str),
    InvalidSignature,
    NotFound(&'static str),
    /// A sentence with the call that was probably meant.
    NoSuchCall(String),
    IfscNotListed {
        /// Names the probable cause, if one is known.
        hint: Option<String>,
    },
    MethodNotAllowed {
        /// Value of the `Allow` header.
        allowed: &'static str,
    },
    BodyTimeout,
    BodyTooLarge,
    /// A sentence with the unsupported part, and with what to send.
    UnsupportedMediaType(String),
    CrossSite,
    /// The scope that the call needs.
    InsufficientScope(KeyScope),
    CustomerExists,
    AccountDeleted,
    EndpointDisabled,
    /// `after` names an event that does not exist, or not any more.
    EventNotKept,
    IdempotencyKeyReused,
    IdempotencyInProgress,
    IdempotencyStorageFull,
    TooManyRequests {
        /// Seconds.
        retry_after: u64,
    },
    TooManyValidations {
        /// The account, as the merchant wrote it; `None` if the call names only one.
        field_name: Option<String>,
        /// Seconds.
        retry_after: u64,
    },
    BudgetExhausted {
        /// Seconds.
        retry_after: u64,
    },
    /// Too many requests of the merchant are in progress, wait for the database or for each other's locks, or use too much
    /// memory.
    TooMuchInProgress,
    /// The call was carried out, but too much memory is used by replies that the merchant's clients have not taken.
    RepliesNotTaken,
    /// The database is not available, and nothing was stored.
    Unavailable,
    /// The database became unavailable when the call may have been stored already.
    Unknown,
    Internal,
}

/// The reason for a key that is malformed, unknown, expired or revoked, which says nothing about it (contract).
pub(crate) const INVALID_KEY: &str = "Invalid API Key. Please pass a valid and active api key.";
pub(crate) const NO_ACCOUNT: ApiError = ApiError::NotFound("No such account.");
pub(crate) const NO_CUSTOMER: ApiError = ApiError::NotFound("No such customer.");
pub(crate) const NO_ENDPOINT: ApiError = ApiError::NotFound("No such webhook endpoint.");
pub(crate) const NO_EVENT: ApiError = ApiError::NotFound("No such event.");

/// The parts of a reply that an error has by its kind.
struct Row<'a> {
    http: u16,
    status: &'static str,
    error_code: &'static str,
    code: ErrorCode,
    category: &'static str,
    user_message: &'static str,
    developer_message: Cow<'a, str>,
}

/// Matches an error to the parts of its reply: HTTP status, `status`, `error_code`, `code`, category, user's and developer's
/// message.
macro_rules! rows {
    ($error:expr; $($pattern:pat $(if $guard:expr)? => $http:literal, $status:literal, $error_code:literal, $code:ident, $category:literal, $user_message:expr, $developer_message:expr;)+) => {
        match $error {
            $($pattern $(if $guard)? => Row {
                http: $http,
                status: $status,
                error_code: $error_code,
                code: ErrorCode::$code,
                category: $category,
                user_message: $user_message,
                developer_message: Cow::from($developer_message),
            },)+
        }
    };
}

impl ApiError {
    /// An error about one field.
    pub(crate) fn field(field_name: &str, code: FaultCode, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldFault::new(field_name, code, reason)])
    }

    /// A limit of the merchant rejects the call. `name_of` returns the name of an account in the call; `None` if it is the only one.
    pub(crate) fn limited(limited: Limited, name_of: impl FnOnce(usize) -> Option<String>) -> Self {
        match limited {
            Limited::Validations { account, wait } => Self::TooManyValidations {
                field_name: name_of(account),
                retry_after: seconds(wait),
            },
            Limited::PennyDrops { wait } => Self::BudgetExhausted {
                retry_after: seconds(wait),
            },
        }
    }

    fn row(&self) -> Row<'_> {
        rows! { self;
            Self::Invalid(faults) if faults.len() > MAX_FAULTS => 400, "Bad Request", "invalid_request_error", InvalidInput, "USER_ERROR",
                "Invalid input.", "More than 100 fields are missing or have a bad value; error_info.fields lists the first 100.";
            Self::Invalid(_) => 400, "Bad Request", "invalid_request_error", InvalidInput, "USER_ERROR",
                "Invalid input.", "One or more fields are missing or have a bad value; see error_info.fields.";
            Self::InvalidCommand(expected) => 400, "Invalid Request", "bad_request", InvalidAction, "USER_ERROR",
                "Invalid command", *expected;
            Self::GatewayNotFound => 400, "Bad Request", "invalid_request_error", GatewayNotFound, "CONFIG_ERROR",
                "Gateway not found.", "gateway_id, or gateway_reference_id at that gateway, is unknown or not configured for this merchant.";
            Self::Unauthorized(reason) => 401, "error", "access_denied", Unauthorized, "USER_ERROR",
                "Unauthorized.", *reason;
            Self::InvalidSignature => 401, "error", "access_denied", Unauthorized, "USER_ERROR",
                "Invalid signature.", "The webhook has no valid signature. Check the webhook secret.";
            Self::CrossSite => 403, "error", "access_denied", CrossSite, "USER_ERROR",
                "Forbidden.", "A page of another site made a browser send this request. Call Khata from your backend.";
            Self::InsufficientScope(needed) => 403, "error", "access_denied", InsufficientScope, "USER_ERROR",
                "This API key may not do this.", needs(*needed);
            Self::NotFound(message) => 404, "invalid_request_error", "object_not_found", ResourceNotFound, "USER_ERROR",
                *message, *message;
            Self::NoSuchCall(message) => 404, "invalid_request_error", "object_not_found", ResourceNotFound, "USER_ERROR",
                "No such endpoint.", message;
            Self::IfscNotListed { .. } => 404, "invalid_request_error", "object_not_found", ResourceNotFound, "USER_ERROR",
                "This IFSC is not listed.", "The published list does not have this IFSC. The list lags behind the banks, so the IFSC may be valid; error_info.fields says what to check.";
            Self::MethodNotAllowed { allowed } => 405, "error", "method_not_allowed", MethodNotAllowed, "USER_ERROR",
                "Method not allowed.", format!("This endpoint supports {allowed}. Khata has no PUT, PATCH and DELETE: calls create, change and delete by POST.");
            Self::BodyTimeout => 408, "error", "request_timeout", RequestTimeout, "USER_ERROR",
                "Request timed out.", "The request body did not arrive within 15 seconds.";
            Self::BodyTooLarge => 413, "error", "payload_too_large", PayloadTooLarge, "USER_ERROR",
                "Request too large.", "The request body is larger than 256 KiB, or a gateway's webhook larger than 64 KiB.";
            Self::UnsupportedMediaType(reason) => 415, "error", "unsupported_media_type", UnsupportedMediaType, "USER_ERROR",
                "Unsupported media type.", reason;
            Self::CustomerExists => 400, "invalid_request_error", "unique", AlreadyExists, "USER_ERROR",
                "Already exists.", "Customer account with given object reference already exists.";
            Self::AccountDeleted => 409, "error", "conflict", InvalidAction, "USER_ERROR",
                "The account is deleted.", "The account is deleted. Create it again to validate it.";
            Self::EndpointDisabled => 409, "error", "conflict", InvalidAction, "USER_ERROR",
                "The webhook endpoint is disabled.", "The webhook endpoint is disabled. Enable it to test it.";
            Self::EventNotKept => 410, "error", "gone", EventNotKept, "USER_ERROR",
                "The event is not kept any more.",
                "Khata does not have the event that `after` names: it is older than your events are kept, or never was. Call without `after` to begin with the oldest event, and get the accounts whose events you may have missed.";
            Self::IdempotencyKeyReused => 422, "error", "idempotency_key_reused", IdempotencyKeyReused, "USER_ERROR",
                "The idempotency key was used for another call.",
                "idempotency_key_reused: this Idempotency-Key was used for a call with another path or body. Use a new key for each call.";
            Self::IdempotencyInProgress => 409, "error", "conflict", DuplicateRequest, "USER_ERROR",
                "The same call is still running.",
                "idempotency_in_progress: the first call with this Idempotency-Key is still running. Retry after Retry-After seconds.";
            Self::TooManyRequests { .. } => 429, "error", "too_many_requests", TooManyRequests, "USER_ERROR",
                "Too many requests.", "This API key exceeded its request limit. See Retry-After and the RateLimit headers.";
            Self::IdempotencyStorageFull => 429, "error", "too_many_requests", IdempotencyStorageFull, "USER_ERROR",
                "Too many calls with an Idempotency-Key.",
                "The replies of your calls with an Idempotency-Key in the last 24 hours take as much storage as they may. Call without the header, or later. Nothing was stored.";
            Self::TooManyValidations { .. } => 429, "error", "too_many_requests", TooManyValidations, "USER_ERROR",
                "This account was validated too often.",
                "This account, in all its spellings, reached your limit of validations in 24 hours. See Retry-After. Nothing was stored.";
            Self::BudgetExhausted { .. } => 429, "error", "too_many_requests", BudgetExhausted, "USER_ERROR",
                "The daily budget of penny drops is used up.",
                "This call would exceed your budget of penny drops for today. See Retry-After. Nothing was stored.";
            Self::TooMuchInProgress => 429, "error", "too_many_requests", TooManyRequests, "USER_ERROR",
                "Too many requests in progress.",
                "Too many of your requests are in progress at once. Send fewer at once, and repeat this one. Nothing was stored.";
            Self::RepliesNotTaken => 429, "error", "too_many_requests", RepliesNotTaken, "USER_ERROR",
                "Too many replies are not taken.",
                "The call was carried out, but its reply has no room, because you do not take the replies of other calls. Take them, then repeat the call; if it changes something, with the same Idempotency-Key.";
            Self::Unavailable => 503, "error", "service_unavailable", ServerError, "API_ERROR",
                "Service unavailable.", "The service cannot reach its database. Nothing was stored. Retry the call.";
            Self::Unknown => 503, "error", "service_unavailable", ServerError, "API_ERROR",
                "Service unavailable.", "The service lost its database. The call may have been stored. Repeat it with the same Idempotency-Key.";
            Self::Internal => 500, "error", "server_error", ServerError, "API_ERROR",
                "Internal error.", "An internal error occurred. Quote the request id when you report it.";
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid(faults) => faults[..faults.len().min(MAX_FAULTS)].to_vec(),
            Self::TooManyValidations {
                field_name: Some(name),
                ..
            } => vec![FieldFault::new(
                name,
                FaultCode::Limit,
                "was validated too often in 24 hours",
            )],
            Self::IfscNotListed { hint: Some(hint) } => {
                vec![FieldFault::new("ifsc", FaultCode::NotFound, hint)]
            }
            _ => Vec::new(),
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        Some(match self {
            Self::Unauthorized(_) => (
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"khata\", charset=\"UTF-8\""),
            ),
            Self::MethodNotAllowed { allowed } => {
                (header::ALLOW, HeaderValue::from_static(allowed))
            }
            Self::Unavailable
            | Self::Unknown
            | Self::TooMuchInProgress
            | Self::RepliesNotTaken
            | Self::IdempotencyInProgress => (header::RETRY_AFTER, HeaderValue::from_static("1")),
            // An hour's replies expire together.
            Self::IdempotencyStorageFull => (header::RETRY_AFTER, HeaderValue::from_static("3600")),
            Self::TooManyRequests { retry_after }
            | Self::TooManyValidations { retry_after, .. }
            | Self::BudgetExhausted { retry_after } => {
                (header::RETRY_AFTER, HeaderValue::from(*retry_after))
            }
            _ => return None,
        })
    }

    /// The whole reply. `has_guide`: whether the API serves the guide.
    pub(crate) fn render(&self, request_id: &str, has_guide: bool) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(header) = self.header() {
            response.insert_header(header);
        }
        response.json(self.envelope(request_id, has_guide))
    }

    /// The JSON of the reply.
    pub(crate) fn envelope<'a>(&'a self, request_id: &'a str, has_guide: bool) -> Envelope<'a> {
        let row = self.row();
        Envelope {
            status: row.status,
            error_code: row.error_code,
            error_message: match self {
                Self::Invalid(faults) => summary(faults).into(),
                _ => row.user_message.into(),
            },
            error_info: ErrorInfo {
                code: row.code,
                category: row.category,
                user_message: row.user_message,
                developer_message: row.developer_message,
                request_id,
                doc_url: has_guide.then(|| section(row.code)),
                fields: self.fields(),
            },
        }
    }
}

/// Returns the section of the guide about errors with this code.
pub(crate) fn section(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidInput => "/docs/api#codes-of-field-errors",
        ErrorCode::GatewayNotFound => "/docs/api#create-accounts",
        ErrorCode::AlreadyExists => "/docs/api#customers",
        ErrorCode::Unauthorized | ErrorCode::InsufficientScope => "/docs/api#conventions",
        ErrorCode::ResourceNotFound | ErrorCode::MethodNotAllowed => "/docs/api#the-merchant-api",
        ErrorCode::EventNotKept => "/docs/api#events",
        ErrorCode::UnsupportedMediaType => "/docs/api#encodings-by-language",
        ErrorCode::DuplicateRequest | ErrorCode::IdempotencyKeyReused => {
            "/docs/api#idempotency-key"
        }
        ErrorCode::PayloadTooLarge
        | ErrorCode::RequestTimeout
        | ErrorCode::TooManyRequests
        | ErrorCode::RepliesNotTaken
        | ErrorCode::IdempotencyStorageFull
        | ErrorCode::TooManyValidations
        | ErrorCode::BudgetExhausted => "/docs/api#limits",
        ErrorCode::InvalidAction | ErrorCode::CrossSite | ErrorCode::ServerError => {
            "/docs/api#errors"
        }
    }
}

/// Returns the sentence for a key whose scope is too small.
fn needs(scope: KeyScope) -> &'static str {
    match scope {
        KeyScope::Read => "This call needs an API key.",
        KeyScope::Create => {
            "This call needs an API key with scope CREATE or ADMIN. Ask the operator for one."
        }
        KeyScope::Admin => {
            "This call deletes or changes webhook endpoints, and needs an API key with scope ADMIN. Ask the operator for one."
        }
    }
}

/// Returns the seconds after which this wait is over, at least one.
fn seconds(wait: TimeDelta) -> u64 {
    u64::try_from(wait.num_seconds() + 1).unwrap_or(1).max(1)
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row().code.fmt(f)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.row().http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Attaches the error to the response; `observe` knows the request id and renders the reply.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl From<Vec<FieldFault>> for ApiError {
    fn from(faults: Vec<FieldFault>) -> Self {
        Self::Invalid(faults)
    }
}

impl From<diesel::result::Error> for ApiError {
    fn from(error: diesel::result::Error) -> Self {
        tracing::warn!(%error, "query failed");
        Self::Unavailable
    }
}

impl From<PresentError> for ApiError {
    fn from(_: PresentError) -> Self {
        Self::Internal
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        match error {
            // The connection may have broken during COMMIT, or COMMIT takes longer than the caller waits.
            BatchError::Unavailable if mutants::is_on(Mutant::FalseRejection) => Self::Unavailable,
            BatchError::Unavailable => Self::Unknown,
            // Only this merchant has too many calls open, so it is no failure of the service.
            BatchError::QueueFull => Self::TooMuchInProgress,
            BatchError::Rejected(error) => {
                tracing::error!(%error, "database rejected a checked request");
                Self::Internal
            }
        }
    }
}
