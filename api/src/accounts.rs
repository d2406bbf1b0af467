//! Customers' accounts: create, get, list, validate again, delete.

pub(crate) mod create;
pub(crate) mod delete;
mod fuzzing;
pub(crate) mod read;
pub(crate) mod request;
pub(crate) mod validate;

pub use fuzzing::fuzz_create_body;
