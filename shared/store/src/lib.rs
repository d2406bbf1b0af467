//! Postgres: the only place where facts and promises are kept. Queries are functions on a connection that return
//! `QueryResult`; each that touches a merchant's rows takes the merchant's id. Who holds a connection is the
//! caller's business (a lane, or a reader on a blocking thread).

pub mod accounts;
pub mod audit;
pub mod customers;
pub mod database_metrics;
pub mod gateway_accounts;
pub mod gateway_health;
pub mod gateway_webhooks;
pub mod group_commit;
pub mod idempotency;
pub mod inspect;
pub mod keys;
pub mod merchant_settings;
pub mod merchants;
mod migrate;
pub mod outcomes;
mod pool;
pub mod reseal;
pub mod retry;
pub mod schema;
mod statement;
pub mod validations;

pub use migrate::{MigrateError, migrate, migrate_by, pending_migrations};
pub use pool::{DatabaseSettings, Pool, PooledConnection, connections, open};

/// A duration as SQL takes it.
fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
