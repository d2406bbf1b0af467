//! Accounts and their events as merchants see them: every wire detail and its OpenAPI schema, once for the replies of the API, for
//! the list of events and for webhooks.
//!
//! A new field of an account is added in `account` or `validation`; `masked` says whether an event with masked values has it.

#[macro_use]
pub mod schema;

mod account;
mod error;
mod event;
mod masked;
mod snapshot;
mod validation;

pub use account::{
    AccountDetails, BankAccountDetails, CustomerAccount, NamedBankAccount, VpaDetails, created,
    stored,
};
pub use error::PresentError;
pub use event::{AccountEvent, DisabledBy, Event, EventName, account_event, endpoint_event, event};
pub use masked::{MaskedCustomerAccount, ThinCustomerAccount};
pub use schema::time;
pub use snapshot::{Snapshot, ValidationSnapshot};
pub use validation::{Failure, NameMatch, Validation};
