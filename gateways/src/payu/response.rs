//! PayU's replies, mapped to Khata's words.

use khata_domain::validation::CallResult;

use super::codes;
use crate::body::Body;
use crate::http::Reply;
use crate::meaning;

/// Returns the error code of a reply, or the first of several; empty if there is none.
pub(super) fn error_code(body: &Body) -> String {
    body.fields().first_word("code")
}

/// Maps an error reply to a validating call.
pub(super) fn error_response(reply: &Reply) -> CallResult {
    let body = reply.error_body();
    let code = error_code(&body);
    let sentence = body.fields().word("msg");
    let meaning = codes::error(reply.status, &code, sentence.as_str());
    meaning::error_response(reply, &body, meaning, &code)
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
            let body = Body::parse(json.as_bytes()).unwrap();
            assert_eq!(error_code(&body), code, "{json}");
        }
    }
}
