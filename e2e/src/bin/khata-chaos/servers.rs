//! The local stack's Postgres and RabbitMQ, which every test stack of this run uses: their processes, and their restart.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use khata_e2e::{Signal, send};
use tokio::process::Command;

/// Path of the library that gives a process a wrong clock, below Debian's folder of libraries.
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

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
        self.stack(&["services"]).await.map(drop)
    }

    /// Adds a synchronous standby of Postgres, on a file system of this size if one is given.
    pub(crate) async fn add_standby(&self, size: Option<&str>) -> Result<()> {
        let arguments = [&["standby", "add"][..], size.as_slice()].concat();
        self.stack(&arguments).await.map(drop)
    }

    /// Returns the address of `STANDBY`.
    pub(crate) fn address(&self, name: &str) -> Result<SocketAddr> {
        let port: u16 = self.setting(&format!("KHATA_PORT_{name}"))?.parse()?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Changes the standby: the actions are those of `stack.sh standby`.
    pub(crate) async fn change_standby(&self, action: &str) -> Result<()> {
        self.stack(&["standby", action]).await.map(drop)
    }

    /// Sends a signal to the standby's processes but the first: to the one that receives the primary's changes, among others.
    pub(crate) fn signal_standby(&self, signal: Signal) -> Result<()> {
        let pid = self.setting("KHATA_PID_STANDBY")?;
        let children = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(&children)
            .with_context(|| format!("cannot read {children}"))?;
        for child in children.split_whitespace() {
            send(signal, child.parse()?)?;
        }
        Ok(())
    }

    /// Runs `rabbitmqctl` and returns its output.
    pub(crate) async fn rabbitmqctl(&self, arguments: &[&str]) -> Result<String> {
        self.stack(&[&["rabbitmqctl"][..], arguments].concat())
            .await
    }

    /// Installs libfaketime if it is missing. Returns its path.
    pub(crate) async fn wrong_clock(&self) -> Result<PathBuf> {
        self.stack(&["clocks"]).await?;
        let machines = std::fs::read_dir("/usr/lib")?.flatten();
        let mut found = machines.map(|machine| machine.path().join(FAKETIME));
        let found = found.find(|file| file.is_file());
        found.with_context(|| format!("no /usr/lib/*/{FAKETIME} (Debian: libfaketime)"))
    }

    /// Removes everything that RabbitMQ has: queues, messages, exchanges, users.
    pub(crate) async fn wipe_broker(&self) -> Result<()> {
        for step in ["stop_app", "force_reset", "start_app"] {
            self.rabbitmqctl(&[step]).await?;
        }
        Ok(())
    }

    /// Runs `stack.sh` and returns its standard output.
    async fn stack(&self, arguments: &[&str]) -> Result<String> {
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
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
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
