//! The Cashfree connector over real HTTP: against the sandbox, which has wire types of its own, and against a server
//! that answers whatever a test has it answer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bank;
mod check;
mod errors;
mod lost;
mod scripted;
mod support;
mod upi;
mod wire;
