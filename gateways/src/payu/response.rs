//! PayU's error replies, mapped to Khata's words.

use khata_domain::validation::CallResult;

use super::codes;
use super::wire::Frame;
use crate::http::Reply;
use crate::meaning;

/// Maps an error reply to a validating call.
pub(super) fn error_response(reply: &Reply) -> CallResult {
    let (code, sentence) = reply.json::<Frame>().map_or_else(
        |_| Default::default(),
        |frame| {
            let (code, sentence) = (frame.code, frame.msg);
            (code.unwrap_or_default(), sentence.unwrap_or_default())
        },
    );
    let meaning = codes::error(reply.status, &code, &sentence);
    meaning::error_response(reply, meaning, &code)
}
