//! The loss of the primary Postgres, and a full disk: on a standby that `stack.sh` adds, and that takes the primary's place.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use khata_e2e::Signal;
use serde_json::json;
use tokio::time::sleep;

use super::{Effect, RECONNECTED, RESCUED};
use crate::client::{Client, Planned};
use crate::run::Run;
use crate::servers::Servers;

/// Size of the file system that is filled: the copy of the data, and some files of WAL.
const SMALL: &str = "512m";
/// Maximum number of creates until one is rejected on a full file system: free space in the pages of tables is used first.
const CREATES: usize = 400;
/// The client of these creates; those of the load have smaller numbers.
const CLIENT: usize = 90;

impl Run {
    pub(super) async fn add_standby(&mut self, is_small: bool) -> Result<Effect> {
        let servers = Servers::from_environment()?;
        servers.add_standby(is_small.then_some(SMALL)).await?;
        Ok(Effect::new(RECONNECTED, 1))
    }

    /// The standby gets nothing for some seconds, so that COMMITs wait for it. The primary is killed with them, and the standby takes
    /// its place. Hits the connections of the services.
    pub(super) async fn fail_over(&mut self) -> Result<Effect> {
        let servers = Servers::from_environment()?;
        let address = servers.address("STANDBY")?;
        servers.signal_standby(Signal::STOP)?;
        sleep(self.random.milliseconds(1_000, 3_500)).await;
        let hits = self.backends()?;
        servers.signal("POSTGRES", Signal::KILL)?;
        servers.signal_standby(Signal::CONT)?;
        servers.change_standby("promote").await?;
        self.stack.proxies()?.postgres.lead_to(address);
        let url = &mut self.stack.database.url;
        url.set_port(Some(address.port()))
            .ok()
            .context("a URL without a port")?;
        // For the runs after this one. No program uses the copy of the data any more.
        servers.start().await?;
        Ok(Effect::new(RESCUED, hits))
    }

    /// No table can grow, then WAL cannot, and Postgres ends. There is space again, and Postgres starts. Hits the creates that are
    /// rejected.
    pub(super) async fn fill_disk(&mut self) -> Result<Effect> {
        let servers = Servers::from_environment()?;
        servers.change_standby("fill").await?;
        let hits = self.rejected_creates().await;
        sleep(self.random.milliseconds(1_000, 4_000)).await;
        servers.change_standby("use-up-wal").await?;
        sleep(self.random.milliseconds(500, 2_000)).await;
        servers.change_standby("free").await?;
        ensure!(hits > 0, "no create was rejected on a full file system");
        Ok(Effect::new(RESCUED, hits))
    }

    /// Creates accounts until the API rejects some. Returns the number of rejections. The history has the calls.
    async fn rejected_creates(&mut self) -> u64 {
        let mut client = Client::new(&self.target, &self.history, CLIENT);
        let mut rejected = 0;
        for number in 0..CREATES {
            let banks: Vec<_> = (0..5)
                .map(|item| json!({"account_number": format!("7{CLIENT}{number:03}{item}10000000"), "ifsc": "AABF0008032"}))
                .collect();
            let create = Planned {
                operation: "create",
                customer: format!("customer_{CLIENT}_{number}"),
                account: None,
                key: None,
                body: json!({ "bank_account_details": banks }),
            };
            let reply = client.try_once(&create).await;
            if reply.is_ok_and(|reply| reply.status == 503) {
                rejected += 1;
            }
            if rejected == 3 {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        rejected
    }
}
