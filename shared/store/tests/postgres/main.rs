//! The store and the group commit against a real Postgres, with one database per test. `make test` starts Postgres and
//! sets `KHATA_TEST_DATABASE_URL`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod accounts_changing;
mod accounts_racing;
mod accounts_reading;
mod database_metrics;
mod doctor;
mod events;
mod gateway_health;
mod gateway_webhooks;
mod group_commit;
mod group_commit_faults;
mod idempotency;
mod inspect;
mod keys;
mod limits;
mod merchant_settings;
mod merchants;
mod migrating;
mod outcomes;
mod rights;
mod rotation;
mod rows;
mod schema;
mod service_check;
mod validations_claim;
mod validations_due;
mod validations_model;
mod validations_queues;
mod validations_settle;
mod validations_turns;
mod webhooks;
mod webhooks_reading;
