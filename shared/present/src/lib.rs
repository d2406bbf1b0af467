//! Accounts as merchants see them: every wire detail and its OpenAPI schema. A new field of an account is added in `account` or
//! `validation`.

#[macro_use]
pub mod schema;

mod account;
mod error;
mod validation;

pub use account::{AccountDetails, CustomerAccount, NamedBankAccount, created, stored};
pub use error::PresentError;
pub use schema::time;
pub use validation::{Failure, NameMatch, Validation};
