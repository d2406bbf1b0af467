//! The connectors over real HTTP: against the sandbox, which has wire types of its own, and against a server that
//! answers whatever a test has it answer. One binary, a module a gateway.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cashfree;
mod decentro;
mod payu;
mod razorpay;
mod sandbox;
mod scripted;
mod setu;
mod support;
