//! The sandbox over HTTP: the real server on a free port, a real client.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bank;
mod behaviour;
mod binary;
mod calls;
mod decentro;
mod drops;
mod faults;
mod payu;
mod razorpay;
mod receiver;
mod refusals;
mod scenarios;
mod setu;
mod support;
mod upi;
mod webhooks;
