//! Faults of the services' processes, and changes by an operator that replace processes or keys.

use std::time::Duration;

use anyhow::{Context, Result};
use khata_e2e::{Behaviour, Signal, TIMEOUT, eventually, send};
use tokio::time::sleep;

use super::{Effect, RESCUED};
use crate::run::{LEASE_SECONDS, Run};

/// The first characters of an API key, by which commands name it.
const KEY_PREFIX: usize = 12;
/// Seconds within which a worker that runs ends a call of less than a second, on a busy machine. Shorter than a lease.
const CALL_ENDED: u64 = LEASE_SECONDS / 2;

impl Run {
    pub(super) async fn kill_worker(&mut self) -> Result<Effect> {
        self.delay_responses(300).await?;
        let place = self.random.below(self.stack.workers.len());
        self.stack.workers.remove(place).process.kill()?;
        self.set_behaviour(Behaviour::default()).await?;
        sleep(self.random.milliseconds(0, 1_500)).await;
        self.start_worker().await?;
        Ok(Effect::new(RESCUED, 1))
    }

    /// Makes gateways take this many milliseconds, so that workers have open calls, and waits until some are open.
    async fn delay_responses(&self, latency_ms: u64) -> Result<()> {
        let slow = Behaviour {
            latency_ms,
            ..Behaviour::default()
        };
        self.set_behaviour(slow).await?;
        sleep(Duration::from_secs(2)).await;
        Ok(())
    }

    pub(super) async fn start_worker(&mut self) -> Result<()> {
        let url = self.stack.start_worker().await?.url.clone();
        self.stack.wait_until_ready(&url).await
    }

    pub(super) async fn pause_worker(&mut self, seconds: u64) -> Result<Effect> {
        let place = self.random.below(self.stack.workers.len());
        let pid = self.stack.workers[place].process.pid();
        send(Signal::STOP, pid)?;
        sleep(Duration::from_secs(seconds)).await;
        send(Signal::CONT, pid)?;
        Ok(Effect::new(RESCUED, 1))
    }

    /// Hits the validations that the worker has leased.
    pub(super) async fn freeze_calls(&mut self) -> Result<Effect> {
        self.delay_responses(900).await?;
        let place = self.random.below(self.stack.workers.len());
        let pid = self.stack.workers[place].process.pid();
        send(Signal::STOP, pid)?;
        let leased = "select lease_token::text from validations where state = 'LEASED'";
        let leased = self.stack.database.texts(leased)?;
        sleep(Duration::from_secs(CALL_ENDED)).await;
        // The other worker has settled its own by now.
        let hits = self.stack.database.number(&format!(
            "select count(*) from validations where state = 'LEASED' and lease_token::text = any('{{{}}}')",
            leased.join(",")
        ))?;
        sleep(Duration::from_secs(LEASE_SECONDS + 6 - CALL_ENDED)).await;
        send(Signal::CONT, pid)?;
        self.set_behaviour(Behaviour::default()).await?;
        Ok(Effect::new(RESCUED, hits.unsigned_abs()))
    }

    /// Gives the clients the addresses of the API.
    pub(super) fn publish_urls(&self) {
        let urls = self.stack.apis.iter().map(|api| api.url.clone());
        self.target.set_urls(urls.collect());
    }

    pub(super) async fn start_api(&mut self) -> Result<()> {
        let url = self.stack.start_api().await?.url.clone();
        self.stack.wait_until_ready(&url).await?;
        self.publish_urls();
        Ok(())
    }

    pub(super) async fn kill_api(&mut self) -> Result<Effect> {
        let place = self.random.below(self.stack.apis.len());
        let mut api = self.stack.apis.remove(place);
        api.process.kill()?;
        self.publish_urls();
        self.start_api().await?;
        Ok(Effect::new(5_000, 1))
    }

    pub(super) async fn pause_api(&mut self) -> Result<Effect> {
        let place = self.random.below(self.stack.apis.len());
        let pid = self.stack.apis[place].process.pid();
        send(Signal::STOP, pid)?;
        sleep(self.random.milliseconds(4_000, 10_000)).await;
        send(Signal::CONT, pid)?;
        Ok(Effect::new(10_000, 1))
    }

    pub(super) async fn restart_all(&mut self) -> Result<Effect> {
        let processes = self.stack.apis.len() + self.stack.workers.len();
        for _ in 0..self.stack.apis.len() {
            let mut old = self.stack.apis.remove(0);
            self.start_api().await?;
            old.process.terminate()?;
            old.process.wait(TIMEOUT).await?;
        }
        for _ in 0..self.stack.workers.len() {
            let mut old = self.stack.workers.remove(0);
            self.start_worker().await?;
            old.process.terminate()?;
            old.process.wait(TIMEOUT).await?;
        }
        Ok(Effect::new(RESCUED, processes as u64))
    }

    /// Adds a key, makes it the primary one and re-encrypts everything, with the restarts that docs/security.md asks for.
    pub(super) async fn rotate_keyring(&mut self) -> Result<Effect> {
        let file = self.stack.keyring_file().to_string_lossy().into_owned();
        let mut hits = 0;
        for step in ["add", "promote"] {
            self.stack
                .command(&["keyring", step, "--output", &file, "--force"])?;
            hits += self.restart_all().await?.hits;
        }
        self.stack.command(&["keyring", "rotate"])?;
        Ok(Effect::new(RESCUED, hits))
    }

    /// Fails if a process still accepts the old key after a minute. No call may fail meanwhile.
    pub(super) async fn revoke_key(&mut self) -> Result<Effect> {
        let old = self.target.set_key(&self.stack.issue_key("e2e")?);
        // Calls that have begun with the old key are past its check.
        sleep(Duration::from_secs(2)).await;
        let prefix = old.get(..KEY_PREFIX).context("a short key")?;
        let revoke = ["key", "revoke", "--merchant", "e2e", "--prefix", prefix];
        self.stack.command(&revoke)?;
        for api in &self.stack.apis {
            let api = self.stack.api.at(&api.url).with_key(&old);
            eventually(TIMEOUT, "the revoked key being rejected", async || {
                let status = api.list("nobody", "").await?.status;
                anyhow::Ok((status == 401).then_some(()))
            })
            .await?;
        }
        Ok(Effect::new(0, self.stack.apis.len() as u64))
    }
}
