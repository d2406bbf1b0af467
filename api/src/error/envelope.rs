//! The JSON of an error (contract, *Errors*).

use std::borrow::Cow;

use khata_domain::words;
use khata_present::named_schema;
use khata_present::schema::enum_of;
use serde::Serialize;
use utoipa::ToSchema;

use super::fault::FieldFault;
use crate::schema::Category;

words! {
    /// Stable code of an error.
    ErrorCode {
        InvalidInput = "INVALID_INPUT",
        InvalidAction = "INVALID_ACTION",
        GatewayNotFound = "GATEWAY_NOT_FOUND",
        AlreadyExists = "ALREADY_EXISTS",
        Unauthorized = "UNAUTHORIZED",
        CrossSite = "CROSS_SITE",
        InsufficientScope = "INSUFFICIENT_SCOPE",
        ResourceNotFound = "RESOURCE_NOT_FOUND",
        MethodNotAllowed = "METHOD_NOT_ALLOWED",
        RequestTimeout = "REQUEST_TIMEOUT",
        DuplicateRequest = "DUPLICATE_REQUEST",
        EventNotKept = "EVENT_NOT_KEPT",
        PayloadTooLarge = "PAYLOAD_TOO_LARGE",
        UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE",
        IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
        TooManyRequests = "TOO_MANY_REQUESTS",
        RepliesNotTaken = "REPLIES_NOT_TAKEN",
        IdempotencyStorageFull = "IDEMPOTENCY_STORAGE_FULL",
        TooManyValidations = "TOO_MANY_VALIDATIONS",
        BudgetExhausted = "BUDGET_EXHAUSTED",
        ServerError = "SERVER_ERROR",
    }
}

named_schema! {
    pub(crate) ErrorCodeWord = enum_of("Stable code for programs.", ErrorCode::ALL.iter().map(|one| one.as_str()));
}

/// Form of every error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Envelope<'a> {
    pub(super) status: &'a str,
    pub(super) error_code: &'a str,
    /// Of invalid input the first field error, and how many more there are.
    pub(super) error_message: Cow<'a, str>,
    pub(super) error_info: ErrorInfo<'a>,
}

/// The error in detail.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorInfo<'a> {
    #[schema(value_type = ErrorCodeWord)]
    pub(super) code: ErrorCode,
    #[schema(value_type = Category)]
    pub(super) category: &'a str,
    pub(super) user_message: &'a str,
    pub(super) developer_message: Cow<'a, str>,
    /// Quote this id when you report a problem with the call.
    pub(super) request_id: &'a str,
    /// The section of the guide about the error, relative to the URL of the API; `null` where the API does not serve the guide.
    #[schema(required)]
    pub(super) doc_url: Option<&'a str>,
    /// The invalid fields of the call, the first 100.
    pub(super) fields: Vec<FieldFault>,
}
