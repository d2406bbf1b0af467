//! Examples of the errors that a call may reply with: those of its own subject where it has some.

use khata_domain::ids::ObjectReferenceId;
use khata_store::keys::KeyScope;
use serde_json::Value;

use crate::error::{
    ApiError, FaultCode, FieldFault, INVALID_KEY, NO_ACCOUNT, NO_CUSTOMER, NO_ENDPOINT, NO_EVENT,
};

/// Tag of the legacy calls.
pub(super) const LEGACY_ACCOUNTS: &str = "Bank accounts (deprecated)";
// Tags of calls whose errors have examples of their own.
const ACCOUNTS: &str = "Customer accounts";
const CUSTOMERS: &str = "Customers";
const EVENTS: &str = "Events";
const ENDPOINTS: &str = "Webhook endpoints";
const BANKS: &str = "Banks";

const REQUEST_ID: &str = "req_01k82u7tbked2rnho3qtss3bul";

/// Returns an example of the error with this status, with the name of its subject; `None` if no call of this kind fails so.
pub(super) fn example(status: u16, is_post: bool, tag: &str) -> Option<(&'static str, Value)> {
    let is_account = [ACCOUNTS, LEGACY_ACCOUNTS].contains(&tag);
    let (subject, error) = match (status, tag) {
        (400, _) if is_post && is_account => ("Account", ApiError::Invalid(bad_accounts())),
        (400, _) => ("", bad_header()),
        (401, _) => ("", ApiError::Unauthorized(INVALID_KEY)),
        (403, ENDPOINTS) => ("Endpoint", ApiError::InsufficientScope(KeyScope::Admin)),
        (403, _) => ("", ApiError::InsufficientScope(KeyScope::Create)),
        (404, CUSTOMERS) => ("Customer", NO_CUSTOMER),
        (404, EVENTS) => ("Event", NO_EVENT),
        (404, ENDPOINTS) => ("Endpoint", NO_ENDPOINT),
        (404, BANKS) => ("Branch", ApiError::IfscNotListed { hint: None }),
        (404, _) => ("", NO_ACCOUNT),
        (408, _) => ("", ApiError::BodyTimeout),
        (409, _) => ("", ApiError::IdempotencyInProgress),
        (413, _) => ("", ApiError::BodyTooLarge),
        (415, _) => ("", ApiError::UnsupportedMediaType(OTHER_TYPE.to_owned())),
        (422, _) => ("", ApiError::IdempotencyKeyReused),
        (429, _) if is_post && is_account => {
            let (field_name, retry_after) = (None, 3_600);
            let error = ApiError::TooManyValidations {
                field_name,
                retry_after,
            };
            ("Account", error)
        }
        (429, _) => ("", ApiError::TooManyRequests { retry_after: 1 }),
        (500, _) => ("", ApiError::Internal),
        (503, _) => ("", ApiError::Unavailable),
        _ => return None,
    };
    serde_json::to_value(error.envelope(REQUEST_ID, true))
        .ok()
        .map(|example| (subject, example))
}

const OTHER_TYPE: &str = "Content-Type text/plain is not supported: send application/x-www-form-urlencoded or application/json in UTF-8.";

fn bad_accounts() -> Vec<FieldFault> {
    vec![
        FieldFault::new(
            "bank_account_details[1].ifsc",
            FaultCode::Required,
            "is required",
        ),
        FieldFault::new(
            "wait_seconds",
            FaultCode::OutOfRange,
            "must be a whole number from 0 to 30",
        ),
    ]
}

fn bad_header() -> ApiError {
    ApiError::field(
        "x-routing-id",
        FaultCode::Format,
        ObjectReferenceId::MESSAGE,
    )
}
