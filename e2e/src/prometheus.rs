//! A real Prometheus that scrapes the services and evaluates the rules every second.

use std::path::Path;

use anyhow::{Context, bail};
use reqwest::Client;
use serde_json::{Value, json};

use crate::client::install_tls;
use crate::deadline::TIMEOUT;
use crate::process::{Process, installed_program};

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    http: Client,
    url: String,
    _process: Process,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes these `(job, host:port)`, with the rules in `rules` and its data in `folder`.
    pub async fn start(
        folder: &Path,
        targets: &[(&str, &str)],
        rules: &Path,
    ) -> anyhow::Result<Self> {
        install_tls();
        let jobs = targets.iter().map(
            |(job, target)| json!({ "job_name": job, "static_configs": [{ "targets": [target] }] }),
        );
        let rules = rules.canonicalize().context("no folder of rules")?;
        // YAML includes JSON.
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules.join("*.yaml")],
            "scrape_configs": jobs.collect::<Vec<_>>(),
        });
        let file = folder.join("prometheus.yaml");
        std::fs::write(&file, config.to_string())?;
        let mut process = Process::start_file(
            &installed_program("prometheus")?,
            &[
                &format!("--config.file={}", file.display()),
                &format!(
                    "--storage.tsdb.path={}",
                    folder.join("prometheus").display()
                ),
                "--web.listen-address=127.0.0.1:0",
                "--enable-feature=exemplar-storage",
            ],
            &[],
            &folder.join("prometheus.log"),
        )?;
        let address = process.wait_for_log(listening_address).await?;
        Ok(Self {
            http: Client::builder().no_proxy().timeout(TIMEOUT).build()?,
            url: format!("http://{address}"),
            _process: process,
        })
    }

    /// Returns the current result of a query: `data.result`.
    pub async fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let data = self.ask("/api/v1/query", &[("query", query)]).await?;
        let result = data["result"].as_array().cloned();
        result.with_context(|| format!("no result of {query}"))
    }

    /// Returns the exemplars of a query's series in the last minute.
    pub async fn exemplars(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let now = chrono::Utc::now();
        let (start, end) = (now - chrono::TimeDelta::minutes(1), now);
        let (start, end) = (start.to_rfc3339(), end.to_rfc3339());
        let asked = [("query", query), ("start", &start), ("end", &end)];
        let data = self.ask("/api/v1/query_exemplars", &asked).await?;
        Ok(joined(&data, "exemplars"))
    }

    /// Returns all rules, each with its health.
    pub async fn rules(&self) -> anyhow::Result<Vec<Value>> {
        let data = self.ask("/api/v1/rules", &[]).await?;
        Ok(joined(&data["groups"], "rules"))
    }

    async fn ask(&self, path: &str, asked: &[(&str, &str)]) -> anyhow::Result<Value> {
        let reply = self.http.get(format!("{}{path}", self.url));
        let mut reply: Value = reply.query(asked).send().await?.json().await?;
        if reply["status"] != "success" {
            bail!("Prometheus: {}: {asked:?}", reply["error"]);
        }
        Ok(reply["data"].take())
    }
}

/// Returns the address that Prometheus or Alertmanager has logged.
pub(crate) fn listening_address(log: &str) -> Option<String> {
    let mut lines = log.lines();
    let line = lines.find(|line| line.contains("msg=\"Listening on\""))?;
    let (_, address) = line.rsplit_once(" address=")?;
    Some(address.split_whitespace().next()?.to_owned())
}

/// Joins the lists with this name in all objects of a list.
fn joined(objects: &Value, name: &str) -> Vec<Value> {
    let objects = objects.as_array().into_iter().flatten();
    let lists = objects.filter_map(|object| object[name].as_array());
    lists.flatten().cloned().collect()
}
