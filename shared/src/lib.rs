//! What both services stand on: the domain, the store, the broker, sealing, batching, settings and telemetry.
//!
//! Nothing here serves HTTP, or knows a gateway or which of the services it runs in. `domain` is pure: it knows no
//! database, no broker and no clock that it was not handed.

pub mod backoff;
pub mod batch;
pub mod broker;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod healthcheck;
pub mod metrics;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod wiped;
