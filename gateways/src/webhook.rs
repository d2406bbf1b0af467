//! Webhooks of gateways: requests, messages and errors.

use chrono::{DateTime, Utc};
use khata_domain::GatewayResponse;

/// A gateway webhook as received.
#[derive(Clone, Copy)]
pub struct WebhookRequest<'a> {
    /// Names in any case; headers that are not text are left out.
    pub headers: &'a [(&'a str, &'a str)],
    /// Raw body, which the gateway has signed.
    pub body: &'a [u8],
    pub received_at: DateTime<Utc>,
}

impl<'a> WebhookRequest<'a> {
    /// Returns the header of this name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Returns the header of this name; fails if the header is missing.
    pub(crate) fn required_header(&self, name: &'static str) -> Result<&'a str, WebhookError> {
        self.header(name).ok_or(WebhookError::MissingHeader(name))
    }
}

/// Names an attempt, as a webhook does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptName {
    /// By our reference.
    Reference(String),
    /// By the gateway's own id.
    GatewayReference(String),
}

/// Contents of a genuine webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookMessage {
    /// The attempt that the webhook concerns.
    pub attempt: AttemptName,
    /// The outcome; `None` if the webhook only reports that there is one, so that a worker has to look it up.
    pub response: Option<GatewayResponse>,
}

/// Reports a webhook that is rejected. The text is for operators and repeats nothing of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    #[error("webhooks are not supported by this gateway")]
    NotSupported,
    #[error("the gateway account's credentials hold no webhook secret")]
    NoSecret,
    #[error("header {0} is missing")]
    MissingHeader(&'static str),
    #[error("bad signature: no secret of this gateway account matches")]
    BadSignature,
    #[error("the signed time is too old or in the future")]
    Stale,
    #[error("malformed payload: {0}")]
    Malformed(&'static str),
}
