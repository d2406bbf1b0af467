//! Processes whose clock is wrong.

use std::time::Duration;

use anyhow::{Result, ensure};
use khata_e2e::{TIMEOUT, eventually};
use tokio::time::sleep;

use super::{Effect, RESCUED};
use crate::run::Run;
use crate::servers::Servers;

/// Longer than a signature with a time is valid.
const WRONG_BY: [&str; 2] = ["+10m", "-10m"];
/// Time after which no client begins a call at an address that was taken away.
const CALL_BEGUN: Duration = Duration::from_secs(1);

impl Run {
    /// One more replica of the API and one more worker, ten minutes ahead, then two that are ten minutes behind. Hits the wrong
    /// processes. Fails if the worker claims a validation.
    pub(super) async fn wrong_clocks(&mut self) -> Result<Effect> {
        let library = Servers::from_environment()?.wrong_clock().await?;
        let library = library.to_string_lossy();
        let mut hits = 0;
        for wrong_by in WRONG_BY {
            self.stack.change_settings(&[
                ("LD_PRELOAD", Some(&*library)),
                ("FAKETIME", Some(wrong_by)),
                // Only the time of day is wrong.
                ("FAKETIME_DONT_FAKE_MONOTONIC", Some("1")),
            ]);
            let started = self.with_wrong_clock().await;
            self.stack.change_settings(&[
                ("LD_PRELOAD", None),
                ("FAKETIME", None),
                ("FAKETIME_DONT_FAKE_MONOTONIC", None),
            ]);
            started?;
            sleep(self.random.milliseconds(5_000, 8_000)).await;
            hits += self.stop_wrong().await?;
        }
        Ok(Effect::new(RESCUED, hits))
    }

    /// Starts the processes. The worker is the last one of the stack, and so is the replica.
    async fn with_wrong_clock(&mut self) -> Result<()> {
        self.stack.start_worker().await?;
        self.start_api().await
    }

    /// Stops the processes, and demands that the worker knew that its clock is wrong, and claimed nothing. Returns their number.
    async fn stop_wrong(&mut self) -> Result<u64> {
        let (api, worker) = (self.stack.apis.pop(), self.stack.workers.pop());
        self.publish_urls();
        let mut stopped = 0;
        if let Some(mut worker) = worker {
            eventually(TIMEOUT, "the worker reporting its clock", async || {
                anyhow::Ok(worker.process.log().contains("clock wrong").then_some(()))
            })
            .await?;
            ensure!(
                !worker.process.log().contains("consuming"),
                "a worker with a wrong clock consumed messages"
            );
            worker.process.terminate()?;
            worker.process.wait(TIMEOUT).await?;
            stopped += 1;
        }
        sleep(CALL_BEGUN).await;
        if let Some(mut api) = api {
            api.process.terminate()?;
            api.process.wait(TIMEOUT).await?;
            stopped += 1;
        }
        Ok(stopped)
    }
}
