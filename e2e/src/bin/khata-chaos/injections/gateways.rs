//! Faults of the gateways and on the way to them.

use std::time::Instant;

use anyhow::{Context, Result};
use khata_e2e::{Behaviour, Errors, SandboxGateway};
use tokio::time::sleep;

use super::{Effect, Injection, RECOVERED};
use crate::run::Run;
use crate::steps::disable;

impl Run {
    pub(super) async fn set_behaviour(&self, behaviour: Behaviour) -> Result<()> {
        for gateway in self.start_of().gateways {
            let sandbox = &self.stack.sandbox;
            sandbox.set_behaviour_of(gateway, behaviour).await?;
        }
        Ok(())
    }

    /// Returns the number of calls that the merchant's gateways have got so far.
    async fn calls(&self) -> u64 {
        let mut calls = 0;
        for gateway in self.start_of().gateways {
            // A gateway that got no call is not in the sandbox's list.
            let of_it = self.stack.sandbox.calls(gateway).await;
            calls += of_it.map_or(0, |calls| calls.total);
        }
        calls
    }

    /// Hits the calls that the gateways get meanwhile.
    pub(super) async fn disturb_gateways(&mut self, injection: Injection) -> Result<Effect> {
        let behaviour = if injection == Injection::LoseResponses {
            Behaviour {
                reset_rate: 0.25,
                hang_rate: 0.1,
                error_rate: 0.2,
                errors: Errors::Either,
                latency_ms: 50,
                ..Behaviour::default()
            }
        } else {
            Behaviour {
                latency_ms: 2_600 + self.random.below(700) as u64,
                ..Behaviour::default()
            }
        };
        let before = self.calls().await;
        self.set_behaviour(behaviour).await?;
        sleep(self.random.milliseconds(5_000, 9_000)).await;
        let hits = self.calls().await.saturating_sub(before);
        self.set_behaviour(Behaviour::default()).await?;
        Ok(Effect::new(RECOVERED, hits))
    }

    /// Hits the attempts at CASHFREE that have no response when their requests go on.
    pub(super) async fn delay_requests(&mut self) -> Result<Effect> {
        let began = Instant::now();
        self.stack.proxies()?.gateway.hang_open_connections();
        sleep(self.random.milliseconds(4_000, 8_000)).await;
        let hits = self.stack.database.number(&format!(
            "select count(*) from validation_attempts
             where gateway_id = {} and state in ('STARTED', 'UNKNOWN')
               and started_at between now() - {} * interval '1 ms' and now() - interval '1 s'",
            SandboxGateway::named("CASHFREE").id,
            began.elapsed().as_millis()
        ))?;
        self.stack.proxies()?.gateway.thaw();
        Ok(Effect::new(RECOVERED, hits.unsigned_abs()))
    }

    pub(super) async fn disable_gateway(&mut self) -> Result<Effect> {
        let name = self.start_of().gateways.first().context("no gateway")?;
        let gateway = SandboxGateway::named(name);
        disable(&self.stack, gateway.name, gateway.reference_id)?;
        sleep(self.random.milliseconds(6_000, 10_000)).await;
        let account = ["--merchant", "e2e", "--gateway", gateway.name];
        let account = [&account[..], &["--reference-id", gateway.reference_id]].concat();
        self.stack
            .command(&[&["gateway", "enable"], &account[..]].concat())?;
        Ok(Effect::new(RECOVERED, 1))
    }
}
