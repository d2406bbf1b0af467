//! What Razorpay says to a call it does not take: an HTTP status and `{"error": {…}}` (Razorpay, about
//! errors; RazorpayX, error codes).

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

/// A call that was not taken. Nothing was done for it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    error: Problem,
}

#[derive(Debug, Clone, Serialize)]
struct Problem {
    code: &'static str,
    description: Cow<'static, str>,
    source: &'static str,
    /// Always null: no step of a payment is at fault.
    step: (),
    reason: &'static str,
    metadata: Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
}

/// Always empty: no payment is at fault.
#[derive(Debug, Clone, Serialize)]
struct Metadata {}

impl Refusal {
    fn new(
        status: StatusCode,
        code: &'static str,
        reason: &'static str,
        description: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            error: Problem {
                code,
                description: description.into(),
                source: if status.is_server_error() {
                    "internal"
                } else {
                    "business"
                },
                step: (),
                reason,
                metadata: Metadata {},
                field: None,
            },
        }
    }

    fn bad_request(reason: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "BAD_REQUEST_ERROR",
            reason,
            description,
        )
    }

    /// 400: a field or header is missing or outside its limits.
    pub(super) fn input(field: &'static str, description: impl Into<Cow<'static, str>>) -> Self {
        let mut refusal = Self::bad_request("input_validation_failed", description);
        refusal.error.field = Some(field);
        refusal
    }

    /// 400: the body is no JSON, or of other types.
    pub(super) fn malformed() -> Self {
        Self::bad_request(
            "input_validation_failed",
            "The request body is not in the expected format",
        )
    }

    /// 400: the idempotency key was used for another request.
    pub(super) fn other_body() -> Self {
        Self::input(
            "X-Payout-Idempotency",
            "Different request body sent with the same idempotency key",
        )
    }

    /// 400: there is nothing with this id.
    pub(super) fn unknown_id() -> Self {
        Self::bad_request("input_validation_failed", "The id provided does not exist")
    }

    /// 400: the balance is too small.
    pub(super) fn insufficient_funds() -> Self {
        Self::bad_request(
            "insufficient_funds",
            "Your account does not have enough balance to carry out this operation",
        )
    }

    /// 400 of RazorpayX: the caller's address is not on the list (RazorpayX, API error reasons).
    pub(super) fn ip() -> Self {
        Self::bad_request(
            "NA",
            "Transactions from this IP are not allowed. Contact support for help.",
        )
    }

    /// 400 of the payment gateway, for the same reason (Razorpay, common errors).
    pub(super) fn access() -> Self {
        Self::bad_request("NA", "Access Denied")
    }

    /// 401: the key id and secret are not a pair that is known, or not there.
    pub(super) fn credentials() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "BAD_REQUEST_ERROR",
            "authentication_failed",
            "Authentication failed",
        )
    }

    /// 404: the path is none, or the feature behind it is off for this account.
    pub(super) fn no_such_url() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "BAD_REQUEST_ERROR",
            "url_not_found",
            "The requested URL was not found on the server",
        )
    }

    /// 429: more calls than a minute may have.
    pub(super) fn too_many_calls() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "BAD_REQUEST_ERROR",
            "too_many_requests",
            "Request failed. Please try after sometime",
        )
    }

    /// 500: Razorpay's own fault, of which nothing follows about the account.
    pub(super) fn server_error() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "SERVER_ERROR",
            "server_error",
            "We are facing some trouble completing your request at the moment. Please try again shortly",
        )
    }

    /// 502: what Razorpay itself asks did not answer it.
    pub(super) fn gateway_error() -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            "GATEWAY_ERROR",
            "gateway_technical_error",
            "The gateway request timed out",
        )
    }

    /// As it goes over the wire.
    pub(super) fn answer(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(self)
    }

    #[cfg(test)]
    pub(super) fn field(&self) -> Option<&str> {
        self.error.field
    }
}
