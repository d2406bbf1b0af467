//! The local stack this run belongs to: its settings, its processes, and `deploy/local/stack.sh up`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use khata_e2e::{Signal, send, texts};
use tokio::process::Command;

/// So that what a killed worker held is taken over soon; longer than two gateway calls of the local stack's 3 s, and
/// than a busy machine takes from a claim to its call.
const LEASE_SECONDS: &str = "15";

pub(crate) struct Stack {
    folder: PathBuf,
    settings: HashMap<String, String>,
    /// Its process id since the first `up`.
    sandbox: Option<String>,
}

impl Stack {
    /// The stack whose settings this process was given.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let folder = std::env::var("KHATA_LOCAL_DIR")
            .context("KHATA_LOCAL_DIR is not set: run `make chaos`")?;
        let mut stack = Self {
            folder: PathBuf::from(folder),
            settings: HashMap::new(),
            sandbox: None,
        };
        stack.read()?;
        Ok(stack)
    }

    /// A setting of `.local/env`.
    pub(crate) fn get(&self, name: &str) -> anyhow::Result<&str> {
        let value = self.settings.get(name).map(String::as_str);
        value.with_context(|| format!("{name} is not in {}", self.env_file().display()))
    }

    /// Kills a process of the stack at once.
    pub(crate) fn kill(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.get(&format!("KHATA_PID_{name}"))?.parse()?;
        send(Signal::Kill, pid).with_context(|| format!("cannot kill {name}"))
    }

    /// The leases that nobody has given back yet, expired ones too.
    pub(crate) fn leases(&self) -> anyhow::Result<Vec<String>> {
        let query = "select lease_token::text || id from validations where state = 'LEASED'";
        texts(self.get("KHATA_DATABASE_URL")?, query)
    }

    /// Starts what does not run, waits until it is healthy, and learns its process ids.
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
        // Another one has forgotten what it was asked, and tells a look-up that there was no such call.
        if self.sandbox.as_ref().is_some_and(|known| *known != sandbox) {
            bail!(
                "the sandbox was started anew, as its program was built anew meanwhile: nothing can be said of this run"
            );
        }
        self.sandbox = Some(sandbox);
        Ok(())
    }

    fn env_file(&self) -> PathBuf {
        self.folder.join("env")
    }

    /// Reads lines of the form `export NAME='value'`.
    fn read(&mut self) -> anyhow::Result<()> {
        let file = self.env_file();
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        self.settings = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        Ok(())
    }
}
