//! The sandbox over HTTP: the real server on a free port, a real client.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bank;
mod behaviour;
mod binary;
mod drops;
mod refusals;
mod support;
mod upi;
