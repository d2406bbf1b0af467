//! Setu's field rules and refusals. The data gateway refuses with `{error: {code, detail, traceId}}`,
//! UMAP with `{code, detail, docUrl}` and a `requestId` header.
//!
//! Of the data gateway's refusals only the two 500s are documented for bank verification; 400 and 404 are
//! documented for its sister, the reverse penny drop; the others follow their form. Of UMAP's, 400, 403,
//! 404 and 500 are documented; 401 (of the login) and 429 are not.

use serde_json::json;

use crate::body::Shape;
use crate::profile::{Refusal, RefusalRow};
use crate::rules::Check::{Is, Length, Matches, Present};
use crate::rules::{Rule, alphanumeric, rule, vpa};
use crate::setu::ids;

pub(super) const BAD_REQUEST: RefusalRow<'static> = (
    400,
    "bad_request",
    "Please refer to our docs to send an appropriate request",
);
pub(super) const CREDENTIALS: RefusalRow<'static> = (
    401,
    "unauthorized",
    "Missing or invalid x-client-id, x-client-secret or x-product-instance-id.",
);
pub(super) const INSUFFICIENT_BALANCE: RefusalRow<'static> = (
    402,
    "insufficient_balance",
    "Insufficient balance to process this request.",
);
pub(super) const IP: RefusalRow<'static> = (403, "forbidden", "IP address is not whitelisted.");
pub(super) const UNKNOWN: RefusalRow<'static> =
    (404, "request_not_found", "Unable to find the BAV request.");
pub(super) const TOO_MANY_CALLS: RefusalRow<'static> = (
    429,
    "too_many_requests",
    "Too many requests. Please try again later.",
);
/// Setu's own fault, which says nothing of the account.
pub(super) const INTERNAL: RefusalRow<'static> = (
    500,
    "internal_server_error",
    "Internal Server Error, Please reach out to support along with the traceId.",
);
/// The bank's fault, when this verification was tried.
const UPSTREAM: RefusalRow<'static> = (
    500,
    "upstream_service_error",
    "Upstream service error. Please reach out to support along with the traceId.",
);

pub(super) const UMAP_BAD_REQUEST: RefusalRow<'static> =
    (400, "bad-request", "the body is no JSON of this request");
pub(super) const UMAP_UNAUTHORIZED: RefusalRow<'static> = (401, "unauthorized", "unauthorized");
/// The token or the merchant is missing or wrong, or the caller's address is not on the list.
pub(super) const UMAP_FORBIDDEN: RefusalRow<'static> = (403, "forbidden", "forbidden");
pub(super) const UMAP_NOT_FOUND: RefusalRow<'static> = (404, "not-found", "not-found");
pub(super) const UMAP_TOO_MANY_CALLS: RefusalRow<'static> =
    (429, "too-many-requests", "too-many-requests");
pub(super) const UMAP_INTERNAL: RefusalRow<'static> =
    (500, "internal-server-error", "internal-server-error");

/// Makes a refusal of the data gateway.
pub(super) fn refusal((status, code, detail): RefusalRow<'_>) -> Refusal {
    let error = json!({"code": code, "detail": detail, "traceId": ids::trace_id()});
    Refusal::new(status, json!({"error": error}))
}

/// Makes the 500 of a verification that failed at the bank.
pub(super) fn upstream_error(id: &str) -> Refusal {
    let mut refusal = refusal(UPSTREAM);
    refusal.body["id"] = id.into();
    refusal
}

/// Makes a refusal of UMAP.
pub(super) fn umap_refusal((status, code, detail): RefusalRow<'_>) -> Refusal {
    Refusal {
        status,
        header: Some(("requestId", ids::ulid())),
        body: json!({"code": code, "detail": detail, "docUrl": ""}),
    }
}

/// Makes the data gateway's refusal of a field that breaches a rule.
pub(super) fn rule_refusal(rule: &Rule) -> Refusal {
    refusal((400, BAD_REQUEST.1, &rule.message(rule.field)))
}

/// Makes UMAP's refusal of a field that breaches a rule.
pub(super) fn umap_rule_refusal(rule: &Rule) -> Refusal {
    umap_refusal((400, UMAP_BAD_REQUEST.1, &rule.message(rule.field)))
}

pub(super) const BANK_SHAPE: Shape = Shape {
    objects: &[],
    texts: &["ifsc", "accountNumber", "narration"],
    flags: &[],
};

pub(super) const VPA_SHAPE: Shape = Shape {
    objects: &[],
    texts: &["customerVpa", "merchantReferenceId", "referenceId"],
    flags: &[],
};

pub(super) const LOGIN_SHAPE: Shape = Shape {
    objects: &[],
    texts: &["clientID", "secret", "grant_type"],
    flags: &[],
};

const MISSING_OR_INVALID: &str = "{} is missing or invalid";

/// A field of the async call only.
pub(super) const NARRATION: &[Rule] = &[rule("narration", Present, "", "{} is missing")];

/// No other limits are documented, and a published IFSC (DCBA6543210) is none by the usual rule.
pub(super) const BANK: &[Rule] = &[
    rule("ifsc", Present, "", MISSING_OR_INVALID),
    rule("ifsc", Matches(is_ifsc), "", MISSING_OR_INVALID),
    rule("accountNumber", Present, "", MISSING_OR_INVALID),
    rule(
        "accountNumber",
        Matches(alphanumeric),
        "",
        MISSING_OR_INVALID,
    ),
];

/// Setu publishes the pattern of a VPA; that no part may be empty is the sandbox's own rule. The guide
/// names the caller's reference `merchantReferenceId`, the OpenAPI document `referenceId`.
pub(super) const VPA: &[Rule] = &[
    rule("customerVpa", Present, "", MISSING_OR_INVALID),
    rule("customerVpa", Matches(is_vpa), "", MISSING_OR_INVALID),
    rule(
        "merchantReferenceId",
        Length(1, 255),
        "",
        "referenceId is invalid",
    ),
    rule("referenceId", Length(1, 255), "", "referenceId is invalid"),
];

/// The header of the login.
pub(super) const CLIENT: &[Rule] = &[rule("client", Is("bridge"), "", "{} must be bridge")];

pub(super) const GRANT_TYPE: &[Rule] = &[rule(
    "grant_type",
    Is("client_credentials"),
    "",
    "{} must be client_credentials",
)];

fn is_ifsc(text: &str) -> bool {
    text.len() == 11 && alphanumeric(text)
}

fn is_vpa(text: &str) -> bool {
    vpa(text, b".-", b".-")
}
