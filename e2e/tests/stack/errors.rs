//! How errors are told: the contract's envelope, and the names of faulty fields.

use khata_e2e::Answer;
use khata_e2e::client::text;

const JSON: &str = "application/json";
const INVALID: [&str; 4] = [
    "Bad Request",
    "invalid_request_error",
    "INVALID_INPUT",
    "USER_ERROR",
];

/// Holds an error answer to the contract's envelope.
pub(crate) fn assert_error(what: &str, answer: &Answer, http: u16, words: [&str; 4]) {
    assert_eq!(answer.status, http, "{what}: {}", answer.text);
    let body = answer.json();
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
        answer.header("x-request-id").unwrap(),
        "{what}"
    );
    assert!(info["fields"].is_array(), "{what}: {body}");
    assert_eq!(answer.header("content-type"), Some(JSON), "{what}");
    assert!(answer.trace_id().is_some(), "{what}: no traceresponse");
    assert_nothing_inside(what, answer);
}

/// No answer shows an SQL, a path, a stack or where the servers are.
fn assert_nothing_inside(what: &str, answer: &Answer) {
    let told = answer.text.to_lowercase();
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
        assert!(!told.contains(inside), "{what}: {inside}: {}", answer.text);
    }
}

pub(crate) fn assert_faults(what: &str, answer: &Answer, fields: &[&str]) {
    assert_invalid(what, answer);
    assert_eq!(named_fields(answer), fields, "{what}: {}", answer.text);
}

/// The names in `error_info.fields`, each with a reason.
pub(crate) fn named_fields(answer: &Answer) -> Vec<String> {
    let told = answer.json()["error_info"]["fields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert!(
        told.iter().all(|field| !text(field, "/reason").is_empty()),
        "{}",
        answer.text
    );
    told.iter()
        .map(|field| text(field, "/field_name").to_owned())
        .collect()
}

/// A 400 for bad values.
pub(crate) fn assert_invalid(what: &str, answer: &Answer) {
    assert_error(what, answer, 400, INVALID);
}
