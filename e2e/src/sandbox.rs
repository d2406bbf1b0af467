//! The gateway sandbox: its ledger of drops and its switches for faults.

use anyhow::Context;
use reqwest::Client;
use serde::{Deserialize, Serialize};

/// A running sandbox.
#[derive(Clone, Debug)]
pub struct Sandbox {
    http: Client,
    /// `http://127.0.0.1:8090`
    pub url: String,
}

/// The ledger: every rupee that was dropped.
#[derive(Clone, Debug, Deserialize)]
pub struct Drops {
    /// Drops performed.
    pub total: u64,
    /// References they carried.
    pub distinct_references: u64,
    /// One entry a reference, oldest first.
    pub drops: Vec<Drop>,
}

/// One reference of the ledger.
#[derive(Clone, Debug, Deserialize)]
pub struct Drop {
    /// At which gateway.
    pub gateway: String,
    /// Khata's reference.
    pub reference: String,
    /// How often it was dropped.
    pub count: u64,
}

impl Drops {
    /// The references that were paid more than once.
    pub fn doubles(&self) -> Vec<&Drop> {
        self.drops.iter().filter(|drop| drop.count > 1).collect()
    }
}

/// How a gateway behaves; the default is in perfect health.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Behaviour {
    /// Every answer is held back so long, in milliseconds.
    pub latency_ms: u64,
    /// The fraction of calls that answer 500, half of them after doing their work.
    pub error_rate: f64,
    /// The fraction of calls that do their work and never answer.
    pub hang_rate: f64,
    /// Every bank verification stays pending so long, in milliseconds.
    pub pending_ms: u64,
}

impl Sandbox {
    /// The sandbox at this address.
    pub fn new(url: &str) -> Self {
        crate::install_tls();
        Self {
            http: Client::new(),
            url: url.to_owned(),
        }
    }

    /// Cashfree's base URL there.
    pub fn cashfree(&self) -> String {
        format!("{}/cashfree/verification", self.url)
    }

    /// The ledger.
    pub async fn drops(&self) -> anyhow::Result<Drops> {
        let response = self
            .http
            .get(format!("{}/_sandbox/drops", self.url))
            .send()
            .await?;
        response
            .error_for_status()?
            .json()
            .await
            .context("the ledger is not as documented")
    }

    /// From now on Cashfree behaves like this.
    pub async fn behave(&self, behaviour: Behaviour) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Named {
            gateway: &'static str,
            #[serde(flatten)]
            behaviour: Behaviour,
        }
        let body = Named {
            gateway: "CASHFREE",
            behaviour,
        };
        let response = self
            .http
            .put(format!("{}/_sandbox/behaviour", self.url))
            .json(&body)
            .send()
            .await?;
        response.error_for_status()?;
        Ok(())
    }
}
