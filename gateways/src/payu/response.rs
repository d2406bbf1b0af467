//! PayU's replies, mapped to Khata's words.

use khata_domain::validation::CallResult;

use super::codes;
use crate::body::{Body, Word};
use crate::http::Reply;
use crate::meaning;

/// Returns the error code of a reply, or the first of several of one class. A code for a reference that PayU has seen before comes
/// first: the outcome must be looked up.
pub(super) fn error_code(body: &Body) -> Word {
    let mut codes = body.fields().words("code");
    codes.sort_by_key(|code| code != codes::DUPLICATE);
    let class = |code: &String| codes::payout(code, "").class();
    let Some(first) = codes.first() else {
        return Word::Absent;
    };
    if first != codes::DUPLICATE && codes.iter().any(|code| class(code) != class(first)) {
        body.note("code");
        return Word::Contradictory;
    }
    Word::Of(first.clone())
}

/// Maps an error reply to a validating call.
pub(super) fn error_response(reply: &Reply) -> CallResult {
    let body = reply.error_body();
    let code = error_code(&body);
    let sentence = body.fields().word("msg");
    let meaning = match &code {
        // PayU's input check; the meaning of other errors depends on no code.
        Word::Contradictory if matches!(reply.status, 400 | 422) => None,
        code => codes::error(reply.status, code.as_str(), sentence.as_str()),
    };
    meaning::error_response(reply, &body, meaning, code.as_str())
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
            (r#"{"status":1,"code":[1004,1002]}"#, "1002"),
            (r#"{"status":1,"code":"1004","code":"1002"}"#, "1002"),
            (r#"{"status":1,"code":[]}"#, ""),
            (r#"{"status":1,"code":null}"#, ""),
            (r#"{"status":1}"#, ""),
        ] {
            let body = Body::parse(json.as_bytes()).unwrap();
            assert_eq!(error_code(&body).as_str(), code, "{json}");
        }
        let two = Body::parse(br#"{"status":1,"code":[1004,1001]}"#).unwrap();
        assert_eq!(error_code(&two), Word::Contradictory);
    }
}
