//! The worker: woken by RabbitMQ, it claims what is due in Postgres, asks a gateway, and settles what came of it.
//!
//! `consumer` takes messages and bounds what is in hand; `step` is the life of one validation between claim and
//! settle; `lane` does both in batches; `directory` knows the merchants' gateway accounts; `scheduler` wakeups for what
//! is due and rescues what a dead worker held; `housekeeping` removes what nobody will ask for again.

mod application;
mod commits;
mod consumer;
mod database_metrics;
mod directory;
mod health;
mod health_reporter;
mod housekeeping;
mod metrics;
mod plan;
mod scheduler;
mod settings;
mod step;

pub use application::Application;
pub use settings::{Call, Settings};
