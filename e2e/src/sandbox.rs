//! A client of the gateway sandbox: the ledger of drops, and the faults of each gateway.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use reqwest::Client;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::install_tls;
use crate::process::Process;
use crate::settings::settings;

/// Setting of the sandbox, taken over from the tests' own environment.
const SEED: &str = "KHATA_SANDBOX_SEED";

/// A running sandbox.
#[derive(Clone, Debug)]
pub struct Sandbox {
    http: Client,
    /// `http://127.0.0.1:8090`
    pub url: String,
}

/// The ledger of all penny drops.
#[derive(Clone, Debug, Deserialize)]
pub struct Drops {
    /// Number of drops.
    pub total: u64,
    /// Number of different references.
    pub distinct_references: u64,
    /// One entry per reference, the oldest first.
    pub drops: Vec<Drop>,
}

/// One reference of the ledger.
#[derive(Clone, Debug, Deserialize)]
pub struct Drop {
    pub gateway: String,
    pub reference: String,
    /// Number of drops with this reference.
    pub count: u64,
}

impl Drops {
    /// Returns the references that were paid more than once.
    pub fn doubles(&self) -> Vec<&Drop> {
        self.drops.iter().filter(|drop| drop.count > 1).collect()
    }
}

/// Whether calls that return 500 do their work.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Errors {
    /// Half of them do.
    #[default]
    Either,
    /// None does.
    BeforeWork,
    /// All do.
    AfterWork,
}

/// Behaviour of a gateway; the default is healthy.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Behaviour {
    /// Delay of every response, in milliseconds.
    pub latency_ms: u64,
    /// Fraction of calls that return 500.
    pub error_rate: f64,
    /// Whether these calls do their work.
    pub errors: Errors,
    /// Fraction of calls that do their work and never respond.
    pub hang_rate: f64,
    /// Fraction of calls that do their work before the connection is reset.
    pub reset_rate: f64,
    /// Time for which every bank verification stays pending, in milliseconds.
    pub pending_ms: u64,
    /// Maximum number of calls in any 60 s; further calls get 429; 0: no limit.
    pub calls_per_minute: u32,
    /// Reject every call that costs money because of an insufficient balance.
    pub insufficient_balance: bool,
    /// Reject every call because of its IP address.
    pub refuse_ip: bool,
    /// Send names, UTRs and scores as objects.
    pub odd_fields: bool,
}

/// Webhooks that a gateway sends.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Webhook {
    pub gateway: &'static str,
    /// `http://` only.
    pub url: String,
    /// Number of repetitions of each event.
    pub duplicates: u32,
    /// Send the verification's older state after the outcome.
    pub out_of_order: bool,
    /// Delay of each event, in milliseconds.
    pub delay_ms: u64,
    /// Fraction of events that are lost.
    pub drop_rate: f64,
    /// A second secret, and the fraction of events that it signs.
    pub old_secret: Option<&'static str>,
    pub old_secret_rate: f64,
}

/// Requests with a gateway's webhooks since they were set.
#[derive(Clone, Debug, Deserialize)]
pub struct WebhookCounts {
    pub gateway: String,
    /// Number of replies by their status.
    pub answered: BTreeMap<u16, u64>,
    /// Number of events that were lost.
    pub lost: u64,
}

/// Calls that a gateway received.
#[derive(Clone, Debug, Deserialize)]
pub struct Calls {
    pub gateway: String,
    pub total: u64,
    /// The largest number of calls in any 60 s.
    pub most_in_a_minute: u64,
}

impl Sandbox {
    /// Starts a sandbox on a free port, with its log and its ledger in `folder`.
    pub(crate) async fn start(folder: &Path, seed: Option<u64>) -> anyhow::Result<(Process, Self)> {
        let (port_file, ledger) = (folder.join("khata-sandbox.port"), folder.join("ledger"));
        let mut own = settings(&[
            ("KHATA_SANDBOX_LISTEN", "127.0.0.1:0"),
            ("KHATA_PORT_FILE", &port_file.to_string_lossy()),
            ("KHATA_SANDBOX_LEDGER", &ledger.to_string_lossy()),
        ]);
        // To repeat the faults of a failed test: its output has the seed.
        let seed = seed.map(|seed| seed.to_string());
        let seed = seed.or_else(|| std::env::var(SEED).ok());
        own.extend(seed.map(|seed| (SEED.to_owned(), seed)));
        let log = folder.join("khata-sandbox.log");
        let mut process = Process::start("khata-sandbox", &[], &own, &log)?;
        let port = process.port(&port_file).await?;
        Ok((process, Self::new(&format!("http://127.0.0.1:{port}"))))
    }

    /// Returns a client of the sandbox at this address.
    pub fn new(url: &str) -> Self {
        install_tls();
        Self {
            http: Client::new(),
            url: url.to_owned(),
        }
    }

    /// Returns the base URL of its Cashfree.
    pub fn cashfree(&self) -> String {
        format!("{}/cashfree/verification", self.url)
    }

    /// Returns the ledger.
    pub async fn drops(&self) -> anyhow::Result<Drops> {
        self.get("drops").await
    }

    /// Sets the behaviour of Cashfree.
    pub async fn set_behaviour(&self, behaviour: Behaviour) -> anyhow::Result<()> {
        self.set_behaviour_of("CASHFREE", behaviour).await
    }

    /// Sets the behaviour of a gateway.
    pub async fn set_behaviour_of(&self, gateway: &str, to: Behaviour) -> anyhow::Result<()> {
        let mut body = serde_json::to_value(to)?;
        body["gateway"] = gateway.into();
        self.put("behaviour", &body).await
    }

    /// Makes a gateway send webhooks.
    pub async fn webhook(&self, webhook: &Webhook) -> anyhow::Result<()> {
        self.put("webhooks", webhook).await
    }

    /// Returns the counts of each gateway whose webhooks are set.
    pub async fn webhook_counts(&self) -> anyhow::Result<Vec<WebhookCounts>> {
        self.get("webhooks").await
    }

    /// Returns the calls that a gateway has received.
    pub async fn calls(&self, gateway: &str) -> anyhow::Result<Calls> {
        let all: Vec<Calls> = self.get("calls").await?;
        let of_it = all.into_iter().find(|calls| calls.gateway == gateway);
        of_it.with_context(|| format!("no calls of {gateway}"))
    }

    async fn get<T: DeserializeOwned>(&self, what: &str) -> anyhow::Result<T> {
        let url = format!("{}/_sandbox/{what}", self.url);
        let response = self.http.get(url).send().await?.error_for_status()?;
        let body = response.json().await;
        body.with_context(|| format!("{what}: not as documented"))
    }

    async fn put(&self, what: &str, body: &impl Serialize) -> anyhow::Result<()> {
        let url = format!("{}/_sandbox/{what}", self.url);
        let response = self.http.put(url).json(body).send().await?;
        let status = response.status();
        let said = response.text().await?;
        anyhow::ensure!(status.is_success(), "{what}: {status} {said}");
        Ok(())
    }
}
