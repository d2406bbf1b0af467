//! What Setu answers when a call cannot be served: `{error: {code, detail, traceId}}` by the data
//! gateway, `{code, detail, docUrl}` and a `requestId` header by UMAP. Of the data gateway only the two
//! 500s are documented for bank verification; 400 and 404 are documented for its sister, the reverse
//! penny drop; the others follow their form.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

use crate::setu::ids;

/// A refusal by the data gateway.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    id: Option<String>,
    code: &'static str,
    detail: &'static str,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    error: Error<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Error<'a> {
    code: &'a str,
    detail: &'a str,
    trace_id: String,
}

impl Refusal {
    const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self {
            status,
            id: None,
            code,
            detail,
        }
    }

    /// 400: the body is not as the documentation has it.
    pub(super) const fn bad_request(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// 401: a header is missing or wrong.
    pub(super) const fn credentials() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Missing or invalid x-client-id, x-client-secret or x-product-instance-id.",
        )
    }

    /// 402: a penny drop costs more than is left.
    pub(super) const fn insufficient_balance() -> Self {
        Self::new(
            StatusCode::PAYMENT_REQUIRED,
            "insufficient_balance",
            "Insufficient balance to process this request.",
        )
    }

    /// 403: the caller's address is not on the list.
    pub(super) const fn ip() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "IP address is not whitelisted.",
        )
    }

    /// 429.
    pub(super) const fn too_many_calls() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "Too many requests. Please try again later.",
        )
    }

    /// 404: no verification has this id, or it is forgotten.
    pub(super) const fn unknown() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "request_not_found",
            "Unable to find the BAV request.",
        )
    }

    /// 500: Setu's own fault, of which nothing follows about the account.
    pub(super) const fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_server_error",
            "Internal Server Error, Please reach out to support along with the traceId.",
        )
    }

    /// 500: the bank's fault, when this verification was tried.
    pub(super) fn upstream(id: &str) -> Self {
        Self {
            id: Some(id.to_owned()),
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "upstream_service_error",
                "Upstream service error. Please reach out to support along with the traceId.",
            )
        }
    }

    /// As it goes over the wire.
    pub(super) fn answer(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(Body {
            id: self.id.as_deref(),
            error: Error {
                code: self.code,
                detail: self.detail,
                trace_id: ids::trace_id(),
            },
        })
    }
}

/// A refusal by UMAP. 400, 403, 404 and 500 are documented, 401 (said by the login) and 429 are not.
#[derive(Debug)]
pub(super) struct UmapRefusal {
    status: StatusCode,
    body: UmapBody,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UmapBody {
    code: &'static str,
    detail: &'static str,
    doc_url: &'static str,
}

impl UmapRefusal {
    const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self {
            status,
            body: UmapBody {
                code,
                detail,
                doc_url: "",
            },
        }
    }

    /// 400: the body is not as the documentation has it.
    pub(super) const fn bad_request(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// 401: the client is unknown.
    pub(super) const fn credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "unauthorized")
    }

    /// 403: the token or the merchant is missing or wrong, or the caller's address is not on the list.
    pub(super) const fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "forbidden")
    }

    /// 404: no verification has this id, or it is forgotten.
    pub(super) const fn unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "not-found")
    }

    /// 429.
    pub(super) const fn too_many_calls() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "too-many-requests",
        )
    }

    /// 500: Setu's own fault, of which nothing follows about the VPA.
    pub(super) const fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-server-error",
            "internal-server-error",
        )
    }

    /// As it goes over the wire.
    pub(super) fn answer(&self) -> HttpResponse {
        HttpResponse::build(self.status)
            .insert_header(("requestId", ids::ulid()))
            .json(&self.body)
    }
}
