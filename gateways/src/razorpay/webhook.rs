//! Razorpay's webhooks: `fund_account.validation.completed` and `.failed`, signed with HMAC-SHA256 over the raw body,
//! hexadecimal in `X-Razorpay-Signature` (Razorpay, *Validate and test webhooks*). Events may arrive out of order, and a
//! retry of an old event carries a signature under the old secret. No timestamp is signed, so age proves nothing.

use khata_domain::GatewayResponse;
use khata_domain::validation::FailureCode;
use zeroize::Zeroizing;

use super::codes;
use super::response::response;
use super::wire::{Event, Validation, ValidationEvent};
use crate::signature::Signature;
use crate::webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};

const SIGNATURE: &str = "x-razorpay-signature";
const EVENTS: &str = "fund_account.validation.";

/// Verifies a webhook with these secrets and reads it.
pub(super) fn read(
    secrets: &[Zeroizing<String>],
    webhook: &WebhookRequest<'_>,
) -> Result<Option<WebhookMessage>, WebhookError> {
    if secrets.is_empty() {
        return Err(WebhookError::NoSecret);
    }
    let signature = webhook.required_header(SIGNATURE)?;
    let secrets = secrets.iter().map(|secret| secret.as_str());
    if !Signature::from_hex(signature).is_some_and(|tag| tag.matches(&[webhook.body], secrets)) {
        return Err(WebhookError::BadSignature);
    }
    let event: Event = serde_json::from_slice(webhook.body)
        .map_err(|_| WebhookError::Malformed("not a JSON event"))?;
    if !event.event.starts_with(EVENTS) {
        return Ok(None);
    }
    let event: ValidationEvent = serde_json::from_slice(webhook.body)
        .map_err(|_| WebhookError::Malformed("invalid payload"))?;
    let validation = event.payload.validation.entity;
    // All calls of Khata's have a reference: a validation without one was made elsewhere, at the dashboard for example.
    let Some(reference) = validation.reference_id.clone().filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(WebhookMessage {
        attempt: AttemptName::Reference(reference),
        response: outcome(validation),
    }))
}

/// Returns the outcome, if the webhook alone decides it. Only the call knows whether an earlier attempt has asked about the
/// same address.
fn outcome(validation: Validation) -> Option<GatewayResponse> {
    let details = validation.status_details.as_ref();
    let reason = details.and_then(|details| details.reason.as_deref());
    if reason.is_some_and(codes::depends_on_attempt) {
        return None;
    }
    let account = validation.fund_account.as_ref();
    let default = match account.and_then(|account| account.account_type.as_deref()) {
        Some("vpa") => FailureCode::InvalidVpa,
        _ => FailureCode::InvalidAccount,
    };
    response(validation, default, false).ok()
}
