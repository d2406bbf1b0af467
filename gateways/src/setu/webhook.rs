//! Setu's call-backs. Those about bank accounts carry no code and no signature that is documented: they are taken for a
//! hint to ask, which does no harm from whomever it comes. UMAP's are signed and tell the outcome.

use chrono::{DateTime, TimeDelta, Utc};
use khata_domain::Class;

use super::sound_id;
use super::umap::vpa_answer;
use super::wire::{Notification, VpaResponse};
use crate::signature::Claimed;
use crate::webhook::{AttemptName, WebhookError, WebhookMessage, WebhookRequest};

const SIGNATURE: &str = "x-setu-signature";
const BANK_EVENT: &str = "BAV_WEBHOOK_NOTIFICATION";
const VPA_EVENTS: &str = "customer_vpa.";
/// Setu sends again what was not answered with 200; for how long is not documented.
const MAX_AGE: TimeDelta = TimeDelta::hours(24);
/// How far its clock may be ahead of ours.
const MAX_LEAD: TimeDelta = TimeDelta::minutes(5);

/// Reads a call-back; `merchant_id` is ours at UMAP, where there is one.
pub(super) fn read<'a>(
    webhook: &WebhookRequest<'_>,
    merchant_id: Option<&str>,
    secrets: impl ExactSizeIterator<Item = &'a str>,
) -> Result<Option<WebhookMessage>, WebhookError> {
    let told = serde_json::from_slice::<Notification>(webhook.body);
    if let Ok(told) = &told
        && told.event == BANK_EVENT
    {
        return hint(told).map(Some);
    }
    let signature = webhook
        .header(SIGNATURE)
        .ok_or(WebhookError::Unsigned(SIGNATURE))?;
    if secrets.len() == 0 {
        return Err(WebhookError::NoSecret);
    }
    let genuine =
        Claimed::base64(signature).is_some_and(|claimed| claimed.is_of(&[webhook.body], secrets));
    if !genuine {
        return Err(WebhookError::Forged);
    }
    let told = told.map_err(|_| WebhookError::Malformed("no JSON of an event"))?;
    // Payments, mandates, other merchants of the same aggregator.
    if !told.event_type.starts_with(VPA_EVENTS) || merchant_id != Some(told.merchant_id.as_str()) {
        return Ok(None);
    }
    let signed_at = time(&told.event_ts).ok_or(WebhookError::Malformed("no eventTs"))?;
    let age = webhook.received_at - signed_at;
    if age > MAX_AGE || age < -MAX_LEAD {
        return Err(WebhookError::Stale);
    }
    outcome(told).map(Some)
}

/// "Something is known about this id."
fn hint(told: &Notification) -> Result<WebhookMessage, WebhookError> {
    let id = told.data.as_ref().and_then(|data| data.bav.id.as_deref());
    let id = id
        .filter(|id| sound_id(id))
        .ok_or(WebhookError::Malformed("no id"))?;
    Ok(WebhookMessage {
        about: AttemptName::GatewayReference(id.to_owned()),
        answer: None,
    })
}

fn outcome(told: Notification) -> Result<WebhookMessage, WebhookError> {
    let ours = told.merchant_reference_id.filter(|id| sound_id(id));
    let theirs = told.id.clone().filter(|id| sound_id(id));
    let about = ours
        .map(AttemptName::Reference)
        .or_else(|| theirs.map(AttemptName::GatewayReference))
        .ok_or(WebhookError::Malformed("no id"))?;
    let response = VpaResponse {
        id: told.id,
        status: told.status,
        customer_name: told.customer_name,
    };
    // A word that says nothing final, or that nobody has heard of, is no outcome: it is asked for.
    let answer = vpa_answer(response).ok();
    let answer = answer.filter(|answer| !answer.unlisted && answer.class != Class::Pending);
    Ok(WebhookMessage { about, answer })
}

/// Setu writes zones with and without a colon.
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
    fn times_are_read_as_setu_writes_them() {
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
