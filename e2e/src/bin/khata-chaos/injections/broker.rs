//! Faults of RabbitMQ and of the connections to it.

use anyhow::{Context, Result};
use khata_e2e::{Api, TIMEOUT};
use tokio::time::sleep;

use super::{Effect, Injection, RECONNECTED, RESCUED};
use crate::run::Run;
use crate::servers::Servers;

/// The limit of `deploy/local/rabbitmq.conf`.
const MEMORY: &str = "512MB";
const VIRTUAL_HOST: &str = "khata";
const POLICY: &str = "khata-full";

impl Run {
    pub(super) async fn lose_broker(&mut self, injection: Injection) -> Result<Effect> {
        let broker = &self.stack.proxies()?.broker;
        if injection == Injection::CutBroker {
            broker.cut();
        } else {
            broker.hang();
        }
        sleep(self.random.milliseconds(4_000, 9_000)).await;
        broker.restore();
        Ok(Effect::new(RECONNECTED, self.processes()))
    }

    /// Returns the number of services.
    fn processes(&self) -> u64 {
        (self.stack.apis.len() + self.stack.workers.len()) as u64
    }

    /// The memory alarm: RabbitMQ reads nothing from connections that publish. Hits the wake-ups that are lost.
    pub(super) async fn alarm_broker(&mut self) -> Result<Effect> {
        let servers = Servers::from_environment()?;
        let limit = |limit| ["set_vm_memory_high_watermark", "absolute", limit];
        let before = self.lost_wakeups().await?;
        servers.rabbitmqctl(&limit("1MB")).await?;
        sleep(self.random.milliseconds(6_000, 10_000)).await;
        servers.rabbitmqctl(&limit(MEMORY)).await?;
        let hits = self.lost_wakeups().await? - before;
        Ok(Effect::new(RECONNECTED, hits))
    }

    /// The queues have no consumer and accept one message each: RabbitMQ rejects the others. Hits the wake-ups that are lost.
    pub(super) async fn fill_queues(&mut self) -> Result<Effect> {
        let servers = Servers::from_environment()?;
        let at = ["--vhost", VIRTUAL_HOST, POLICY];
        let full = [
            "^khata-test-",
            r#"{"max-length":1}"#,
            "--apply-to",
            "queues",
        ];
        let before = self.lost_wakeups().await?;
        servers
            .rabbitmqctl(&[&["set_policy"][..], &at[..], &full].concat())
            .await?;
        let restarted = self.without_workers().await;
        // Otherwise it holds for the queues of later runs.
        servers
            .rabbitmqctl(&[&["clear_policy"][..], &at[..]].concat())
            .await?;
        restarted?;
        let hits = self.lost_wakeups().await? - before;
        Ok(Effect::new(RESCUED, hits))
    }

    /// Stops all workers, and starts as many some seconds later.
    async fn without_workers(&mut self) -> Result<()> {
        let workers = self.stack.workers.len();
        for mut worker in self.stack.workers.drain(..) {
            worker.process.terminate()?;
            worker.process.wait(TIMEOUT).await?;
        }
        sleep(self.random.milliseconds(4_000, 7_000)).await;
        for _ in 0..workers {
            self.start_worker().await?;
        }
        Ok(())
    }

    /// Returns the number of wake-ups that the replicas of the API have not published since their start.
    async fn lost_wakeups(&self) -> Result<u64> {
        let mut lost = 0;
        for api in &self.stack.apis {
            lost += metric(&api.metrics, "khata_wakeups_lost_total").await?;
        }
        Ok(lost)
    }
}

/// Returns the value of a counter without labels at `host:port`.
async fn metric(address: &str, name: &str) -> Result<u64> {
    let service = Api::new(&format!("http://{address}"), "")?;
    let page = service.get_path("/metrics").await?.expect_status(200)?;
    let mut lines = page.text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.with_context(|| format!("no {name} at {address}"))?;
    Ok(value.parse()?)
}
