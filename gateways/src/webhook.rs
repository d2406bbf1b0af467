//! What gateways call back with: believed only under their signature.

use chrono::{DateTime, Utc};
use khata_domain::GatewayResponse;

/// A call-back as it came.
#[derive(Clone, Copy)]
pub struct WebhookRequest<'a> {
    /// Names in any case, values as text; what is no text is left out.
    pub headers: &'a [(&'a str, &'a str)],
    /// Byte for byte: what is signed.
    pub body: &'a [u8],
    /// Now.
    pub received_at: DateTime<Utc>,
}

impl<'a> WebhookRequest<'a> {
    /// The header of this name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(one, _)| one.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

/// Which attempt a gateway speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptName {
    /// By our reference.
    Reference(String),
    /// By the gateway's own id.
    GatewayReference(String),
}

/// What a genuine call-back says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookMessage {
    /// Which attempt it is about.
    pub about: AttemptName,
    /// The outcome; `None` where it only says that there is one, which is then asked for.
    pub answer: Option<GatewayResponse>,
}

/// Why a call-back is not believed. The text is for ops; it repeats nothing of the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// This gateway has none.
    #[error("this gateway calls nobody back")]
    NotOffered,
    /// Nothing to check the signature with.
    #[error("the gateway account's credentials hold no webhook secret")]
    NoSecret,
    /// A header that it must have is not there.
    #[error("header {0} is missing")]
    Unsigned(&'static str),
    /// Not signed with any secret of this gateway account.
    #[error("the signature is not of this gateway account")]
    Forged,
    /// Signed too long ago, or in the future.
    #[error("it was signed too long ago")]
    Stale,
    /// Signed, and not to be understood.
    #[error("it is not to be understood: {0}")]
    Malformed(&'static str),
}
