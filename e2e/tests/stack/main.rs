//! What a merchant, and who runs Khata, may rely on: each test has a stack of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod bad_values;
mod broker;
mod calls;
mod customers;
mod docs_page;
mod errors;
mod flow;
mod gateways;
mod headers;
mod https;
mod idempotency;
mod juspay_clients;
mod keyring;
mod kills;
mod limits;
mod load;
mod openapi;
mod ops;
mod postgres;
mod refusals;
mod several;
mod telling;
mod validate;
