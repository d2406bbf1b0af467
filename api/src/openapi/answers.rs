//! Words and forms of answers that are plain text or generic in the code.

use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::accounts::present::CustomerAccount;
use crate::bank_accounts::BankAccount;
use crate::error::Envelope;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $($word:ident)+) => {
        $(#[$doc])*
        #[derive(ToSchema, Serialize)]
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, dead_code, reason = "the wire's words")]
        pub(crate) enum $name { $($word),+ }
    };
}

words!(
    /// `CREATED`: stored, validation not completed. `PENDING`: waiting for the outcome at the gateway. `ACTIVE`: the gateway
    /// confirmed the details. `FAILURE`: they did not validate; `validation.failure` says why. `DELETED`: deleted.
    Status, CREATED PENDING ACTIVE FAILURE DELETED
);
words!(
    /// How the gateway was asked.
    Method, PENNY_DROP PENNILESS VPA_LOOKUP
);
words!(
    /// The score in words.
    NameMatchResult, DIRECT_MATCH GOOD_PARTIAL_MATCH MODERATE_PARTIAL_MATCH POOR_PARTIAL_MATCH NO_MATCH
);
words!(
    /// Why an account failed. `VALIDATION_UNAVAILABLE` says nothing about the account: no gateway could answer in time.
    FailureWord, INVALID_ACCOUNT INVALID_IFSC ACCOUNT_BLOCKED NRE_ACCOUNT INVALID_VPA SUSPECTED_FRAUD NAME_MISMATCH VALIDATION_UNAVAILABLE
);
words!(
    /// Whose the fault is.
    Category, USER_ERROR CONFIG_ERROR API_ERROR
);
words!(
    /// Always `customer_account`.
    CustomerAccountObject, customer_account
);
words!(
    /// Always `bank_account`.
    BankAccountObject, bank_account
);
words!(
    /// Always `customer`.
    CustomerObject, customer
);
words!(
    /// Always `list`.
    ListObject, list
);

/// Pairs of strings.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({ "order": "A-17" }))]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct Metadata(std::collections::BTreeMap<String, String>);

macro_rules! list_of {
    ($(#[$doc:meta])* $name:ident, $item:ty) => {
        $(#[$doc])*
        #[derive(ToSchema, Serialize)]
        #[allow(dead_code, reason = "a schema")]
        pub(crate) struct $name {
            object: ListObject,
            /// How many are in `list`.
            count: usize,
            /// How many were left out before.
            offset: u64,
            /// How many there are.
            total: u64,
            list: Vec<$item>,
        }
    };
}

list_of!(
    /// Accounts.
    CustomerAccountList, CustomerAccount
);
list_of!(
    /// Bank accounts.
    BankAccountList, BankAccount
);

/// One account for flat fields, a list for arrays.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
#[allow(dead_code, clippy::large_enum_variant, reason = "a schema")]
pub(crate) enum Created {
    One(CustomerAccount),
    Many(CustomerAccountList),
}

/// What every call with a key may be answered instead.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "a schema")]
pub(crate) enum ReadErrors {
    /// A bad value or a missing field: `error_info.fields` names every fault.
    #[response(status = 400)]
    Invalid(Envelope<'static>),
    /// The key is missing, malformed, unknown, expired or revoked.
    #[response(status = 401)]
    Unauthorized(Envelope<'static>),
    /// Not there, or another merchant's.
    #[response(status = 404)]
    NotFound(Envelope<'static>),
    /// Too many requests with this key; see `Retry-After`.
    #[response(status = 429)]
    TooMany(Envelope<'static>),
    /// Our fault.
    #[response(status = 500)]
    Internal(Envelope<'static>),
    /// The database cannot be reached; nothing was stored; see `Retry-After`.
    #[response(status = 503)]
    Unavailable(Envelope<'static>),
}

/// What every call that changes something may be answered instead.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "a schema")]
pub(crate) enum WriteErrors {
    /// A bad value, a missing field, a command there is not, a gateway that is not set up, or a customer there is already:
    /// `error_info.code` tells which.
    #[response(status = 400)]
    Invalid(Envelope<'static>),
    /// The key is missing, malformed, unknown, expired or revoked.
    #[response(status = 401)]
    Unauthorized(Envelope<'static>),
    /// Not there, or another merchant's.
    #[response(status = 404)]
    NotFound(Envelope<'static>),
    /// The body did not arrive in time.
    #[response(status = 408)]
    BodyTimeout(Envelope<'static>),
    /// The first call with this `Idempotency-Key` is still running, or the account is deleted.
    #[response(status = 409)]
    Conflict(Envelope<'static>),
    /// The body is larger than 256 KiB.
    #[response(status = 413)]
    BodyTooLarge(Envelope<'static>),
    /// Neither a form nor JSON.
    #[response(status = 415)]
    UnsupportedMediaType(Envelope<'static>),
    /// The `Idempotency-Key` was used for another call.
    #[response(status = 422)]
    KeyReused(Envelope<'static>),
    /// Too many requests with this key, or too many validations of an account; see `Retry-After`.
    #[response(status = 429)]
    TooMany(Envelope<'static>),
    /// Our fault.
    #[response(status = 500)]
    Internal(Envelope<'static>),
    /// The database cannot be reached; nothing was stored; see `Retry-After`.
    #[response(status = 503)]
    Unavailable(Envelope<'static>),
}
