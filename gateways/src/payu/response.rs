//! PayU's replies, mapped to Khata's words.

use khata_domain::validation::CallResult;
use serde_json::Value;

use super::codes;
use crate::http::Reply;
use crate::meaning;
use crate::wire::text;

/// Returns the error code of a reply, or the first of several; empty if there is none.
pub(super) fn error_code(body: &Value) -> String {
    let code = match &body["code"] {
        Value::Array(codes) => codes.iter().find_map(text),
        code => text(code),
    };
    code.unwrap_or_default()
}

/// Maps an error reply to a validating call.
pub(super) fn error_response(reply: &Reply) -> CallResult {
    let body = reply.value();
    let code = error_code(&body);
    let sentence = body["msg"].as_str().unwrap_or_default();
    let meaning = codes::error(reply.status, &code, sentence);
    meaning::error_response(reply, meaning, &code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_several_codes_are_read_as_text_or_number() {
        for (json, code) in [
            (r#"{"status":1,"code":1002}"#, "1002"),
            (r#"{"status":1,"code":"1002"}"#, "1002"),
            (r#"{"status":1,"code":[1004,1005]}"#, "1004"),
            (r#"{"status":1,"code":[]}"#, ""),
            (r#"{"status":1,"code":null}"#, ""),
            (r#"{"status":1}"#, ""),
        ] {
            let body = serde_json::from_str(json).unwrap();
            assert_eq!(error_code(&body), code, "{json}");
        }
    }
}
