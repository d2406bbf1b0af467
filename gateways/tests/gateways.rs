//! Tests of the connectors over HTTP: against the sandbox, which has wire types of its own, and against a scripted server.
//! A new gateway is a module here and a line in [`profiles`].
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cashfree;
mod conformance;
mod contradictions;
mod decentro;
mod pages;
mod payu;
mod razorpay;
mod sandbox;
mod scripted;
mod setu;
mod support;
mod unclear_words;

use std::time::Duration;

use khata_gateways::{ConnectorConfig, connect, info};
use serde_json::Value;

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

/// Returns the error of a connector with this address in `base_url` or a setting; an empty text if there is none.
fn error_of(profile: &Profile, setting: &str, address: &str, sandbox_mode: bool) -> String {
    let mut settings = profile.settings.clone();
    let credentials = profile.credentials.to_string();
    let base_url = (setting == "base_url").then_some(address);
    if base_url.is_none() {
        settings[setting] = address.into();
    }
    let config = ConnectorConfig {
        base_url,
        credentials: Some(credentials.as_bytes()),
        settings: &settings,
        http: &khata_gateways::client().unwrap(),
        sandbox_mode,
        longest_call: Duration::from_secs(14),
    };
    let error = connect(profile.gateway, &config).err();
    error.map_or_else(String::new, |error| error.to_string())
}

#[tokio::test]
async fn outside_sandbox_mode_a_connector_calls_only_the_gateways_own_hosts() {
    for profile in profiles() {
        let info = info(profile.gateway);
        assert!(!info.hosts().is_empty(), "{}", info.gateway);
        let names = info.settings.iter().map(|setting| setting.name);
        // Without the credentials for a product, its address is not used.
        let has_umap = profile
            .credentials
            .get("umap")
            .is_some_and(Value::is_object);
        let names =
            names.filter(|name| name.ends_with("_url") && (has_umap || !name.starts_with("umap")));
        for setting in names.chain(["base_url"]) {
            for other in [
                "https://gateway.example",
                "https://127.0.0.1",
                "https://localhost:8443/x",
                "https://sandbox.cashfree.com/verification",
                "https://dg-sandbox.setu.co",
                "https://in.staging.decentro.tech",
                "https://uatoneapi.payu.in",
            ] {
                let error = error_of(&profile, setting, other, false);
                assert!(
                    error.contains("own hosts outside sandbox mode"),
                    "{setting}: {error}"
                );
                assert_eq!(error_of(&profile, setting, other, true), "", "{setting}");
            }
            for own in info.addresses {
                let error = error_of(&profile, setting, own, false);
                assert!(
                    !error.contains("own hosts outside sandbox mode"),
                    "{setting}: {error}"
                );
            }
        }
    }
}
