//! A running sandbox, connectors to it, and calls to make.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::Utc;
use clap::Parser;
use khata_gateways::{Call, Connector, ConnectorConfig, connect};
use khata_sandbox::{Application, Settings};
use khata_shared::domain::{
    AccountNumber, BankAccount, BeneficiaryName, Consent, Details, Gateway, Ifsc, Method, Vpa,
};
use serde_json::{Value, json};

/// A Cashfree of the test's own. It ends with the test's runtime.
pub(crate) struct Sandbox {
    origin: String,
    http: reqwest::Client,
}

impl Sandbox {
    /// One whose "pending, then …" accounts are pending for 60 ms.
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

    pub(crate) fn cashfree(&self, settings: &Value) -> Box<dyn Connector> {
        let base = format!("{}/cashfree/verification", self.origin);
        cashfree(&base, "sandbox_secret", settings)
    }

    pub(crate) fn cashfree_with_secret(&self, secret: &str) -> Box<dyn Connector> {
        let base = format!("{}/cashfree/verification/", self.origin);
        cashfree(&base, secret, &json!({}))
    }

    /// From now on Cashfree behaves like this.
    pub(crate) async fn behave(&self, mut behaviour: Value) {
        behaviour["gateway"] = "CASHFREE".into();
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

/// A connector to whatever listens there.
pub(crate) fn cashfree(base_url: &str, secret: &str, settings: &Value) -> Box<dyn Connector> {
    let credentials = json!({"client_id": "sandbox_client", "client_secret": secret}).to_string();
    connect(
        Gateway::Cashfree,
        &ConnectorConfig {
            base_url: Some(base_url),
            credentials: Some(credentials.as_bytes()),
            settings,
            http: &khata_gateways::client().unwrap(),
            sandbox_mode: true,
            longest_call: Duration::from_secs(14),
        },
    )
    .unwrap()
}

pub(crate) fn bank(number: &str, ifsc: &str, name: Option<&str>) -> Details {
    Details::Bank(BankAccount {
        ifsc: Ifsc::parse(ifsc).unwrap(),
        account_number: AccountNumber::parse(number).unwrap(),
        beneficiary_name: name.map(|name| BeneficiaryName::parse(name).unwrap()),
    })
}

/// An account that the sandbox takes for valid.
pub(crate) fn good() -> Details {
    bank("00011020001772", "HDFC0000001", Some("Asha Rao"))
}

pub(crate) fn upi(vpa: &str) -> Details {
    Details::Upi(Vpa::parse(vpa).unwrap())
}

pub(crate) fn consent(obtained: bool) -> Consent {
    Consent {
        obtained,
        purpose: "to pay out".into(),
        timestamp: "2026-11-22T09:24:36.123Z".parse().unwrap(),
    }
}

/// A reference as the worker makes them.
pub(crate) fn reference() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("kh{:026}_01", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The call that the worker would make.
pub(crate) fn call<'a>(
    connector: &dyn Connector,
    reference: &'a str,
    details: &'a Details,
    consent: Option<&'a Consent>,
) -> Call<'a> {
    Call {
        reference,
        details,
        method: connector.fit(details, consent).unwrap_or(Method::PennyDrop),
        consent,
        attempt: 1,
        started_at: Utc::now(),
    }
}
