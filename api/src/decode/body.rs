//! The request body: received within its limits and decoded by its content type.

use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::media_type;
use super::{form, json};
use crate::connection::ConnectionState;
use crate::error::FaultCode::{Encoding, Type};
use crate::error::{ApiError, Faults};
use crate::shares::Share;

/// Contract, *Limits*.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// Size from which a body is decoded on another thread: decoding it takes about a millisecond.
const LARGE_BODY: usize = 32 * 1024;
/// Steps in which a body takes memory.
const STEP: usize = 16 * 1024;
/// Time limit for the whole body: enough for 256 KiB on a slow line.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Permits to decode large bodies: one for each core, because a decoded body takes ten times its memory.
static DECODERS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// The bytes of a request body and their content type.
#[derive(Default)]
pub(crate) struct Body {
    content_type: Option<String>,
    bytes: Vec<u8>,
    _memory: Option<Share>,
}

impl Body {
    /// Receives a body of at most this length within its time limit, and within this share of the memory for bodies.
    pub(crate) async fn receive(
        request: &HttpRequest,
        payload: Payload,
        most: usize,
        mut memory: Share,
    ) -> Result<Self, ApiError> {
        let headers = request.headers();
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or("?").to_owned());
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > most) {
            return Err(ApiError::BodyTooLarge);
        }
        let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
        let length = (!is_chunked).then(|| declared.unwrap_or(0));
        let connection = request.conn_data::<Rc<ConnectionState>>();
        let _receiving = connection.map(|connection| connection.receive(length));
        let bytes = collect(payload, declared, most, &mut memory);
        let bytes = tokio::time::timeout(TIME_LIMIT, bytes)
            .await
            .map_err(|_| ApiError::BodyTimeout)??;
        Ok(Self {
            content_type,
            bytes,
            _memory: Some(memory),
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes the body; a large one on another thread, so that other requests do not wait.
    pub(crate) async fn decode(self: &Arc<Self>) -> Result<Map<String, Value>, ApiError> {
        if self.bytes.len() <= LARGE_BODY {
            return decode(self.content_type.as_deref(), &self.bytes);
        }
        let body = Arc::clone(self);
        let permit = DECODERS.acquire().await;
        let decoded = web::block(move || {
            // The thread holds the permit, because it may outlive the caller.
            let _permit = permit;
            decode(body.content_type.as_deref(), &body.bytes)
        });
        decoded.await.unwrap_or(Err(ApiError::Internal))
    }
}

async fn collect(
    mut payload: Payload,
    declared: Option<usize>,
    most: usize,
    memory: &mut Share,
) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    if declared != Some(0) {
        // A body that never comes takes a share, too.
        memory.take_memory(STEP)?;
        body.reserve_exact(declared.unwrap_or(STEP).min(STEP));
    }
    let mut reserved = STEP;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk
            .map_err(|_| ApiError::field("body", Encoding, "ended before its declared length"))?;
        if body.len() + chunk.len() > most {
            return Err(ApiError::BodyTooLarge);
        }
        let needed = (body.len() + chunk.len()).next_multiple_of(STEP);
        if needed > reserved {
            memory.take_memory(needed - reserved)?;
            body.reserve_exact(needed - body.len());
            reserved = needed;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Decodes a body of this content type. No body at all has no fields.
pub(crate) fn decode(
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Map<String, Value>, ApiError> {
    let content_type = content_type.filter(|text| !text.trim().is_empty());
    let Some(content_type) = content_type else {
        return if body.is_empty() {
            Ok(Map::new())
        } else {
            Err(media_type::missing(body))
        };
    };
    let encoding = media_type::check(content_type, body)?;
    let body = media_type::without_mark(encoding, body);
    match encoding {
        media_type::Encoding::Form if media_type::looks_like_json(body) => Err(ApiError::field(
            "body",
            Encoding,
            "looks like JSON: send Content-Type: application/json with it",
        )),
        media_type::Encoding::Form => form::decode(body).map_err(ApiError::Invalid),
        // axios, Java and Go name the type also where they send nothing.
        media_type::Encoding::Json if body.is_empty() => Ok(Map::new()),
        media_type::Encoding::Json => decode_json(body),
    }
}

fn decode_json(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let mut faults = Faults::default();
    match json::parse(body, None, &mut faults) {
        Ok(Value::Object(object)) => {
            let object = flatten(object, &mut faults);
            faults.check()?;
            Ok(object)
        }
        Ok(Value::String(text)) if media_type::looks_like_json(text.as_bytes()) => {
            let reason = "is JSON within a JSON string: encode the object once";
            Err(ApiError::field("body", Encoding, reason))
        }
        Ok(_) => Err(ApiError::field("body", Type, "must be a JSON object")),
        // The parser has stopped.
        Err(_) if faults.is_full() => Err(ApiError::Invalid(faults.into_list())),
        Err(_) if media_type::looks_like_form(body) => Err(ApiError::field(
            "body",
            Encoding,
            "looks like a form: send Content-Type: application/x-www-form-urlencoded with it",
        )),
        Err(error) => Err(ApiError::field(
            "body",
            json::code(&error),
            json::not_json(&error),
        )),
    }
}

/// Renames members of groups as a form names them: `{"metadata":{"a":"b"}}` becomes `metadata.a`; `consent` likewise.
fn flatten(mut object: Map<String, Value>, faults: &mut Faults) -> Map<String, Value> {
    for group in form::GROUPS {
        match object.remove(group) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::Object(members)) => form::flatten(group, members, &mut object, faults),
            Some(other) => faults.push(group, Type, form::no_object(&other)),
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";

    /// The fault of a body: field and reason, or the reason of a 415.
    fn fault(content_type: Option<&str>, body: &[u8]) -> String {
        match decode(content_type, body) {
            Err(ApiError::Invalid(faults)) => {
                format!("400 {}: {}", faults[0].field_name, faults[0].reason)
            }
            Err(ApiError::UnsupportedMediaType(reason)) => format!("415 {reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_in_the_other_encoding_is_named() {
        for (content_type, body, part) in [
            (
                Some(FORM),
                r#"{"ifsc":"HDFC0000001"}"#,
                "400 body: looks like JSON",
            ),
            (
                Some(FORM),
                "  \r\n{\"ifsc\":\"HDFC0000001\"}",
                "400 body: looks like JSON",
            ),
            (
                Some(FORM),
                "%7B%22ifsc%22%3A%22x%22%7D=",
                "400 body: looks like JSON",
            ),
            (Some(FORM), r#"[{"ifsc":"x"}]"#, "400 body: looks like JSON"),
            (Some(FORM), r#""{\"ifsc\":1}""#, "400 body: looks like JSON"),
            (
                Some(JSON),
                "ifsc=HDFC0000001&account_number=1",
                "400 body: looks like a form",
            ),
            (
                Some(JSON),
                "bank_account_details[0][ifsc]=x",
                "400 body: looks like a form",
            ),
            (
                Some(JSON),
                r#""{\"ifsc\":\"x\"}""#,
                "400 body: is JSON within",
            ),
            (Some(JSON), "{'ifsc': 'x'}", "400 body: is not JSON"),
            (None, r#"{"ifsc":"x"}"#, "415 The body looks like JSON"),
            (None, "ifsc=x", "415 The request has no Content-Type"),
            (Some(""), "ifsc=x", "415 The request has no Content-Type"),
            (
                Some("text/plain;charset=UTF-8"),
                "ifsc=x",
                "415 Content-Type text/plain",
            ),
            (
                Some("text/plain"),
                r#"{"ifsc":"x"}"#,
                "415 The body looks like JSON",
            ),
            (
                Some("multipart/form-data; boundary=x"),
                "--x",
                "415 multipart/form-data",
            ),
            (
                Some("application/xml"),
                "<a/>",
                "415 Content-Type application/xml",
            ),
        ] {
            let found = fault(content_type, body.as_bytes());
            assert!(found.starts_with(part), "{content_type:?} {body}: {found}");
        }
        assert!(fault(Some(FORM), b"\x1f\x8b\x08\x00").starts_with("415 The body is compressed"));
        assert!(fault(Some(JSON), b"\xff\xfe{\0").starts_with("415 The body is in UTF-16"));
    }

    #[test]
    fn no_body_has_no_fields() {
        for content_type in [None, Some(FORM), Some(JSON)] {
            assert_eq!(decode(content_type, b"").unwrap(), Map::new());
        }
        assert!(fault(Some(JSON), b" ").starts_with("400 body: is not JSON"));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        for (content_type, body) in [
            (FORM, "\u{feff}ifsc=HDFC0000001"),
            (FORM, "%EF%BB%BFifsc=HDFC0000001"),
            (JSON, "\u{feff}{\"ifsc\":\"HDFC0000001\"}"),
        ] {
            let object = decode(Some(content_type), body.as_bytes()).unwrap();
            assert_eq!(object["ifsc"], "HDFC0000001", "{body}");
        }
    }

    #[test]
    fn utf_8_is_taken_in_any_spelling_and_ascii_in_any_charset_that_has_it() {
        let of = |charset: &str| format!("{FORM}; charset={charset}");
        for charset in [
            "utf-8",
            "UTF8",
            "\"Utf-8\"",
            "'utf-8'",
            "utf_8",
            "",
            "UTF-8;q=1",
        ] {
            let object = decode(Some(&of(charset)), "vpa=a&first_name=ä".as_bytes());
            assert!(object.is_ok(), "{charset}");
        }
        let latin = [
            "ISO-8859-1",
            "iso8859_1",
            "latin1",
            "us-ascii",
            "ASCII",
            "windows-1252",
            "cp1252",
        ];
        for charset in latin {
            for body in ["ifsc=HDFC0000001&x=%41+%7e", "x=100%&y=%zz"] {
                let decoded = decode(Some(&of(charset)), body.as_bytes());
                assert!(
                    !matches!(decoded, Err(ApiError::UnsupportedMediaType(_))),
                    "{charset} {body}"
                );
            }
            // Java's and Ruby's clients send é as one byte in percent-encoding.
            for body in [
                "first_name=Ren%E9",
                "first_name=Ren%C3%A9",
                "first_name=René",
            ] {
                let found = fault(Some(&of(charset)), body.as_bytes());
                assert!(
                    found.starts_with("415") && found.contains(charset),
                    "{found}"
                );
            }
            let json = format!("{JSON}; charset={charset}");
            assert!(decode(Some(&json), br#"{"ifsc":"%E9"}"#).is_ok());
            assert!(fault(Some(&json), "{\"ifsc\":\"é\"}".as_bytes()).contains(charset));
        }
        for charset in [
            "utf-16",
            "UTF-16LE",
            "shift_jis",
            "x",
            "utf-8; charset=utf-16",
        ] {
            let found = fault(Some(&of(charset)), b"ifsc=HDFC0000001");
            assert!(found.starts_with("415"), "{charset}: {found}");
        }
    }
}
