//! The one door to the decoder and the reader from outside of this crate, for the fuzz targets.

use chrono::DateTime;
use serde_json::Value;

use super::request::{CreateRequest, MAX_ACCOUNTS};
use crate::decode::decode;
use crate::error::ApiError;

/// JSON that is deeper than this cannot be read once more: as a member it lies one deeper than as a form's text.
const DEEP: usize = 100;

/// Reads a body of *create accounts* and panics if what comes of it, request or error, is none that a merchant may
/// be answered with. A form that is a request means the same when its tree is sent as JSON.
pub fn fuzz_create_body(content_type: Option<&str>, body: &[u8]) {
    let tree = match decode(content_type, body) {
        Ok(tree) => tree,
        Err(error) => return hold_error(&error),
    };
    let request = match CreateRequest::read(&tree, DateTime::UNIX_EPOCH) {
        Ok(request) => request,
        Err(error) => return hold_error(&error),
    };
    assert!((1..=MAX_ACCOUNTS).contains(&request.accounts.len()));
    assert!(!request.flat || request.accounts.len() == 1);
    for (place, account) in request.accounts.iter().enumerate() {
        let identity = account.details.identity();
        let before = &request.accounts[..place];
        assert!(
            before.iter().all(|one| one.details.identity() != identity),
            "an account twice"
        );
    }
    // In JSON these two are objects; in a form, whose fields have the dotted names, they say nothing.
    let has_group = ["metadata", "consent"]
        .iter()
        .any(|group| tree.contains_key(*group));
    let depth = body.iter().filter(|byte| b"[{".contains(byte)).count();
    if has_group || depth > DEEP {
        return;
    }
    let json = Value::Object(tree.into()).to_string();
    let same = decode(Some("application/json"), json.as_bytes())
        .and_then(|tree| CreateRequest::read(&tree, DateTime::UNIX_EPOCH));
    assert_eq!(same.ok(), Some(request), "as JSON it means something else");
}

/// Every fault has a field and a reason that may be shown, and the error is the client's.
fn hold_error(error: &ApiError) {
    use actix_web::ResponseError as _;
    assert!(error.status_code().is_client_error(), "{error:?}");
    if let ApiError::Invalid(faults) = error {
        assert!(!faults.is_empty(), "invalid, and nothing said");
        for fault in faults {
            let shown = &fault.field_name;
            assert!(
                !shown.chars().any(char::is_control) && shown.chars().count() < 128,
                "{shown:?}"
            );
            assert!(!fault.reason.is_empty(), "{shown}");
        }
    }
}
