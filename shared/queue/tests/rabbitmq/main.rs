//! The queue against a real RabbitMQ, with one queue prefix per test. `make test` starts RabbitMQ and sets
//! `KHATA_TEST_AMQP_URL`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod delivery_signals;
mod messages;
mod publishing;
mod wakeup_publisher;
