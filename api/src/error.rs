//! What can go wrong for a merchant, and the one envelope it is told in (contract, *Errors*). What the client is told
//! is here; what ops need is logged where it happens. No answer shows an SQL, a path, a stack or a secret.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use khata_store::group_commit::BatchError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi;

/// A field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldFault {
    /// As the merchant wrote it: `bank_account_details[1].ifsc`.
    pub(crate) field_name: String,
    pub(crate) reason: String,
}

/// Why a call was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("invalid input")]
    Invalid(Vec<FieldFault>),
    #[error("invalid command")]
    InvalidCommand {
        /// What may stand there.
        known: &'static str,
    },
    #[error("no such gateway")]
    GatewayNotFound,
    #[error("unauthorized")]
    Unauthorized,
    #[error("a call-back without a good signature")]
    NotSigned,
    #[error("not found")]
    NotFound(&'static str),
    #[error("method not allowed")]
    MethodNotAllowed(&'static str),
    #[error("request body not received in time")]
    BodyTimeout,
    #[error("body too large")]
    BodyTooLarge,
    #[error("unsupported media type")]
    UnsupportedMediaType,
    #[error("the merchant has a customer of this reference")]
    CustomerExists,
    #[error("the account is deleted")]
    AccountDeleted,
    #[error("the idempotency key was used for another call")]
    IdempotencyKeyReused,
    #[error("the first call with this idempotency key is running")]
    IdempotencyInProgress,
    #[error("too many requests")]
    TooManyRequests {
        /// Seconds.
        retry_after: u64,
    },
    #[error("too many validations of an account")]
    TooManyValidations {
        /// The account, as the merchant wrote it; `None` where the call is about one.
        field_name: Option<String>,
        /// Seconds.
        retry_after: u64,
    },
    #[error("unavailable")]
    Unavailable,
    #[error("internal")]
    Internal,
}

impl ApiError {
    /// One faulty field.
    pub(crate) fn field(field_name: &str, reason: &str) -> Self {
        Self::Invalid(vec![FieldFault {
            field_name: field_name.to_owned(),
            reason: reason.to_owned(),
        }])
    }

    fn told(&self) -> Told {
        let told = |http, status, error_code, code, category, message| Told {
            http,
            status,
            error_code,
            code,
            category,
            user_message: message,
            developer_message: message,
        };
        match self {
            Self::Invalid(_) => Told {
                developer_message: "One or more fields are missing or have a bad value; see error_info.fields.",
                ..told(
                    400,
                    "Bad Request",
                    "invalid_request_error",
                    "INVALID_INPUT",
                    "USER_ERROR",
                    "Invalid input.",
                )
            },
            Self::InvalidCommand { known } => Told {
                developer_message: known,
                ..told(
                    400,
                    "Invalid Request",
                    "bad_request",
                    "INVALID_ACTION",
                    "USER_ERROR",
                    "Invalid command",
                )
            },
            Self::GatewayNotFound => Told {
                developer_message: "gateway_id, or gateway_reference_id at that gateway, is unknown or not set up for this merchant.",
                ..told(
                    400,
                    "Bad Request",
                    "invalid_request_error",
                    "GATEWAY_NOT_FOUND",
                    "CONFIG_ERROR",
                    "Gateway not found.",
                )
            },
            Self::Unauthorized => Told {
                developer_message: "Invalid API Key. Please pass a valid and active api key.",
                ..told(
                    401,
                    "error",
                    "access_denied",
                    "UNAUTHORIZED",
                    "USER_ERROR",
                    "Unauthorized.",
                )
            },
            Self::NotSigned => told(
                401,
                "error",
                "access_denied",
                "UNAUTHORIZED",
                "USER_ERROR",
                "The signature is not good.",
            ),
            Self::NotFound(what) => told(
                404,
                "invalid_request_error",
                "object_not_found",
                "RESOURCE_NOT_FOUND",
                "USER_ERROR",
                what,
            ),
            Self::MethodNotAllowed(_) => told(
                405,
                "error",
                "method_not_allowed",
                "METHOD_NOT_ALLOWED",
                "USER_ERROR",
                "This method is not allowed here; see the Allow header.",
            ),
            Self::BodyTimeout => told(
                408,
                "error",
                "request_timeout",
                "REQUEST_TIMEOUT",
                "USER_ERROR",
                "The body did not arrive in time.",
            ),
            Self::BodyTooLarge => told(
                413,
                "error",
                "payload_too_large",
                "PAYLOAD_TOO_LARGE",
                "USER_ERROR",
                "The body is larger than 256 KiB.",
            ),
            Self::UnsupportedMediaType => told(
                415,
                "error",
                "unsupported_media_type",
                "UNSUPPORTED_MEDIA_TYPE",
                "USER_ERROR",
                "Send application/x-www-form-urlencoded or application/json, in UTF-8.",
            ),
            Self::CustomerExists => Told {
                developer_message: "Customer account with given object reference already exists.",
                ..told(
                    400,
                    "invalid_request_error",
                    "unique",
                    "ALREADY_EXISTS",
                    "USER_ERROR",
                    "Already exists.",
                )
            },
            Self::AccountDeleted => told(
                409,
                "error",
                "conflict",
                "INVALID_ACTION",
                "USER_ERROR",
                "The account is deleted; store it again to validate it.",
            ),
            Self::IdempotencyKeyReused => Told {
                developer_message: "idempotency_key_reused: this Idempotency-Key was used for a call with another path or body. Use a new key for each call.",
                ..told(
                    422,
                    "error",
                    "idempotency_key_reused",
                    "IDEMPOTENCY_KEY_REUSED",
                    "USER_ERROR",
                    "The idempotency key was used for another call.",
                )
            },
            Self::IdempotencyInProgress => Told {
                developer_message: "idempotency_in_progress: the first call with this Idempotency-Key has not been answered yet. Send it again a little later.",
                ..told(
                    409,
                    "error",
                    "conflict",
                    "DUPLICATE_REQUEST",
                    "USER_ERROR",
                    "The same call is still running.",
                )
            },
            Self::TooManyRequests { .. } => Told {
                developer_message: "This API key made more requests than its merchant may; see Retry-After and the RateLimit headers.",
                ..told(
                    429,
                    "error",
                    "too_many_requests",
                    "TOO_MANY_REQUESTS",
                    "USER_ERROR",
                    "Too many requests.",
                )
            },
            Self::TooManyValidations { .. } => Told {
                developer_message: "These account details were validated as often in 24 hours as your settings allow; see Retry-After. Nothing was stored.",
                ..told(
                    429,
                    "error",
                    "too_many_requests",
                    "TOO_MANY_VALIDATIONS",
                    "USER_ERROR",
                    "This account was validated too often.",
                )
            },
            Self::Unavailable => Told {
                developer_message: "The service cannot reach its database; nothing was stored. Try again.",
                ..told(
                    503,
                    "error",
                    "service_unavailable",
                    "SERVER_ERROR",
                    "API_ERROR",
                    "Service unavailable.",
                )
            },
            Self::Internal => Told {
                developer_message: "Something failed on our side; name the request id when you ask about it.",
                ..told(
                    500,
                    "error",
                    "server_error",
                    "SERVER_ERROR",
                    "API_ERROR",
                    "Internal error.",
                )
            },
        }
    }

    /// The whole answer.
    pub(crate) fn render(&self, request_id: &str) -> HttpResponse {
        let told = self.told();
        let fields = match self {
            Self::Invalid(faults) => faults.clone(),
            Self::TooManyValidations {
                field_name: Some(name),
                ..
            } => vec![FieldFault {
                field_name: name.clone(),
                reason: "was validated too often in 24 hours".to_owned(),
            }],
            _ => Vec::new(),
        };
        let mut response = HttpResponse::build(self.status_code());
        for (name, value) in self.headers() {
            response.insert_header((name, value));
        }
        response.json(Envelope {
            status: told.status,
            error_code: told.error_code,
            error_message: told.user_message,
            error_info: ErrorInfo {
                code: told.code,
                category: told.category,
                user_message: told.user_message,
                developer_message: told.developer_message,
                request_id,
                fields: &fields,
            },
        })
    }

    fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => {
                vec![(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Basic realm=\"khata\", charset=\"UTF-8\""),
                )]
            }
            Self::MethodNotAllowed(allowed) => {
                vec![(header::ALLOW, HeaderValue::from_static(allowed))]
            }
            Self::Unavailable | Self::IdempotencyInProgress => {
                vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))]
            }
            Self::TooManyRequests { retry_after }
            | Self::TooManyValidations { retry_after, .. } => {
                vec![(header::RETRY_AFTER, HeaderValue::from(*retry_after))]
            }
            _ => Vec::new(),
        }
    }
}

