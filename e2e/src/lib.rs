//! Black-box tests of Khata: they start the real programs and check them from outside, over HTTP, SQL, AMQP, the trace
//! viewer and the logs.
//!
//! [`TestStack`] is one test's own stack. The demo and the chaos run use the clients [`Api`], [`Sandbox`] and [`Traces`]
//! too. A [`Proxy`] makes the server behind it fail.

mod alertmanager;
mod browser;
pub mod client;
mod database;
mod deadline;
mod folder;
mod gateways;
mod machine;
mod merchant;
mod process;
mod prometheus;
mod proxies;
mod published_accounts;
mod queues;
mod sandbox;
mod service;
mod settings;
mod setup;
mod signals;
mod test_stack;
mod traces;
mod transit_engine;

pub use alertmanager::Alertmanager;
pub use browser::Browser;
pub use client::{Api, HttpReply, install_tls};
pub use database::{Database, as_role, texts};
pub use deadline::{TIMEOUT, eventually};
pub use gateways::{GATEWAYS, SandboxGateway};
pub use khata_testing::{Proxy, avoid_midnight};
pub use merchant::{GatewayAccount, create_unlimited_merchant, khata};
pub use process::{CommandOutput, Process, path_of};
pub use prometheus::Prometheus;
pub use proxies::Proxies;
pub use published_accounts::{PUBLISHED, PublishedAccount};
pub use queues::Queues;
pub use sandbox::{Behaviour, Calls, Drop, Drops, Errors, Sandbox, Webhook, WebhookCounts};
pub use service::Service;
pub use setup::Setup;
pub use signals::{Signal, send};
pub use test_stack::TestStack;
pub use traces::{Reference, Span, Trace, Traces};
pub use transit_engine::TransitEngine;
