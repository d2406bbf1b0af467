//! What Cashfree says to a call it does not take: an HTTP status and `{type, code, message}`
//! (Cashfree, HTTP errors of the verification APIs).

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

/// A call that was not taken. Nothing was done for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    #[serde(rename = "type")]
    kind: &'static str,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
}

impl Refusal {
    /// 400: a field or header is missing or outside its limits.
    pub(super) fn input(
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "validation_error",
            code: code.into(),
            message: message.into(),
        }
    }

    /// 401: the client id and secret are not a pair that is known, or not there.
    pub(super) fn credentials() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            kind: "authentication_error",
            code: "authentication_failed".into(),
            message: "Invalid clientId and clientSecret combination".into(),
        }
    }

    /// 404: the id in this field was never given, or is forgotten.
    pub(super) fn unknown(field: &'static str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            kind: "not_found_error",
            code: format!("{field}_not_found").into(),
            message: format!("{field} does not exist.").into(),
        }
    }

    /// 409: a verification id is good for one verification.
    pub(super) fn verification_id_used() -> Self {
        Self {
            status: StatusCode::CONFLICT,
            kind: "validation_error",
            code: "verification_id_already_exists".into(),
            message: "verification ID already exists".into(),
        }
    }

    /// 403: the caller's address is not on the list.
    pub(super) fn ip() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            kind: "authentication_error",
            code: "ip_validation_failed".into(),
            message: "IP not whitelisted your current ip is 127.0.0.1".into(),
        }
    }

    /// 422: the balance is too small.
    pub(super) fn insufficient_balance() -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            kind: "validation_error",
            code: "insufficient_balance".into(),
            message: "Insufficient balance to process this request".into(),
        }
    }

    /// 422: an outcome that Cashfree tells as an error, its code in lower case.
    pub(super) fn bank_declined() -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            kind: "validation_error",
            code: "bene_bank_declined".into(),
            message: "Beneficiary bank declined the request".into(),
        }
    }

    /// 429: more calls than a minute may have.
    pub(super) fn too_many_calls() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            kind: "rate_limit_error",
            code: "too_many_requests".into(),
            message: "Too many requests from the IP. Check back in sometime".into(),
        }
    }

    /// 500: Cashfree's own fault, of which nothing follows about the account.
    pub(super) fn internal_error() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "internal_error",
            code: "internal_error".into(),
            message: "something went wrong, please try after some time".into(),
        }
    }

    /// 502: what Cashfree itself asks did not answer it.
    pub(super) fn bad_gateway() -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            kind: "internal_error",
            code: "verification_failed".into(),
            message: "verification attempt failed".into(),
        }
    }

    /// As it goes over the wire.
    pub(super) fn answer(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(self)
    }

    #[cfg(test)]
    pub(super) fn code(&self) -> &str {
        &self.code
    }
}
