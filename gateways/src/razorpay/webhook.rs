//! Razorpay's webhooks: `fund_account.validation.completed` and `.failed`, signed with HMAC-SHA256 over the raw body,
//! hexadecimal in `X-Razorpay-Signature` (Razorpay, *Validate and test webhooks*). Events may arrive out of order, and a
//! retry of an old event carries a signature under the old secret. No timestamp is signed, so age proves nothing.

use data_encoding::HEXLOWER_PERMISSIVE;
use khata_domain::GatewayResponse;
use khata_domain::validation::FailureCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::codes;
use super::response::{Validation, response};
use crate::webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};

const SIGNATURE: &str = "x-razorpay-signature";
const EVENTS: &str = "fund_account.validation.";

/// Verifies a webhook with these secrets and reads it.
pub(super) fn read(
    secrets: &[Zeroizing<String>],
    webhook: &WebhookRequest<'_>,
) -> Result<Option<WebhookMessage>, WebhookError> {
    webhook.verify(SIGNATURE, &HEXLOWER_PERMISSIVE, &[webhook.body], secrets)?;
    let event = webhook.event()?;
    let event_type = event["event"].as_str().unwrap_or_default();
    if !event_type.starts_with(EVENTS) {
        return Ok(None);
    }
    let entity = &event["payload"]["fund_account.validation"]["entity"];
    let validation =
        Validation::deserialize(entity).map_err(|_| WebhookError::Malformed("invalid payload"))?;
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
    let reason = validation.status_details["reason"].as_str();
    if reason.is_some_and(codes::depends_on_attempt) {
        return None;
    }
    let default = if validation.fund_account["account_type"] == "vpa" {
        FailureCode::InvalidVpa
    } else {
        FailureCode::InvalidAccount
    };
    response(validation, default, false).ok()
}
