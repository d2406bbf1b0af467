//! An endpoint's reply to a webhook.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::call_error::CallError;

/// Length of the part of a reply that is kept, in bytes of the reply.
pub const EXCERPT_LENGTH: usize = 1_024;

/// An endpoint's reply to a webhook. The excerpt is the merchant's text, which may repeat personal data of the event:
/// `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointReply {
    pub status: u16,
    /// How long the endpoint asks us to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// The first 1,024 bytes of the reply as text, without loss: a backslash is `\\`, and every byte that is not text is
    /// `\xNN`, so that the excerpt fits into a text column and controls no terminal.
    pub excerpt: String,
}

impl EndpointReply {
    pub(crate) fn new(
        status: u16,
        retry_after: Option<&str>,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            status,
            retry_after: retry_after.and_then(|text| parse_retry_after(text, now)),
            excerpt: lossless_text(&body[..body.len().min(EXCERPT_LENGTH)]),
        }
    }

    /// Returns why this reply delivers nothing; `None` for a status from 200 to 299.
    pub fn failure(&self) -> Option<CallError> {
        (!self.is_success()).then_some(CallError::Status(self.status))
    }

    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for EndpointReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointReply")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}

/// Parses a `Retry-After` header (RFC 9110, section 10.2.3): seconds, or a date of the form that RFC 9110 prescribes for
/// senders. A time in the past is `None`, and so is any other text.
fn parse_retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    (date.to_utc() - now).to_std().ok()
}

/// Escapes backslashes, control characters other than line breaks and tabs, characters that change the direction of a line, and
/// bytes that are not UTF-8.
fn lossless_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let escape = |text: &mut String, bytes: &[u8]| {
        let escaped = bytes.iter().copied().flat_map(std::ascii::escape_default);
        text.extend(escaped.map(char::from));
    };
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' | '\t' => text.push(character),
                _ if character == '\\' || character.is_control() || is_direction(character) => {
                    escape(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => text.push(character),
            }
        }
        escape(&mut text, chunk.invalid());
    }
    text
}

/// Whether a character separates lines, or changes the direction of what follows.
fn is_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = DateTime::parse_from_rfc3339("2026-11-29T10:00:00Z").unwrap();
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("Sun, 29 Nov 2026 10:02:00 GMT", Some(120)),
            ("Sun, 29 Nov 2026 10:00:00 GMT", Some(0)),
            ("Sun, 29 Nov 2026 09:59:59 GMT", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("99999999999999999999999", Some(u64::MAX)),
            ("+1", None),
            // A form that RFC 9110 prescribes for recipients, and that no sender may use any more.
            ("Sunday, 29-Nov-26 10:02:00 GMT", None),
        ] {
            let parsed = parse_retry_after(text, now.to_utc());
            assert_eq!(parsed, expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn the_excerpt_keeps_every_byte_as_text() {
        for (body, text) in [
            (&b"ok"[..], "ok"),
            (b"{\"name\": \"\xe0\xa4\x86\"}", "{\"name\": \"\u{906}\"}"),
            (b"one\n\ttwo", "one\n\ttwo"),
            (b"a\\b", r"a\\b"),
            (b"\0\x1b[2J\r\x7f", r"\x00\x1b[2J\r\x7f"),
            (b"\xc2\x85", r"\xc2\x85"),
            // A right-to-left override.
            (b"a\xe2\x80\xaeb", r"a\xe2\x80\xaeb"),
            (b"\xff\xfe-\xe0\xa4", r"\xff\xfe-\xe0\xa4"),
        ] {
            assert_eq!(lossless_text(body), text);
        }
    }

    #[test]
    fn a_reply_keeps_1024_bytes_and_debug_hides_them() {
        let reply = EndpointReply::new(500, None, &[b'x'; 2_000], Utc::now());
        assert_eq!(reply.excerpt, "x".repeat(1_024));
        assert!(!format!("{reply:?}").contains("xx"));
    }

    #[test]
    fn only_a_2xx_status_is_a_delivery() {
        for (status, is_success) in [
            (101, false),
            (199, false),
            (200, true),
            (204, true),
            (299, true),
            (300, false),
            (302, false),
            (404, false),
            (500, false),
        ] {
            let reply = EndpointReply::new(status, None, b"", Utc::now());
            let failure = (!is_success).then_some(CallError::Status(status));
            assert_eq!(reply.failure(), failure);
        }
    }
}