struct Told {
    http: u16,
    status: &'static str,
    error_code: &'static str,
    code: &'static str,
    category: &'static str,
    user_message: &'static str,
    developer_message: &'static str,
}

/// Every error looks like this.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Envelope<'a> {
    #[schema(example = "Bad Request")]
    status: &'a str,
    #[schema(example = "invalid_request_error")]
    error_code: &'a str,
    #[schema(example = "Invalid input.")]
    error_message: &'a str,
    error_info: ErrorInfo<'a>,
}

/// The error in detail.
#[derive(Serialize, ToSchema)]
struct ErrorInfo<'a> {
    /// Stable: for code to decide by.
    #[schema(example = "INVALID_INPUT")]
    code: &'a str,
    #[schema(value_type = openapi::Category)]
    category: &'a str,
    user_message: &'a str,
    developer_message: &'a str,
    /// Name it when you ask about this call.
    request_id: &'a str,
    /// Every fault of the call.
    fields: &'a [FieldFault],
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.told().http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The error travels with the response to `observe`, which knows the request's id and renders it.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl From<diesel::result::Error> for ApiError {
    fn from(error: diesel::result::Error) -> Self {
        tracing::warn!(%error, "query failed");
        Self::Unavailable
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Unavailable => Self::Unavailable,
            BatchError::Rejected(error) => {
                tracing::error!(%error, "the database refused a checked request");
                Self::Internal
            }
        }
    }
}
