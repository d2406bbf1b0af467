//! What Decentro answers when a call is refused: `api_status` FAILURE with a `response_key` and no data.
//! The keys are from Decentro's lists of response keys where one of its calls has the like; those marked
//! as ours, and in `limits` those of the account's own fields, are made alike. The HTTP statuses are not
//! documented.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;

use crate::decentro::ids;
use crate::decentro::wire::{Answer, ApiStatus};

/// One refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    response_key: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, response_key: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            response_key,
            message: message.into(),
        }
    }

    /// 400: a field is missing or outside its limits.
    pub(super) fn input(response_key: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, response_key, message)
    }

    /// 400: characters that are not allowed in a field.
    pub(super) fn unsanitized(field: &str) -> Self {
        Self::input(
            "error_unsanitized_values",
            format!(
                "Unsanitized values detected for key(s): {field}. Kindly sanitize the corresponding \
                 values by removing special characters and retry."
            ),
        )
    }

    /// 400: the body is no JSON, or a member has the wrong type.
    pub(super) fn malformed() -> Self {
        Self::input("error_malformed_request", "Malformed JSON request.")
    }

    /// 400: a `reference_id` is good for one call, refused or not.
    pub(super) fn duplicate_reference() -> Self {
        Self::input(
            "error_duplicate_reference_id",
            "Duplicate Request Reference ID.",
        )
    }

    /// 401: the client is unknown. The key is ours.
    pub(super) fn credentials() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "error_unauthorized",
            "Authentication failed. Invalid client_id or client_secret.",
        )
    }

    /// 400: what is asked for costs more than is left.
    pub(super) fn insufficient_credits() -> Self {
        Self::input(
            "error_insufficient_prepaid_credits",
            "Insufficient prepaid credits.",
        )
    }

    /// 429: this account was validated too often lately. The key is ours.
    pub(super) fn velocity() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "error_velocity_limit_exceeded",
            "Velocity limit exceeded: 3 a minute, 4 an hour, 5 a day.",
        )
    }

    /// 403: the caller's address is not on the list. The key is ours.
    pub(super) fn ip() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "error_ip_not_whitelisted",
            "IP address is not whitelisted.",
        )
    }

    /// 429: too many calls of any kind. The key is ours.
    pub(super) fn too_many_calls() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "error_too_many_requests",
            "Too many requests. Kindly retry after sometime.",
        )
    }

    /// 404: no validation has this id. The key is ours.
    pub(super) fn unknown() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "error_transaction_not_found",
            "Transaction not found.",
        )
    }

    /// 500: Decentro's own fault, of which nothing follows about the account.
    pub(super) fn decentro() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "error_decentro_error",
            "Internal Server Error. Kindly retry the transaction after sometime",
        )
    }

    /// 500: the fault of the bank or network Decentro asked.
    pub(super) fn provider() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "error_provider_error",
            "Unexpected response received from underlying provider.",
        )
    }

    /// As it goes over the wire.
    pub(super) fn answer(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(Answer {
            decentro_txn_id: ids::txn_id(),
            api_status: ApiStatus::Failure,
            response_key: self.response_key,
            message: self.message.clone(),
            data: None,
        })
    }

    #[cfg(test)]
    pub(super) fn response_key(&self) -> &'static str {
        self.response_key
    }
}
