//! Cashfree's webhooks about bank accounts: `BANK_ACCOUNT_VERIFICATION_SUCCESS`, `_REJECTED` and `_FAILED`, version v2.
//! Signed with HMAC-SHA256 over `x-webhook-timestamp` and the raw body, base64 in `x-webhook-signature` (Cashfree,
//! *Payloads and signatures*).

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64;
use khata_domain::GatewayResponse;
use zeroize::Zeroizing;

use super::response::bank_response;
use crate::webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest, uncontradicted};

const SIGNATURE: &str = "x-webhook-signature";
const TIMESTAMP: &str = "x-webhook-timestamp";
const EVENTS: &str = "BANK_ACCOUNT_VERIFICATION_";
/// Maximum distance of the timestamp from now (Cashfree recommends 5 minutes). A worker polls for an outcome whose webhook
/// comes later.
const TOLERANCE: TimeDelta = TimeDelta::minutes(5);
/// Timestamps come in milliseconds, in older samples in seconds; seconds reach this number in the year 5138.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;

/// Verifies a webhook with these secrets and reads it.
pub(super) fn read(
    secrets: &[Zeroizing<String>],
    webhook: &WebhookRequest<'_>,
) -> Result<Option<WebhookMessage>, WebhookError> {
    let timestamp = webhook.header(TIMESTAMP)?;
    let signed = [timestamp.as_bytes(), webhook.body];
    webhook.verify(SIGNATURE, &BASE64, &signed, secrets)?;
    let signed_at = instant(timestamp).ok_or(WebhookError::Malformed("invalid timestamp"))?;
    if (webhook.received_at - signed_at).abs() > TOLERANCE {
        return Err(WebhookError::Stale);
    }
    let event = webhook.event()?;
    let fields = event.fields();
    let event_type = fields.word("event_type");
    let Some(kind) = event_type.as_str().strip_prefix(EVENTS) else {
        return Ok(None);
    };
    let validation = fields.object("data");
    if validation.is_absent() {
        return Err(WebhookError::Malformed("invalid data"));
    }
    // Synchronous calls have no user id and no webhooks: an event without a user id is not about a call of Khata's.
    let Some(reference) = validation.id("user_id") else {
        return Ok(None);
    };
    // An event without a status that is in a table only reports that there is an outcome.
    let response = bank_response(&event, &validation).ok();
    let response = response.filter(GatewayResponse::is_listed_or_final);
    // A success is one of the verification, also of an invalid account; nothing failed where the account is valid.
    let says_valid = matches!(kind, "REJECTED" | "FAILED").then_some(false);
    let response = uncontradicted(&event, "event_type", says_valid, response);
    let attempt = AttemptName::Reference(reference);
    Ok(Some(WebhookMessage::new(&event, attempt, response)))
}

fn instant(timestamp: &str) -> Option<DateTime<Utc>> {
    let number: i64 = timestamp.trim().parse().ok()?;
    if number < FIRST_MILLISECONDS {
        DateTime::from_timestamp(number, 0)
    } else {
        DateTime::from_timestamp_millis(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_in_seconds_and_milliseconds() {
        let expected: DateTime<Utc> = "2025-05-05T06:49:19.733Z".parse().unwrap();
        assert_eq!(instant("1746427759733"), Some(expected));
        assert_eq!(
            instant("1746427759").map(|at| at.timestamp()),
            Some(expected.timestamp())
        );
        for text in ["", "now", "1746427759.7", "99999999999999999999"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
