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

/// Which of the calls that answer 500 have done their work.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Errors {
    /// Half of them.
    #[default]
    Either,
    /// None.
    BeforeWork,
    /// All.
    AfterWork,
}

/// How a gateway behaves; the default is in perfect health.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Behaviour {
    /// Every answer is held back so long, in milliseconds.
    pub latency_ms: u64,
    /// The fraction of calls that answer 500.
    pub error_rate: f64,
    /// Which of these have done their work.
    pub errors: Errors,
    /// The fraction of calls that do their work and never answer.
    pub hang_rate: f64,
    /// The fraction of calls that do their work before the connection is reset.
    pub reset_rate: f64,
    /// Every bank verification stays pending so long, in milliseconds.
    pub pending_ms: u64,
    /// Beyond so many calls within any 60 s, 429; 0: never.
    pub calls_per_minute: u32,
    /// What costs money is refused for want of it.
    pub insufficient_balance: bool,
    /// Every call is refused, as if the address were on no list.
    pub refuse_ip: bool,
}

/// Where a gateway calls back to, and how well.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Webhook {
    /// The gateway's name.
    pub gateway: &'static str,
    /// `http://` only.
    pub url: String,
    /// How many more times each event is sent.
    pub duplicates: u32,
    /// After the outcome the verification's older state is sent.
    pub out_of_order: bool,
    /// How long after the outcome an event goes out, in milliseconds.
    pub delay_ms: u64,
}

/// The calls that a gateway took.
#[derive(Clone, Debug, Deserialize)]
pub struct Calls {
    /// Its name.
    pub gateway: String,
    /// All of them.
    pub total: u64,
    /// The largest number within any 60 s.
    pub most_in_a_minute: u64,
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
        self.behave_as("CASHFREE", behaviour).await
    }

    /// From now on a gateway behaves like this.
    pub async fn behave_as(&self, gateway: &str, behaviour: Behaviour) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Named<'a> {
            gateway: &'a str,
            #[serde(flatten)]
            behaviour: Behaviour,
        }
        self.put("behaviour", &Named { gateway, behaviour }).await
    }

    /// From now on a gateway calls back.
    pub async fn webhook(&self, webhook: &Webhook) -> anyhow::Result<()> {
        self.put("webhooks", webhook).await
    }

    /// The calls that a gateway took so far.
    pub async fn calls(&self, gateway: &str) -> anyhow::Result<Calls> {
        let url = format!("{}/_sandbox/calls", self.url);
        let response = self.http.get(url).send().await?.error_for_status()?;
        let all: Vec<Calls> = response
            .json()
            .await
            .context("calls are not as documented")?;
        let of_it = all.into_iter().find(|calls| calls.gateway == gateway);
        of_it.with_context(|| format!("no calls of {gateway}"))
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
