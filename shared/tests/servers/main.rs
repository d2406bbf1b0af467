//! The store, the group commit and the broker against the real Postgres and the real RabbitMQ: a database and a queue
//! prefix per test. `make test` starts both and sets `KHATA_TEST_DATABASE_URL` and `KHATA_TEST_AMQP_URL`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod accounts_changing;
mod accounts_racing;
mod accounts_reading;
mod call_backs;
mod facts;
mod gateway_health;
mod idempotency;
mod inspect;
mod keys;
mod lane;
mod lane_faults;
mod merchant_settings;
mod merchants;
mod messages;
mod migrating;
mod outcomes;
mod publishing;
mod reseal;
mod ringing;
mod schema;
mod support;
mod validations_claim;
mod validations_due;
mod validations_model;
mod validations_settle;
