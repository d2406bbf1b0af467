//! Webhooks of gateways: requests, messages and errors.

use chrono::{DateTime, Utc};
use data_encoding::Encoding;
use hmac::{Hmac, KeyInit, Mac};
use khata_domain::{Class, GatewayResponse};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::body::Body;

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
    pub(crate) fn header(&self, name: &'static str) -> Result<&'a str, WebhookError> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
            .ok_or(WebhookError::MissingHeader(name))
    }

    /// Verifies in constant time that this header holds the HMAC-SHA256 of the concatenated parts under one of these secrets.
    /// An empty secret never matches, because any sender could sign with it.
    pub(crate) fn verify(
        &self,
        header: &'static str,
        encoding: &Encoding,
        signed: &[&[u8]],
        secrets: &[Zeroizing<String>],
    ) -> Result<(), WebhookError> {
        let text = self.header(header)?;
        if secrets.is_empty() {
            return Err(WebhookError::NoSecret);
        }
        let tag = encoding.decode(text.trim().as_bytes());
        let tag = tag.map_err(|_| WebhookError::BadSignature)?;
        let matches = |secret: &Zeroizing<String>| {
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).is_ok_and(|mut mac| {
                for part in signed {
                    mac.update(part);
                }
                mac.verify_slice(&tag).is_ok()
            })
        };
        let mut secrets = secrets.iter().filter(|secret| !secret.is_empty());
        let genuine = secrets.any(matches);
        genuine.then_some(()).ok_or(WebhookError::BadSignature)
    }

    /// Parses the body, a JSON object.
    pub(crate) fn event(&self) -> Result<Body, WebhookError> {
        Body::parse(self.body).ok_or(WebhookError::Malformed("not a JSON event"))
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
    /// Fields of the webhook that could not be read, by the names that the connector reads; never their values.
    pub not_understood: Vec<String>,
}

/// Drops an outcome that the kind of its event contradicts: a worker looks it up. `says_valid`: what the kind says about the
/// account; `None`: nothing.
pub(crate) fn uncontradicted(
    body: &Body,
    event_field: &'static str,
    says_valid: Option<bool>,
    response: Option<GatewayResponse>,
) -> Option<GatewayResponse> {
    let is_contradicted = |response: &GatewayResponse| match says_valid {
        Some(true) => matches!(response.class, Class::Invalid | Class::Review),
        Some(false) => response.class == Class::Valid,
        None => false,
    };
    if response.as_ref().is_some_and(is_contradicted) {
        body.note(event_field);
        return None;
    }
    response
}

impl WebhookMessage {
    /// Returns the message of a body that has been read.
    pub(crate) fn new(
        body: &Body,
        attempt: AttemptName,
        response: Option<GatewayResponse>,
    ) -> Self {
        Self {
            attempt,
            response,
            not_understood: body.not_understood(),
        }
    }
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

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};

    use super::*;

    // RFC 4231, test case 2.
    const SECRET: &str = "Jefe";
    const DATA: &[u8] = b"what do ya want for nothing?";
    const TAG: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    fn verify(tag: &str, encoding: &Encoding, signed: &[&[u8]], secrets: &[&str]) -> bool {
        let webhook = WebhookRequest {
            headers: &[("Signature", tag)],
            body: b"",
            received_at: Utc::now(),
        };
        let secrets: Vec<_> = secrets
            .iter()
            .map(|secret| Zeroizing::new((*secret).to_owned()))
            .collect();
        webhook
            .verify("signature", encoding, signed, &secrets)
            .is_ok()
    }

    #[test]
    fn a_signature_matches_under_any_of_the_secrets_and_in_parts() {
        let hex = &HEXLOWER_PERMISSIVE;
        assert!(verify(TAG, hex, &[DATA], &[SECRET]));
        let parts = [&DATA[..5], &DATA[5..]];
        assert!(verify(TAG, hex, &parts, &["another", SECRET]));
        assert!(!verify(TAG, hex, &[DATA, b" "], &[SECRET]));
        assert!(!verify(TAG, hex, &[DATA], &["another"]));
        assert!(!verify(TAG, hex, &[DATA], &[]));
        assert!(verify(&TAG.to_uppercase(), hex, &[DATA], &[SECRET]));
        let base64 = BASE64.encode(&HEXLOWER.decode(TAG.as_bytes()).unwrap());
        assert!(verify(&base64, &BASE64, &[DATA], &[SECRET]));
    }

    #[test]
    fn an_empty_secret_never_matches() {
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        let tag = HEXLOWER.encode(&mac.chain_update(DATA).finalize().into_bytes());
        assert!(!verify(&tag, &HEXLOWER_PERMISSIVE, &[DATA], &[""]));
    }

    #[test]
    fn other_text_is_no_signature() {
        for text in [
            "",
            "5b",
            &TAG[1..],
            &TAG.replace('5', "g"),
            &TAG.replace('5', "+"),
            "आशा",
        ] {
            for encoding in [&HEXLOWER_PERMISSIVE, &BASE64] {
                assert!(!verify(text, encoding, &[DATA], &[SECRET]), "{text}");
            }
        }
    }
}
