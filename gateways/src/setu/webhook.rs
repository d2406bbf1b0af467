//! Setu's webhooks. Those about bank accounts carry no code and no documented signature: each is only a hint to look up the
//! outcome, which does no harm from any sender. UMAP signs its webhooks, and they hold the outcome.

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64;
use khata_domain::Class;
use zeroize::Zeroizing;

use super::response::{id, vpa_response};
use crate::body::Body;
use crate::webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest, uncontradicted};

const SIGNATURE: &str = "x-setu-signature";
const BANK_EVENT: &str = "BAV_WEBHOOK_NOTIFICATION";
const VPA_EVENTS: &str = "customer_vpa.";
/// Maximum age. Setu sends an event again until it gets status 200; for how long is not documented.
const MAX_AGE: TimeDelta = TimeDelta::hours(24);
/// Maximum time by which Setu's clock may be ahead of ours.
const MAX_LEAD: TimeDelta = TimeDelta::minutes(5);

/// Verifies a webhook with these secrets and reads it. `merchant_id` is ours at UMAP, if there is one.
pub(super) fn read(
    webhook: &WebhookRequest<'_>,
    merchant_id: Option<&str>,
    secrets: &[Zeroizing<String>],
) -> Result<Option<WebhookMessage>, WebhookError> {
    let event = webhook.event();
    if let Ok(event) = &event
        && event.fields().word("event").as_str() == BANK_EVENT
    {
        return hint(event).map(Some);
    }
    webhook.verify(SIGNATURE, &BASE64, &[webhook.body], secrets)?;
    let event = event?;
    let fields = event.fields();
    let event_type = fields.word("eventType");
    let is_ours = merchant_id.is_some_and(|id| fields.scalar("merchantId").as_str() == id);
    // Payments, mandates, other merchants of the same aggregator.
    if !event_type.as_str().starts_with(VPA_EVENTS) || !is_ours {
        return Ok(None);
    }
    let signed_at = time(fields.word("eventTs").as_str());
    let signed_at = signed_at.ok_or(WebhookError::Malformed("invalid eventTs"))?;
    let age = webhook.received_at - signed_at;
    if age > MAX_AGE || age < -MAX_LEAD {
        return Err(WebhookError::Stale);
    }
    outcome(&event).map(Some)
}

/// Reads an event that only reports that an outcome exists. The event holds the outcome too, but without its code and
/// unsigned: only the id is read.
fn hint(event: &Body) -> Result<WebhookMessage, WebhookError> {
    let bav = event.fields().object("data").object("bav");
    let id = id(&bav, "id").ok_or(WebhookError::Malformed("invalid id"))?;
    let attempt = AttemptName::GatewayReference(id);
    Ok(WebhookMessage::new(event, attempt, None))
}

fn outcome(event: &Body) -> Result<WebhookMessage, WebhookError> {
    let fields = event.fields();
    let attempt = id(&fields, "merchantReferenceId")
        .map(AttemptName::Reference)
        .or_else(|| id(&fields, "id").map(AttemptName::GatewayReference))
        .ok_or(WebhookError::Malformed("invalid id"))?;
    // A pending or unlisted status is no outcome: a worker looks it up.
    let response = vpa_response(event).ok();
    let response =
        response.filter(|response| !response.unlisted && response.class != Class::Pending);
    let says_valid = match fields.word("eventType").as_str().strip_prefix(VPA_EVENTS) {
        Some("valid") => Some(true),
        Some("invalid" | "failed" | "pending") => Some(false),
        _ => None,
    };
    let response = uncontradicted(event, "eventType", says_valid, response);
    Ok(WebhookMessage::new(event, attempt, response))
}

/// Parses a time; Setu writes zones with and without a colon.
fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .ok()
        .map(|time| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_colon_in_the_zone() {
        let utc = "2023-09-04T06:38:20Z".parse::<DateTime<Utc>>().unwrap();
        for text in [
            "2023-09-04T12:08:20+0530",
            "2023-09-04T12:08:20+05:30",
            "2023-09-04T12:08:20.000+0530",
            "2023-09-04T06:38:20Z",
        ] {
            assert_eq!(time(text), Some(utc), "{text}");
        }
        assert_eq!(time(""), None);
        assert_eq!(time("yesterday"), None);
    }
}
