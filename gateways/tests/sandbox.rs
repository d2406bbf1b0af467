//! A running sandbox and its ledger of dropped rupees.

use std::time::Duration;

use clap::Parser;
use khata_domain::Gateway;
use khata_sandbox::{Application, Settings};
use serde_json::Value;

/// A sandbox of the test's own, which ends with the test's runtime.
pub(crate) struct Sandbox {
    pub(crate) origin: String,
    http: reqwest::Client,
}

impl Sandbox {
    /// Starts a sandbox whose "pending, then …" accounts are pending for 60 ms.
    pub(crate) fn start() -> Self {
        Self::start_with_pending(Duration::from_millis(60))
    }

    /// Starts a sandbox whose "pending, then …" accounts are pending for this time.
    pub(crate) fn start_with_pending(pending: Duration) -> Self {
        let application = Application::build(&Settings::parse_from([
            "khata-sandbox",
            "--sandbox-listen",
            "127.0.0.1:0",
            "--sandbox-published-pending-ms",
            &pending.as_millis().to_string(),
        ]))
        .unwrap();
        let origin = format!("http://127.0.0.1:{}", application.port());
        tokio::spawn(application.run_until_stopped());
        // Installs the TLS provider.
        khata_gateways::client().unwrap();
        // Without idle connections: actix closes an unused connection with an unexpected reply.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0);
        Self {
            origin,
            http: http.build().unwrap(),
        }
    }

    /// Sets the behaviour of a gateway.
    pub(crate) async fn behave(&self, gateway: Gateway, behaviour: Value) {
        self.put("behaviour", gateway, behaviour).await;
    }

    /// Sets the webhooks of a gateway.
    pub(crate) async fn send_webhooks(&self, gateway: Gateway, webhooks: Value) {
        self.put("webhooks", gateway, webhooks).await;
    }

    async fn put(&self, setting: &str, gateway: Gateway, mut body: Value) {
        body["gateway"] = gateway.name().into();
        let url = format!("{}/_sandbox/{setting}", self.origin);
        let response = self.http.put(url).json(&body).send().await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
    }

    /// Returns the number of rupees dropped under this reference.
    pub(crate) async fn drops(&self, reference: &str) -> u64 {
        self.drops_that(|drop| drop["reference"] == reference).await
    }

    /// Returns the number of all rupees dropped.
    pub(crate) async fn all_drops(&self) -> u64 {
        self.drops_that(|_| true).await
    }

    async fn drops_that(&self, counts: impl Fn(&Value) -> bool) -> u64 {
        let url = format!("{}/_sandbox/drops", self.origin);
        let ledger: Value = self
            .http
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        ledger["drops"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|drop| counts(drop))
            .map(|drop| drop["count"].as_u64().unwrap())
            .sum()
    }
}
