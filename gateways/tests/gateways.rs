//! Tests of the connectors over HTTP: against the sandbox, which has wire types of its own, and against a scripted server.
//! A new gateway is a module here and a line in [`profiles`].
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cashfree;
mod conformance;
mod decentro;
mod pages;
mod payu;
mod razorpay;
mod sandbox;
mod scripted;
mod setu;
mod support;

use conformance::profile::Profile;

/// Returns every connector, in each of its flows.
fn profiles() -> Vec<Profile> {
    [
        cashfree::profiles::profiles(),
        razorpay::profiles::profiles(),
        setu::profiles::profiles(),
        decentro::profiles::profiles(),
        payu::profiles::profiles(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_connector_conforms() {
    conformance::run(profiles()).await;
}
