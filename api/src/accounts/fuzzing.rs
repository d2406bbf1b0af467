//! The entry of the fuzz targets into the decoder and the reader.

use actix_web::ResponseError;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::request::CreateRequest;
use crate::decode::decode;
use crate::error::ApiError;
use crate::schema::MAX_ACCOUNTS;

/// Deeper JSON cannot be read a second time: as a member it is one level deeper than as a form's text.
const MAX_DEPTH: usize = 100;

/// Reads a body of *create accounts*. Panics if the request or the error is one that no merchant may see, or if a form that
/// is valid means something else when its tree is sent as JSON.
pub fn fuzz_create_body(content_type: Option<&str>, body: &[u8]) {
    let tree = match decode(content_type, body) {
        Ok(tree) => tree,
        Err(error) => return check_error(&error),
    };
    let request = match CreateRequest::read(&tree, now(), false) {
        Ok(request) => request,
        Err(error) => return check_error(&error),
    };
    assert!((1..=MAX_ACCOUNTS).contains(&request.accounts.len()));
    assert!(!request.flat || request.accounts.len() == 1);
    for (place, account) in request.accounts.iter().enumerate() {
        let identity = account.details.identity();
        let before = &request.accounts[..place];
        assert!(
            before.iter().all(|one| one.details.identity() != identity),
            "the same account twice"
        );
    }
    let depth = body.iter().filter(|byte| b"[{".contains(byte)).count();
    if depth > MAX_DEPTH {
        return;
    }
    let json = Value::Object(tree).to_string();
    let same = decode(Some("application/json"), json.as_bytes())
        .and_then(|tree| CreateRequest::read(&tree, now(), false));
    assert_eq!(same.ok(), Some(request), "form and JSON differ");
}

/// A fixed time, after the consents of the seeds.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default()
}

/// Checks that an error is the client's, and that every fault has a printable field and a reason.
fn check_error(error: &ApiError) {
    assert!(error.status_code().is_client_error(), "{error:?}");
    if let ApiError::Invalid(faults) = error {
        assert!(!faults.is_empty(), "invalid without a fault");
        for fault in faults {
            let name = &fault.field_name;
            assert!(
                !name.chars().any(char::is_control) && name.chars().count() < 128,
                "{name:?}"
            );
            assert!(!fault.reason.is_empty(), "{name}");
        }
    }
}
