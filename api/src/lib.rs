//! The REST API that merchants call.
//!
//! From the bottom up: `schema` defines request fields and published words; `error`, `reply`, `database` and `present` turn
//! rows and errors into replies; `idempotency` performs each keyed call once; `create_commits` stores accounts by group
//! commit; `shares` divides what merchants share; `context` holds the parts that requests share and what one request carries.
//! Above them are the resources: `accounts`, `bank_accounts` (legacy), `customers`, `events` and `webhook_endpoints` with their
//! `deliveries`, `gateway_webhooks` and `health`. `document` generates the OpenAPI document,
//! `server` bounds the HTTP server and its `connection`s, and `application` starts all parts.

mod account_urls;
mod accounts;
mod application;
mod auth;
mod bank_accounts;
mod banks;
mod connection;
mod connectors;
mod context;
mod create_commits;
mod customers;
mod database;
mod decode;
mod deliveries;
mod document;
mod error;
mod events;
mod gateway_choices;
mod gateway_webhooks;
mod health;
mod idempotency;
mod limits;
mod metrics;
mod metrics_server;
mod observe;
mod outcomes;
mod present;
mod reply;
mod routes;
mod schema;
mod server;
mod settings;
mod shares;
mod webhook_endpoints;
mod webhook_keys;

#[doc(hidden)]
pub use accounts::fuzz_create_body;
pub use application::Application;
pub use document::print as openapi;
pub use settings::{Cli, Command, ServeSettings};
