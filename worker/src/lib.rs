//! The worker. RabbitMQ wakes it; it claims validations that are due in Postgres, calls a gateway and settles the result.
//!
//! `consumer` takes messages, `turns` orders their validations by merchant, `dispatcher` begins them, `processor` claims,
//! calls and settles one validation, `commits` does claims and settlements in batches and plans inside the claim, `directory`
//! caches merchants and their connectors, `clock` has Postgres's time, `scheduler` publishes wake-ups for validations that are
//! due, `health_reporter` shares the health of gateway accounts with other workers, `deliveries` sends events to merchants' webhook
//! endpoints, `housekeeping` deletes expired rows, and `operator_alerts` posts alerts to operators.

mod application;
mod clock;
mod commits;
mod consumer;
mod consumer_load;
mod database_metrics;
mod deliveries;
mod directory;
mod dispatcher;
mod health;
mod health_reporter;
mod housekeeping;
mod in_progress;
mod labels;
mod metrics;
mod operator_alerts;
mod processor;
mod related;
mod scheduler;
mod settings;
mod turns;

pub use application::Application;
pub use settings::{Call, Settings};
