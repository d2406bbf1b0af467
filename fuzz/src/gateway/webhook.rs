//! Signatures and timestamps of webhooks.

use chrono::{DateTime, TimeDelta, Utc};
use khata_domain::{Gateway, GatewayResponse};
use khata_gateways::{Connector, WebhookRequest};

use super::message::{Headers, Kind, Message};

/// Time between a gateway's clock and ours up to which a timestamp is accepted, with the duration of a run.
const TOLERANCE: TimeDelta = TimeDelta::minutes(6);

/// Returns a timestamp of now, in milliseconds.
pub(super) fn now() -> String {
    Utc::now().timestamp_millis().to_string()
}

/// Returns the number of parts of a message that [`check`] changes: the timestamp and each header of a webhook.
pub(super) fn parts(message: &Message) -> usize {
    match message.kind {
        Kind::Webhook(sign) => 1 + sign("", b"").len(),
        Kind::Token | Kind::Call | Kind::Lookup => 0,
    }
}

/// Checks that a webhook without a genuine signature has no outcome, and that an old one has none. `part`: 0 for the signed timestamp,
/// then each header. Bytes that are no text leave the header out, as the API does.
pub(super) fn check(
    (message, connector): (&Message, &dyn Connector),
    part: usize,
    body: &[u8],
    bytes: &[u8],
) {
    let Kind::Webhook(sign) = message.kind else {
        return;
    };
    let text = std::str::from_utf8(bytes).ok();
    let Some(part) = part.checked_sub(1) else {
        let timestamp = text.unwrap_or_default();
        let response = read(connector, &sign(timestamp, body), body);
        let may_be = message.gateway != Gateway::Cashfree || is_of_now(timestamp);
        assert!(response.is_none() || may_be, "{timestamp:?}: {response:?}");
        return;
    };
    let mut headers = sign(&now(), body);
    let Some(text) = text else {
        headers.remove(part);
        assert_eq!(read(connector, &headers, body), None);
        return;
    };
    // The case of hexadecimal digits makes no difference.
    let is_genuine = text.trim().eq_ignore_ascii_case(&headers[part].1);
    text.clone_into(&mut headers[part].1);
    let response = read(connector, &headers, body);
    assert!(response.is_none() || is_genuine, "{text:?}: {response:?}");
}

/// Whether a timestamp in seconds or milliseconds is one of now.
fn is_of_now(timestamp: &str) -> bool {
    let Ok(number) = timestamp.trim().parse::<i64>() else {
        return false;
    };
    let times = [
        DateTime::from_timestamp(number, 0),
        DateTime::from_timestamp_millis(number),
    ];
    let mut times = times.into_iter().flatten();
    times.any(|time| (Utc::now() - time).abs() < TOLERANCE)
}

/// Returns the outcome of a webhook; `None` if it is refused, or has none.
pub(super) fn read(
    connector: &dyn Connector,
    headers: &Headers,
    body: &[u8],
) -> Option<GatewayResponse> {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let webhook = WebhookRequest {
        headers: &headers,
        body,
        received_at: Utc::now(),
    };
    connector.webhook(&webhook).ok()??.response
}
