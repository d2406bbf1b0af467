//! A real Alertmanager.

use std::path::Path;

use anyhow::{Context, ensure};
use reqwest::Client;
use serde_json::Value;

use crate::client::install_tls;
use crate::deadline::TIMEOUT;
use crate::folder::make_folder;
use crate::process::{Process, installed_program};
use crate::prometheus::listening_address;

/// A running Alertmanager.
#[derive(Debug)]
pub struct Alertmanager {
    http: Client,
    url: String,
    _process: Process,
}

impl Alertmanager {
    /// Starts an Alertmanager with this configuration.
    pub async fn start(config: &Path) -> anyhow::Result<Self> {
        install_tls();
        let folder = make_folder()?;
        let config = config
            .canonicalize()
            .context("no configuration of Alertmanager")?;
        let mut process = Process::start_file(
            &installed_program("prometheus-alertmanager")?,
            &[
                &format!("--config.file={}", config.display()),
                &format!("--storage.path={}", folder.join("alertmanager").display()),
                "--web.listen-address=127.0.0.1:0",
                // Without a port for other Alertmanagers.
                "--cluster.listen-address=",
            ],
            &[],
            &folder.join("alertmanager.log"),
        )?;
        let address = process.wait_for_log(listening_address).await?;
        Ok(Self {
            http: Client::builder().no_proxy().timeout(TIMEOUT).build()?,
            url: format!("http://{address}/api/v2/alerts"),
            _process: process,
        })
    }

    /// Posts alerts, as Prometheus does.
    pub async fn post(&self, alerts: &[Value]) -> anyhow::Result<()> {
        let reply = self.http.post(&self.url).json(alerts).send().await?;
        ensure!(
            reply.status().is_success(),
            "Alertmanager: {}",
            reply.text().await?
        );
        Ok(())
    }

    /// Returns all alerts, each with its receivers, and its status: `state` and `inhibitedBy`.
    pub async fn alerts(&self) -> anyhow::Result<Vec<Value>> {
        Ok(self
            .http
            .get(&self.url)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }
}
