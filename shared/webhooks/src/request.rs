//! The HTTP request of one attempt.

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use zeroize::Zeroizing;

use crate::signature::{OutgoingMessage, WebhookSecrets};

/// The event's id, the same in every attempt.
pub const ID_HEADER: &str = "webhook-id";
/// The Unix time in seconds at which the attempt began.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The signatures of [`WebhookSecrets::sign`].
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// The attempt's number; the first is 1.
pub const ATTEMPT_HEADER: &str = "khata-attempt";

/// Maximum length of user and password together, in bytes.
const MAX_CREDENTIALS_LENGTH: usize = 512;

/// User and password that Khata sends to an endpoint (RFC 7617). `Debug` hides them.
#[derive(Clone, Debug)]
pub struct BasicCredentials(HeaderValue);

/// A user or password that a request cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "user and password must be at most {MAX_CREDENTIALS_LENGTH} bytes together, without control characters, and the user must \
     hold no colon"
)]
pub struct CredentialsError;

impl BasicCredentials {
    /// Takes a user and a password, in UTF-8.
    pub fn new(user: &str, password: &str) -> Result<Self, CredentialsError> {
        let has_control = user.chars().chain(password.chars()).any(char::is_control);
        let is_too_long = user.len() + password.len() > MAX_CREDENTIALS_LENGTH;
        if has_control || is_too_long || user.contains(':') {
            return Err(CredentialsError);
        }
        let pair = Zeroizing::new(format!("{user}:{password}"));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).map_err(|_| CredentialsError)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

/// One attempt to deliver an event. The body that is sent is the body that is signed.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryRequest<'a> {
    pub message: &'a OutgoingMessage,
    /// The first attempt is 1.
    pub attempt: u32,
    pub secrets: &'a WebhookSecrets,
    pub credentials: Option<&'a BasicCredentials>,
}

impl DeliveryRequest<'_> {
    /// Returns the headers.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("Khata/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(BasicCredentials(value)) = self.credentials {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let mut insert = |name: &'static str, value: &dyn Display| {
            #[allow(clippy::expect_used)]
            let value = HeaderValue::try_from(value.to_string())
                .expect("ids, numbers and signatures are visible ASCII");
            headers.insert(HeaderName::from_static(name), value);
        };
        insert(ID_HEADER, &self.message.id());
        insert(TIMESTAMP_HEADER, &self.message.timestamp());
        insert(SIGNATURE_HEADER, &self.secrets.sign(self.message));
        insert(ATTEMPT_HEADER, &self.attempt);
        headers
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::DateTime;

    use super::*;
    use crate::signature::WebhookSecret;

    #[test]
    fn a_request_has_these_headers() {
        let sent_at = DateTime::from_timestamp(1_649_367_553, 0).unwrap();
        let body = Bytes::from_static(br#"{"email":"test@example.com","username":"test_user"}"#);
        let message =
            OutgoingMessage::new("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", sent_at, body).unwrap();
        let secret = WebhookSecret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let secrets = WebhookSecrets::new(secret, Vec::new());
        let credentials = BasicCredentials::new("Aladdin", "open sesame").unwrap();
        let mut request = DeliveryRequest {
            message: &message,
            attempt: 3,
            secrets: &secrets,
            credentials: Some(&credentials),
        };
        let shown = |request: &DeliveryRequest<'_>| {
            let headers = request.headers();
            let mut shown: Vec<String> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            shown.sort();
            shown
        };
        let version = concat!("user-agent: Khata/", env!("CARGO_PKG_VERSION"));
        let mut expected = vec![
            // The example of RFC 7617.
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "content-type: application/json",
            "khata-attempt: 3",
            version,
            "webhook-id: msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            "webhook-signature: v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            "webhook-timestamp: 1649367553",
        ];
        assert_eq!(shown(&request), expected);
        request.credentials = None;
        expected.remove(0);
        assert_eq!(shown(&request), expected);
    }

    #[test]
    fn credentials_are_hidden_and_keep_the_rules_of_basic_authentication() {
        let credentials = BasicCredentials::new("user", "pass:word").unwrap();
        assert_eq!(format!("{credentials:?}"), "BasicCredentials(Sensitive)");
        let long = "x".repeat(MAX_CREDENTIALS_LENGTH);
        assert!(BasicCredentials::new("", &long).is_ok());
        assert!(BasicCredentials::new("é", "पासवर्ड").is_ok());
        for (user, password) in [("us:er", ""), ("user", "a\r\nb"), ("u\0", ""), ("u", &long)] {
            assert_eq!(
                BasicCredentials::new(user, password).unwrap_err(),
                CredentialsError
            );
        }
    }
}
