//! A running sandbox and its ledger of the rupees it dropped.

use clap::Parser;
use khata_domain::Gateway;
use khata_sandbox::{Application, Settings};
use serde_json::Value;

/// Gateways of the test's own. They end with the test's runtime.
pub(crate) struct Sandbox {
    pub(crate) origin: String,
    http: reqwest::Client,
}

impl Sandbox {
    /// A sandbox whose "pending, then …" accounts are pending for 60 ms.
    pub(crate) fn start() -> Self {
        let application = Application::build(&Settings::parse_from([
            "khata-sandbox",
            "--sandbox-listen",
            "127.0.0.1:0",
            "--sandbox-published-pending-ms",
            "60",
        ]))
        .unwrap();
        let origin = format!("http://127.0.0.1:{}", application.port());
        tokio::spawn(application.run_until_stopped());
        Self {
            origin,
            http: khata_gateways::client().unwrap(),
        }
    }

    /// From now on this gateway behaves like this.
    pub(crate) async fn behave(&self, gateway: Gateway, mut behaviour: Value) {
        behaviour["gateway"] = gateway.name().into();
        let url = format!("{}/_sandbox/behaviour", self.origin);
        let answer = self.http.put(url).json(&behaviour).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// How often a rupee was dropped under this reference.
    pub(crate) async fn drops(&self, reference: &str) -> u64 {
        self.drops_that(|drop| drop["reference"] == reference).await
    }

    /// How often a rupee was dropped at all.
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
