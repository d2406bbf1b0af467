//! What a merchant, and who runs Khata, may rely on: each test has a stack of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_input;
mod calls;
mod flow;
mod gateways;
mod kills;
mod ops;
mod outages;
mod telling;
