//! The REST API that merchants call, and the commands that ops people run.
//!
//! `accounts`, `customers` and the deprecated `bank_accounts` have the routes; `decode` turns bodies of either encoding
//! into values or a list of faults; `error` is the one error type and its envelope; `observe` is around every request;
//! `lane` commits creates in groups; `idempotency` answers repeated calls; `outcomes` is where calls wait; `limits` counts
//! requests; `metrics` counts what happens; `openapi` describes all of it. `call_backs` is for gateways, who call without a key and with a signature.

mod accounts;
pub mod admin;
mod application;
mod auth;
mod bank_accounts;
mod call_backs;
mod connectors;
mod customers;
mod decode;
mod error;
mod health;
mod idempotency;
mod lane;
mod limits;
mod metrics;
mod observe;
mod openapi;
mod outcomes;
mod settings;
mod state;
mod version;

#[doc(hidden)]
pub use accounts::hold_create_body;
pub use application::Application;
pub use openapi::print as openapi;
pub use settings::{Cli, Command, ServeSettings};
