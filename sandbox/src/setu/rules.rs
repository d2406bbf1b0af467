//! Setu's field rules and refusals. The data gateway refuses with `{error: {code, detail, traceId}}`,
//! UMAP with `{code, detail, docUrl}` and a `requestId` header.
//!
//! Of the data gateway's refusals only the two 500s are documented for bank verification; 400 and 404 are
//! documented for its sister, the reverse penny drop; the others follow their form. Of UMAP's, 400, 403,
//! 404 and 500 are documented; 401 (of the login) and 429 are not.

use serde_json::json;

use crate::refusal::{Refusal, RefusalRow, refusals};
use crate::rules::Check::{Is, Length, Matches, Present, Text};
use crate::rules::{NO_REFUSAL, Rule, alphanumeric, rules, vpa};
use crate::setu::ids;

refusals! {
    BAD_REQUEST = 400, "bad_request", "Please refer to our docs to send an appropriate request";
    MISSING = 400, "bad_request", "{} is missing";
    INVALID = 400, "bad_request", "{} is missing or invalid";
    CREDENTIALS = 401, "unauthorized",
        "Missing or invalid x-client-id, x-client-secret or x-product-instance-id.";
    INSUFFICIENT_BALANCE = 402, "insufficient_balance",
        "Insufficient balance to process this request.";
    IP = 403, "forbidden", "IP address is not whitelisted.";
    UNKNOWN = 404, "request_not_found", "Unable to find the BAV request.";
    TOO_MANY_CALLS = 429, "too_many_requests", "Too many requests. Please try again later.";
    INTERNAL = 500, "internal_server_error",
        "Internal Server Error, Please reach out to support along with the traceId.";
    /// The bank's fault, when this verification was tried.
    UPSTREAM = 500, "upstream_service_error",
        "Upstream service error. Please reach out to support along with the traceId.";
    UMAP_BAD_REQUEST = 400, "bad-request", "the body is no JSON of this request";
    UMAP_INVALID = 400, "bad-request", "{} is missing or invalid";
    UMAP_REFERENCE = 400, "bad-request", "referenceId is invalid";
    UMAP_CLIENT = 400, "bad-request", "client must be bridge";
    UMAP_GRANT_TYPE = 400, "bad-request", "grant_type must be client_credentials";
    UMAP_UNAUTHORIZED = 401, "unauthorized", "unauthorized";
    /// The token or the merchant is missing or wrong, or the caller's address is not on the list.
    UMAP_FORBIDDEN = 403, "forbidden", "forbidden";
    UMAP_NOT_FOUND = 404, "not-found", "not-found";
    UMAP_TOO_MANY_CALLS = 429, "too-many-requests", "too-many-requests";
    UMAP_INTERNAL = 500, "internal-server-error", "internal-server-error";
}

/// Makes a refusal of the data gateway.
pub(super) fn refusal((status, code, detail): RefusalRow<'_>) -> Refusal {
    let error = json!({"code": code, "detail": detail, "traceId": ids::trace_id()});
    Refusal::new(status, json!({"error": error}))
}

/// Makes a refusal of UMAP.
pub(super) fn umap_refusal((status, code, detail): RefusalRow<'_>) -> Refusal {
    Refusal {
        status,
        header: Some(("requestId", ids::ulid())),
        body: json!({"code": code, "detail": detail, "docUrl": ""}),
    }
}

rules! {
    /// A field of the async call only.
    NARRATION {
        "narration": Present => MISSING;
    }
    /// No other limits are documented, and a published IFSC (DCBA6543210) is none by the usual rule.
    BANK {
        "ifsc": Present => INVALID;
        "ifsc": Matches(is_ifsc) => INVALID;
        "accountNumber": Present => INVALID;
        "accountNumber": Matches(alphanumeric) => INVALID;
    }
    /// Setu publishes the pattern of a VPA; that no part may be empty is the sandbox's own rule. The guide
    /// names the caller's reference `merchantReferenceId`, the OpenAPI document `referenceId`.
    VPA {
        "customerVpa": Present => UMAP_INVALID;
        "customerVpa": Matches(is_vpa) => UMAP_INVALID;
        "merchantReferenceId": Length(1, 255) => UMAP_REFERENCE;
        "referenceId": Length(1, 255) => UMAP_REFERENCE;
    }
    /// The header of the login.
    CLIENT {
        "client": Is("bridge") => UMAP_CLIENT;
    }
    LOGIN {
        "grant_type": Is("client_credentials") => UMAP_GRANT_TYPE;
        "clientID": Text => NO_REFUSAL;
        "secret": Text => NO_REFUSAL;
    }
}

fn is_ifsc(text: &str) -> bool {
    text.len() == 11 && alphanumeric(text)
}

fn is_vpa(text: &str) -> bool {
    vpa(text, b".-", b".-")
}
