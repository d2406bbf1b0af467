//! The form of errors: the contract's envelope, and the names of invalid fields.

use khata_e2e::HttpReply;
use khata_e2e::client::text;

const JSON: &str = "application/json";
const INVALID: [&str; 4] = [
    "Bad Request",
    "invalid_request_error",
    "INVALID_INPUT",
    "USER_ERROR",
];

/// Asserts that an error has the contract's envelope.
pub(crate) fn assert_error(what: &str, reply: &HttpReply, http: u16, words: [&str; 4]) {
    assert_eq!(reply.status, http, "{what}: {}", reply.text);
    let body = reply.json();
    let info = &body["error_info"];
    let [status, error_code, code, category] = words;
    assert_eq!(body["status"], status, "{what}: {body}");
    assert_eq!(body["error_code"], error_code, "{what}: {body}");
    assert_eq!(info["code"], code, "{what}: {body}");
    assert_eq!(info["category"], category, "{what}: {body}");
    for pointer in [
        "/error_message",
        "/error_info/user_message",
        "/error_info/developer_message",
    ] {
        assert!(!text(&body, pointer).is_empty(), "{what}: {body}");
    }
    assert_eq!(
        text(info, "/request_id"),
        reply.header("x-request-id").unwrap(),
        "{what}"
    );
    let section = text(info, "/doc_url");
    assert!(section.starts_with("/docs/api#"), "{what}: {body}");
    assert!(info["fields"].is_array(), "{what}: {body}");
    assert_eq!(reply.header("content-type"), Some(JSON), "{what}");
    assert!(reply.trace_id().is_some(), "{what}: no traceresponse");
    assert_nothing_inside(what, reply);
}

/// No reply shows an SQL statement, a path, a backtrace or a server's address.
fn assert_nothing_inside(what: &str, reply: &HttpReply) {
    let lower = reply.text.to_lowercase();
    for inside in [
        "select ",
        "insert ",
        "sqlstate",
        "relation \\\"",
        "diesel",
        "postgres",
        "rabbitmq",
        "amqp",
        "127.0.0.1",
        "/src/",
        ".rs:",
        "panicked",
        "stack backtrace",
    ] {
        assert!(!lower.contains(inside), "{what}: {inside}: {}", reply.text);
    }
}

pub(crate) fn assert_faults(what: &str, reply: &HttpReply, fields: &[&str]) {
    assert_invalid(what, reply);
    assert_eq!(named_fields(reply), fields, "{what}: {}", reply.text);
}

/// Returns the names in `error_info.fields`, each with a code and a reason.
pub(crate) fn named_fields(reply: &HttpReply) -> Vec<String> {
    let fields = reply.json()["error_info"]["fields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(
        fields.iter().all(|field| ["/code", "/reason"]
            .iter()
            .all(|part| !text(field, part).is_empty())),
        "{}",
        reply.text
    );
    fields
        .iter()
        .map(|field| text(field, "/field_name").to_owned())
        .collect()
}

/// Asserts a 400 for invalid values.
pub(crate) fn assert_invalid(what: &str, reply: &HttpReply) {
    assert_error(what, reply, 400, INVALID);
    let body = reply.json();
    let first = &body["error_info"]["fields"][0];
    let sentence = format!("{} {}", text(first, "/field_name"), text(first, "/reason"));
    let message = text(&body, "/error_message");
    assert!(message.starts_with(&sentence), "{what}: {body}");
}
