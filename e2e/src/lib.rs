//! Black-box tests of Khata: they start the real programs and look at them only from outside, over HTTP, SQL, AMQP, the
//! trace viewer and the logs. Nothing here may use another crate of the workspace.
//!
//! [`World`] is one test's own stack; [`Api`], [`Sandbox`] and [`Traces`] are clients that the demo and the chaos run
//! use too; [`Proxy`] stands in front of what is to fail.

mod browser;
pub mod client;
mod database;
mod deadline;
mod folder;
mod gateways;
mod known;
mod machine;
mod merchant;
mod process;
mod prometheus;
mod proxy;
mod queues;
mod sandbox;
mod setup;
mod signals;
mod traces;
mod world;

pub use browser::{Browser, Element};
pub use client::{Answer, Api};
pub use database::{Database, texts};
pub use deadline::{PATIENCE, eventually};
pub use gateways::{GATEWAYS, SandboxGateway};
pub use known::{Known, PUBLISHED};
pub use merchant::GatewayAccount;
pub use process::{Process, Ran};
pub use prometheus::Prometheus;
pub use proxy::Proxy;
pub use queues::Queues;
pub use sandbox::{Behaviour, Calls, Drop, Drops, Errors, Sandbox, Webhook};
pub use setup::Setup;
pub use signals::{Signal, send};
pub use traces::{Reference, Span, Trace, Traces};
pub use world::{Proxies, Service, World};

/// Makes HTTP clients possible; may be called any number of times.
pub fn install_tls() {
    // Somebody else in the process may have installed it: it is the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
