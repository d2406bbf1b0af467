//! The local stack's Postgres and RabbitMQ, which every test stack of this run uses: their processes, and their restart.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use khata_e2e::{Signal, send};
use tokio::process::Command;

#[derive(Clone, Debug)]
pub(crate) struct Servers {
    folder: PathBuf,
}

impl Servers {
    pub(crate) fn from_environment() -> Result<Self> {
        let folder = std::env::var("KHATA_LOCAL_DIR")
            .context("KHATA_LOCAL_DIR is not set: run `make chaos`")?;
        Ok(Self {
            folder: PathBuf::from(folder),
        })
    }

    /// Sends a signal to `POSTGRES` or `RABBITMQ`.
    pub(crate) fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let pid = self.setting(&format!("KHATA_PID_{name}"))?.parse()?;
        send(signal, pid).with_context(|| format!("cannot signal {name}"))
    }

    /// Starts the servers that do not run, and waits until they are ready.
    pub(crate) async fn start(&self) -> Result<()> {
        self.stack(&["services"]).await
    }

    /// Removes everything that RabbitMQ has: queues, messages, exchanges, users.
    pub(crate) async fn wipe_broker(&self) -> Result<()> {
        for step in ["stop_app", "force_reset", "start_app"] {
            self.stack(&["rabbitmqctl", step]).await?;
        }
        Ok(())
    }

    async fn stack(&self, arguments: &[&str]) -> Result<()> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let output = Command::new("deploy/local/stack.sh")
            .args(arguments)
            .current_dir(repository)
            .env("KHATA_LOCAL_DIR", std::path::absolute(&self.folder)?)
            .output()
            .await
            .context("cannot run deploy/local/stack.sh")?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!(
                "deploy/local/stack.sh {} failed:\n{}",
                arguments.join(" "),
                String::from_utf8_lossy(&said)
            );
        }
        Ok(())
    }

    /// Reads a line of the form `export NAME='value'`.
    fn setting(&self, name: &str) -> Result<String> {
        let file = self.folder.join("env");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let settings: HashMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .collect();
        let value = settings.get(name);
        let value = value.with_context(|| format!("{name} is not in {}", file.display()))?;
        Ok(value.trim_matches('\'').to_owned())
    }
}
