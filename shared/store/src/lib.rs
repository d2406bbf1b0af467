//! Models, SQL, migrations and the group commit on Postgres. Queries are functions on a connection that return `QueryResult`;
//! each that touches a merchant's rows takes the merchant's id. The caller owns the connection: a lane of the group commit,
//! or a reader on a blocking thread.

pub mod accounts;
pub mod audit;
mod budget;
mod column;
pub mod customers;
pub mod database_metrics;
mod database_url;
pub mod doctor;
pub mod encryption_counts;
pub mod events;
pub mod gateway_accounts;
pub mod gateway_health;
pub mod gateway_webhooks;
pub mod group_commit;
pub mod idempotency;
pub mod inspect;
pub mod keys;
mod locks;
pub mod merchant_settings;
pub mod merchants;
mod migrate;
pub mod name_review;
pub mod outcomes;
pub mod penny_drops;
mod pool;
pub mod retry;
pub mod rights;
pub mod rotation;
pub mod schema;
pub mod service_check;
mod statement;
pub mod validations;
mod watchdog;
pub mod webhooks;

pub use database_url::check as check_database_url;
pub use migrate::{MigrateError, Migrated, migrate, migrate_by, pending_migrations};
pub use pool::{
    DatabaseSettings, Pool, PooledConnection, connect, connections, database_time, open,
};
pub use watchdog::closed_connections;
