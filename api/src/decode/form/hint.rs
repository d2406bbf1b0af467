//! Hints for a text that should be JSON and is the text that a programming language makes of a list or an object by itself.

use khata_domain::text::{is_placeholder, is_placeholder_word};

use super::super::json;
use crate::error::FaultCode;

pub(super) const REPEATED_NESTED: &str = "is given more than once, as qs with arrayFormat: 'repeat', jQuery with traditional: true and requests (Python) write lists: send JSON text in one field";
const OBJECT: &str = "is the text [object Object], in which JavaScript (URLSearchParams, FormData, jQuery with traditional: true, qs with arrayFormat: 'comma') lost the values: send JSON.stringify(…), or a field for each value, as in bank_account_details[0][ifsc]=…";
const PYTHON: &str = "is a list or dict in Python's own notation, not JSON: send json.dumps(…)";
const KEYS: &str = "is the name of a field and not its value, which requests (Python) makes of a dict: send json.dumps(…), or a field for each value, as in bank_account_details[0][ifsc]=…";
const RUBY: &str = "is an array or hash in Ruby's own notation, not JSON: send to_json";
const JAVA: &str =
    "is a list or map in Java's own notation, not JSON: write it with a JSON library";
const GO: &str =
    "is a slice or map in Go's own notation, not JSON: send the output of json.Marshal";
const DOT_NET: &str = "is the name of a .NET type: send the output of JsonSerializer.Serialize";
const PHP: &str =
    "is the text Array, which PHP makes of an array: send json_encode(…), or use http_build_query";
const PLACEHOLDER: &str =
    "is a placeholder that was not filled in: send a JSON array, or leave the field out";
const COMMAS: &str = "is a list with commas, not JSON: send a JSON array of objects, or a field for each value, as in upi_details[0][vpa]=…";

/// Whether Go printed the text: `map[…]`, or `{…}` with the bare values of a struct.
fn is_go(text: &str) -> bool {
    let inner = text.trim_start_matches('[');
    let is_struct = inner.starts_with('{') && !text.contains([':', '=', '\'', '"']);
    inner.starts_with("map[") || is_struct && text.ends_with(['}', ']']) && text.len() > 4
}

/// The code of a fault for a value that must be JSON. A template looks like a list or an object in braces.
pub(super) fn code(text: &str, error: &serde_json::Error) -> FaultCode {
    let text = text.trim();
    let is_type = ["[object ", "System."]
        .iter()
        .any(|start| text.starts_with(start));
    if !error.is_data() && (is_type || is_placeholder_word(text)) {
        FaultCode::Placeholder
    } else {
        json::code(error)
    }
}

/// The reason of a fault for a value that must be JSON. It never repeats the value.
pub(super) fn not_json(text: &str, error: &serde_json::Error) -> String {
    let text = text.trim();
    let is_field = |text: &str| {
        let mut bytes = text.bytes();
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let opens = text.starts_with(['[', '{']);
    let hint = if error.is_data() {
        // The reader's own error.
        None
    } else if text.starts_with("[object ") {
        Some(OBJECT)
    } else if opens && text.contains("=>") {
        Some(RUBY)
    } else if text.starts_with("System.") {
        Some(DOT_NET)
    } else if is_go(text) {
        Some(GO)
    } else if opens && (text.contains("{'") || text.starts_with("['")) {
        Some(PYTHON)
    } else if opens && text.contains('=') && !text.contains('"') {
        Some(JAVA)
    } else if text == "Array" {
        Some(PHP)
    } else if is_field(text) {
        Some(if is_placeholder(text) {
            PLACEHOLDER
        } else {
            KEYS
        })
    } else if !opens && text.contains(',') {
        Some(COMMAS)
    } else {
        None
    };
    hint.map_or_else(|| json::not_json(error), str::to_owned)
}
