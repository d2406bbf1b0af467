//! The REST API that merchants call, and the commands that ops people run.
//!
//! `accounts`, `customers` and the deprecated `bank_accounts` have the routes; `decode` turns bodies of either encoding
//! into values or a list of faults; `error` is the one error type and its envelope; `observe` is around every request;
//! `lane` commits creates in groups; `idempotency` answers repeated calls; `outcomes` is where calls wait; `limits` counts
//! requests; `metrics` counts what happens; `openapi` describes all of it. `gateway_webhooks` is for gateways, who call without a key and with a signature.

mod accounts;
mod application;
mod auth;
mod bank_accounts;
mod connectors;
mod create_commits;
mod customers;
mod decode;
mod error;
mod gateway_webhooks;
mod health;
mod idempotency;
mod limits;
mod metrics;
mod observe;
mod openapi;
mod outcomes;
mod settings;
mod state;
mod version;

#[doc(hidden)]
pub use accounts::fuzz_create_body;
pub use application::Application;
pub use openapi::print as openapi;
pub use settings::{Cli, Command, ServeSettings};
