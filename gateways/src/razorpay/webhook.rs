//! Razorpay's call-backs: `fund_account.validation.completed` and `.failed`, signed with HMAC-SHA256 over the raw body,
//! hexadecimal in `X-Razorpay-Signature` (Razorpay, *Validate and test webhooks*). They may come out of order, and a
//! retry of an old event carries the signature of the old secret: no timestamp is signed, so that age proves nothing.

use khata_domain::GatewayResponse;
use khata_domain::validation::FailureCode;
use zeroize::Zeroizing;

use super::codes;
use super::response::answer;
use super::wire::{Event, Validation, ValidationEvent};
use crate::signature::Claimed;
use crate::webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};

const SIGNATURE: &str = "x-razorpay-signature";
const EVENTS: &str = "fund_account.validation.";

/// Reads one that is signed with any of these secrets.
pub(super) fn read(
    secrets: &[Zeroizing<String>],
    webhook: &WebhookRequest<'_>,
) -> Result<Option<WebhookMessage>, WebhookError> {
    if secrets.is_empty() {
        return Err(WebhookError::NoSecret);
    }
    let signature = webhook
        .header(SIGNATURE)
        .ok_or(WebhookError::Unsigned(SIGNATURE))?;
    let secrets = secrets.iter().map(|secret| secret.as_str());
    if !Claimed::hex(signature).is_some_and(|claimed| claimed.is_of(&[webhook.body], secrets)) {
        return Err(WebhookError::Forged);
    }
    let event: Event = serde_json::from_slice(webhook.body)
        .map_err(|_| WebhookError::Malformed("it is no event"))?;
    if !event.event.starts_with(EVENTS) {
        return Ok(None);
    }
    let event: ValidationEvent =
        serde_json::from_slice(webhook.body).map_err(|_| WebhookError::Malformed("its payload"))?;
    let validation = event.payload.validation.entity;
    // All of ours have a reference: what has none was made elsewhere, at the dashboard for example.
    let Some(ours) = validation.reference_id.clone().filter(|id| !id.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(WebhookMessage {
        about: AttemptName::Reference(ours),
        answer: outcome(validation),
    }))
}

/// The outcome, where the call-back alone tells it: whether an address was asked about before stands only in the call.
fn outcome(validation: Validation) -> Option<GatewayResponse> {
    let details = validation.status_details.as_ref();
    let reason = details.and_then(|details| details.reason.as_deref());
    if reason.is_some_and(codes::depends_on_attempt) {
        return None;
    }
    let account_type = validation
        .fund_account
        .as_ref()
        .and_then(|account| account.account_type.as_deref());
    let unknown = if account_type == Some("vpa") {
        FailureCode::InvalidVpa
    } else {
        FailureCode::InvalidAccount
    };
    answer(validation, unknown, false).ok()
}
