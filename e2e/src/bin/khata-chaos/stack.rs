//! The local stack of this run: its settings, its processes, and `deploy/local/stack.sh up`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use khata_e2e::{Signal, send, texts};
use tokio::process::Command;

/// Short, so that another worker soon claims a killed worker's validations; but longer than two gateway calls of the local
/// stack's 3 s, and than a busy machine needs from a claim to its call.
const LEASE_SECONDS: &str = "15";

pub(crate) struct Stack {
    env_file: PathBuf,
    settings: HashMap<String, String>,
    /// Process id of the sandbox since the first `up`.
    sandbox: Option<String>,
}

impl Stack {
    /// Returns the stack whose settings this process has.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let folder = std::env::var("KHATA_LOCAL_DIR")
            .context("KHATA_LOCAL_DIR is not set: run `make chaos`")?;
        let mut stack = Self {
            env_file: Path::new(&folder).join("env"),
            settings: HashMap::new(),
            sandbox: None,
        };
        stack.read()?;
        Ok(stack)
    }

    /// Returns a setting of `.local/env`.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.settings.get(name).map(String::as_str);
        value.with_context(|| format!("{name} is not in {}", self.env_file.display()))
    }

    /// Kills a process of the stack.
    pub(crate) fn kill(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.get(&format!("KHATA_PID_{name}"))?.parse()?;
        send(Signal::KILL, pid).with_context(|| format!("cannot kill {name}"))
    }

    /// Returns the leases that no worker has released, expired ones included.
    pub(crate) fn leases(&self) -> anyhow::Result<Vec<String>> {
        let query = "select lease_token::text || id from validations where state = 'LEASED'";
        texts(self.get("KHATA_DATABASE_URL")?, query)
    }

    /// Starts the missing processes, waits until they are healthy, and reads their ids.
    pub(crate) async fn up(&mut self) -> anyhow::Result<()> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut up = Command::new("deploy/local/stack.sh");
        up.arg("up")
            .current_dir(repository)
            .env("KHATA_SKIP_BUILD", "1");
        if std::env::var_os("KHATA_WORKER_LEASE_SECONDS").is_none() {
            up.env("KHATA_WORKER_LEASE_SECONDS", LEASE_SECONDS);
        }
        let output = up
            .output()
            .await
            .context("cannot run deploy/local/stack.sh")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!(
                "deploy/local/stack.sh up failed:\n{}",
                String::from_utf8_lossy(&said)
            );
        }
        self.read()?;
        let sandbox = self.get("KHATA_PID_SANDBOX")?.to_owned();
        // A new sandbox process has lost its calls, so that lookups would find none.
        if self.sandbox.as_ref().is_some_and(|known| *known != sandbox) {
            bail!(
                "the sandbox was restarted, because its program was rebuilt meanwhile: this run proves nothing"
            );
        }
        self.sandbox = Some(sandbox);
        Ok(())
    }

    /// Reads lines of the form `export NAME='value'`.
    fn read(&mut self) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(&self.env_file)
            .with_context(|| format!("cannot read {}", self.env_file.display()))?;
        self.settings = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        Ok(())
    }
}
