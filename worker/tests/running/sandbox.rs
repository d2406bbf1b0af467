//! The sandbox in the test's process: the merchant's accounts at its gateways, its faults, its ledger and its counts of calls.

use clap::Parser;
use khata_domain::{Gateway, GatewayAccountId};
use khata_store::gateway_accounts::NewGatewayAccount;
use serde_json::Value;

use crate::workshop::Workshop;

/// A sandbox of the test's own, which ends with the test's runtime.
pub(crate) struct Sandbox {
    origin: String,
    http: reqwest::Client,
}

impl Sandbox {
    pub(crate) fn start() -> Self {
        let arguments = ["khata-sandbox", "--sandbox-listen", "127.0.0.1:0"];
        let settings = khata_sandbox::Settings::parse_from(arguments);
        let application = khata_sandbox::Application::build(&settings).unwrap();
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

    /// Adds the merchant's account at this gateway.
    pub(crate) fn add(
        &self,
        workshop: &mut Workshop,
        gateway: Gateway,
        priority: i16,
        settings: &Value,
    ) {
        let (path, credentials) = match gateway {
            Gateway::Cashfree => (
                "cashfree/verification",
                r#"{"client_id":"sandbox_client","client_secret":"sandbox_secret"}"#,
            ),
            Gateway::Decentro => (
                "decentro",
                r#"{"client_id":"decentro_sandbox_client","client_secret":"decentro_sandbox_secret"}"#,
            ),
            Gateway::Setu => (
                "setu",
                r#"{"client_id":"setu-sandbox-client","client_secret":"setu-sandbox-secret","product_instance_id":"setu-sandbox-product-instance"}"#,
            ),
            other => panic!("no credentials for {other}"),
        };
        let base_url = format!("{}/{path}", self.origin);
        let account = NewGatewayAccount {
            id: GatewayAccountId::new(),
            gateway_id: gateway.id(),
            reference_id: gateway.name(),
            priority,
            pinned_only: false,
            base_url: Some(&base_url),
            settings,
        };
        workshop.add_gateway(&account, credentials);
    }

    /// Sets the behaviour of a gateway.
    pub(crate) async fn behave(&self, gateway: Gateway, mut behaviour: Value) {
        behaviour["gateway"] = gateway.name().into();
        let url = format!("{}/_sandbox/behaviour", self.origin);
        let response = self.http.put(url).json(&behaviour).send().await.unwrap();
        assert!(response.status().is_success(), "{response:?}");
    }

    /// Returns the number of rupees dropped.
    pub(crate) async fn rupees(&self) -> u64 {
        self.get("drops").await["total"].as_u64().unwrap()
    }

    /// Returns the number of calls of this route at this gateway.
    pub(crate) async fn calls(&self, gateway: Gateway, route: &str) -> u64 {
        let all = self.get("calls").await;
        let mut counts = all.as_array().unwrap().iter();
        let counts = counts.find(|counts| counts["gateway"] == gateway.name());
        counts.unwrap()["by_route"][route].as_u64().unwrap_or(0)
    }

    async fn get(&self, what: &str) -> Value {
        let url = format!("{}/_sandbox/{what}", self.origin);
        let response = self.http.get(url).send().await.unwrap();
        response.json().await.unwrap()
    }
}
