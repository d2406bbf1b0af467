//! Razorpay's webhooks: `fund_account.validation.completed` and `.failed`, signed with HMAC-SHA256 over the raw body,
//! hexadecimal in `X-Razorpay-Signature` (Razorpay, *Validate and test webhooks*). Events may arrive out of order, and a
//! retry of an old event carries a signature under the old secret. No timestamp is signed, so age proves nothing.

use data_encoding::HEXLOWER_PERMISSIVE;
use khata_domain::validation::FailureCode;
use khata_domain::{Class, GatewayResponse};
use zeroize::Zeroizing;

use super::codes;
use super::response::{reason, response};
use crate::body::{Body, Fields};
use crate::webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};

const SIGNATURE: &str = "x-razorpay-signature";
const EVENTS: &str = "fund_account.validation.";
/// Statuses for which an event is named.
const ENDS: [&str; 2] = ["completed", "failed"];

/// Verifies a webhook with these secrets and reads it.
pub(super) fn read(
    secrets: &[Zeroizing<String>],
    webhook: &WebhookRequest<'_>,
) -> Result<Option<WebhookMessage>, WebhookError> {
    webhook.verify(SIGNATURE, &HEXLOWER_PERMISSIVE, &[webhook.body], secrets)?;
    let event = webhook.event()?;
    let fields = event.fields();
    let event_type = fields.word("event");
    let Some(kind) = event_type.as_str().strip_prefix(EVENTS) else {
        return Ok(None);
    };
    let payload = fields.object("payload");
    let validation = payload.object("fund_account.validation").object("entity");
    if validation.is_absent() {
        return Err(WebhookError::Malformed("invalid payload"));
    }
    // All calls of Khata's have a reference: a validation without one was made elsewhere, at the dashboard for example.
    let Some(reference) = validation.id("reference_id") else {
        return Ok(None);
    };
    let status = validation.word("status");
    let is_other = |end: &str| end != kind && status.as_str().eq_ignore_ascii_case(end);
    let response = if ENDS.contains(&kind) && ENDS.into_iter().any(is_other) {
        event.note("event");
        None
    } else {
        outcome(&event, &validation)
    };
    let attempt = AttemptName::Reference(reference);
    Ok(Some(WebhookMessage::new(&event, attempt, response)))
}

/// Returns the outcome, if the webhook alone decides it. Only the call knows whether an earlier attempt has asked about the
/// same address.
fn outcome(event: &Body, validation: &Fields<'_>) -> Option<GatewayResponse> {
    if codes::depends_on_attempt(reason(validation).as_str()) {
        return None;
    }
    let account_type = validation.object("fund_account").word("account_type");
    let default = match account_type.as_str() {
        "vpa" => Some(FailureCode::InvalidVpa),
        "bank_account" => Some(FailureCode::InvalidAccount),
        _ => None,
    };
    let failure = default.unwrap_or(FailureCode::InvalidAccount);
    let response = response(event, validation, failure, false).ok();
    // Without the kind of the account, a worker that knows it looks up why the account is invalid.
    response
        .filter(GatewayResponse::is_listed_or_final)
        .filter(|response| response.class != Class::Invalid || default.is_some())
}
