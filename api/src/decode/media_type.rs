//! The media type of a body: form or JSON, in UTF-8, not compressed. What is refused says what to send instead.

use actix_web::http::header::{CONTENT_ENCODING, HeaderMap};

use crate::error::ApiError;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const MARK: &[u8] = b"\xef\xbb\xbf";
/// The byte-order mark in percent-encoding.
const ENCODED_MARK: &[u8] = b"%EF%BB%BF";

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Form,
    Json,
}

/// Refuses a compressed body. Programs in Java, Node and PHP name their charset here by mistake.
pub(crate) fn check_content_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    for value in headers.get_all(CONTENT_ENCODING) {
        let name = value.to_str().unwrap_or("?").trim();
        let plain = name.chars().filter(char::is_ascii_alphanumeric);
        let plain = plain.collect::<String>().to_ascii_lowercase();
        let charset = plain.strip_prefix("charset").unwrap_or(&plain);
        if !(name.is_empty() || ["identity", "utf8"].contains(&charset)) {
            return Err(unsupported(format!(
                "Content-Encoding {} is not supported: send the body uncompressed.",
                shown(name)
            )));
        }
    }
    Ok(())
}

/// Returns the encoding that the content type names, if the body may have it.
pub(super) fn check(content_type: &str, body: &[u8]) -> Result<Encoding, ApiError> {
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let media_type = media_type.trim();
    let encoding = if media_type.eq_ignore_ascii_case(FORM) {
        Encoding::Form
    } else if media_type.eq_ignore_ascii_case(JSON) {
        Encoding::Json
    } else {
        return Err(other_type(media_type, body));
    };
    if body.starts_with(b"\x1f\x8b") {
        let reason = "The body is compressed with gzip: send it uncompressed.";
        return Err(unsupported(reason.to_owned()));
    }
    if body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
        let reason = "The body is in UTF-16: send it in UTF-8.";
        return Err(unsupported(reason.to_owned()));
    }
    for parameter in parameters.split(';') {
        let Some((name, value)) = parameter.split_once('=') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("charset") {
            check_charset(value.trim().trim_matches(['"', '\'']), encoding, body)?;
        }
    }
    Ok(encoding)
}

/// The error for a body without a content type.
pub(super) fn missing(body: &[u8]) -> ApiError {
    other_type("", body)
}

fn other_type(media_type: &str, body: &[u8]) -> ApiError {
    let is_multipart = media_type
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/"));
    unsupported(if is_multipart {
        format!(
            "multipart/form-data is not supported: send {FORM} (in JavaScript URLSearchParams instead of FormData, in Python data= instead of files=, in PHP http_build_query instead of an array) or {JSON}."
        )
    } else if looks_like_json(body) {
        format!("The body looks like JSON: send Content-Type: {JSON}.")
    } else if media_type.is_empty() {
        format!("The request has no Content-Type: send {FORM} or {JSON}.")
    } else {
        let shown = shown(media_type);
        format!("Content-Type {shown} is not supported: send {FORM} or {JSON} in UTF-8.")
    })
}

/// Accepts UTF-8 in any spelling, and a charset that contains ASCII if the body has nothing else.
fn check_charset(charset: &str, encoding: Encoding, body: &[u8]) -> Result<(), ApiError> {
    const WITH_ASCII: [&str; 6] = [
        "iso8859",
        "latin",
        "usascii",
        "ascii",
        "windows125",
        "cp125",
    ];
    let mut plain = charset.to_ascii_lowercase();
    plain.retain(|c| c.is_ascii_alphanumeric());
    if matches!(
        plain.as_str(),
        "" | "utf8" | "utf8sig" | "utf8mb4" | "unicode11utf8"
    ) {
        return Ok(());
    }
    let shown = shown(charset);
    if !WITH_ASCII.iter().any(|name| plain.starts_with(name)) {
        return Err(unsupported(format!(
            "charset {shown} is not supported: send the body in UTF-8."
        )));
    }
    if is_ascii(encoding, body) {
        return Ok(());
    }
    Err(unsupported(format!(
        "charset {shown} is supported for ASCII only, and the body has other characters: encode them in UTF-8 and send charset=utf-8."
    )))
}

/// Whether the body has only ASCII characters, also in percent-encoding.
fn is_ascii(encoding: Encoding, body: &[u8]) -> bool {
    let is_escape = |bytes: &[u8]| {
        bytes[0] == b'%' && bytes[1].is_ascii_hexdigit() && !bytes[1].is_ascii_digit()
            || bytes[0] == b'%' && matches!(bytes[1], b'8' | b'9')
    };
    body.is_ascii() && (encoding == Encoding::Json || !body.windows(2).any(is_escape))
}

/// The body without a byte-order mark.
pub(super) fn without_mark(encoding: Encoding, body: &[u8]) -> &[u8] {
    if let Some(rest) = body.strip_prefix(MARK) {
        return rest;
    }
    match (encoding, body.split_at_checked(ENCODED_MARK.len())) {
        (Encoding::Form, Some((mark, rest))) if mark.eq_ignore_ascii_case(ENCODED_MARK) => rest,
        _ => body,
    }
}

/// Whether a body begins as a JSON object, an array of JSON values, or either within a JSON string. A form may begin with `[`.
pub(super) fn looks_like_json(body: &[u8]) -> bool {
    let body = body.strip_prefix(MARK).unwrap_or(body).trim_ascii_start();
    match body {
        [b'{', ..] | [b'"', b'{' | b'[', ..] | [b'%', b'7', b'B' | b'b', ..] => true,
        [b'[', rest @ ..] => matches!(rest.trim_ascii_start(), [b'{' | b'[' | b'"', ..]),
        _ => false,
    }
}

/// Whether a body begins as a form does: a name and an equals sign.
pub(super) fn looks_like_form(body: &[u8]) -> bool {
    let mut name = body.trim_ascii_start().splitn(2, |byte| *byte == b'=');
    let (name, value) = (name.next().unwrap_or_default(), name.next());
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-[]%".contains(byte);
    value.is_some() && name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(is_name)
}

fn unsupported(reason: String) -> ApiError {
    ApiError::UnsupportedMediaType(reason)
}

/// A value of a header as a reply may repeat it.
fn shown(text: &str) -> String {
    super::json::printable(text)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_content_encoding_is_refused_if_it_is_a_compression() {
        for (value, accepted) in [
            ("", true),
            ("identity", true),
            ("UTF-8", true),
            ("utf8", true),
            ("charset=utf-8", true),
            ("gzip", false),
            ("br", false),
            ("gzip, identity", false),
            ("UTF-8, gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(
                check_content_encoding(&headers).is_ok(),
                accepted,
                "{value}"
            );
        }
    }
}
