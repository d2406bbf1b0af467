//! The faults that a scenario injects into a run.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use khata_e2e::{Behaviour, Errors, SandboxGateway, Signal, TIMEOUT, send};
use tokio::time::sleep;

use crate::history::now;
use crate::run::{LEASE_SECONDS, Run};
use crate::servers::Servers;
use crate::steps::disable;

/// A fault, or a change by an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Injection {
    KillWorker,
    /// SIGSTOP for this many seconds, then SIGCONT.
    PauseWorker(u64),
    /// A worker is paused beyond its lease while its calls are open, and then gets the responses.
    FreezeCalls,
    KillApi,
    PauseApi,
    /// New processes start, then the old ones get SIGTERM.
    RestartAll,
    KillPostgres,
    /// Postgres's immediate shutdown: SIGQUIT.
    StopPostgres,
    KillBackends,
    /// Connections to Postgres are reset again and again, around their COMMITs among other moments.
    ResetPostgres,
    /// Open connections to Postgres stay silent and acknowledge everything.
    SilencePostgres,
    /// A transaction that writes stays idle.
    IdleTransaction,
    KillBroker,
    WipeBroker,
    CutBroker,
    HangBroker,
    /// Calls are reset or never answered after the gateway did the work, or fail before or after it.
    LoseResponses,
    /// Responses take about as long as the worker waits.
    SlowGateways,
    /// Requests to the first gateway wait on their way, and arrive after the worker has given up.
    DelayRequests,
    DisableGateway,
    ReceiverDown,
    RotateKeyring,
}

use Injection as I;

/// Maximum time, in milliseconds, after which everything works again: a reconnection, and the next step of validations.
const RECONNECTED: u64 = 20_000;
/// … the rest of a lease, a lookup, and a debug build's start.
const RESCUED: u64 = (LEASE_SECONDS + 25) * 1_000;
/// … lookups of lost calls, with back-off, and a circuit that closes again.
const RECOVERED: u64 = 75_000;

/// Faults of which [`Run::inject`] chooses in a mixed run: those that last some seconds.
pub(crate) const MIXED: &[Injection] = &[
    I::KillWorker,
    I::KillWorker,
    I::PauseWorker(15),
    I::FreezeCalls,
    I::KillApi,
    I::PauseApi,
    I::RestartAll,
    I::StopPostgres,
    I::KillBackends,
    I::ResetPostgres,
    I::SilencePostgres,
    I::IdleTransaction,
    I::KillBroker,
    I::WipeBroker,
    I::CutBroker,
    I::LoseResponses,
    I::SlowGateways,
    I::DelayRequests,
    I::DisableGateway,
    I::ReceiverDown,
];

impl Injection {
    /// Returns whether calls of the API may fail meanwhile. While old processes stop, a client may still have their addresses.
    fn stops_calls(self) -> bool {
        matches!(
            self,
            I::KillApi
                | I::PauseApi
                | I::RestartAll
                | I::RotateKeyring
                | I::KillPostgres
                | I::StopPostgres
                | I::KillBackends
                | I::ResetPostgres
                | I::SilencePostgres
        )
    }
}

impl Run {
    /// Injects the fault, heals it, and records both.
    pub(crate) async fn inject(&mut self, injection: Injection) -> Result<()> {
        let began = now();
        let within = match injection {
            I::KillWorker => self.kill_worker().await?,
            I::PauseWorker(seconds) => self.pause_worker(seconds).await?,
            I::FreezeCalls => self.freeze_calls().await?,
            I::KillApi => self.kill_api().await?,
            I::PauseApi => self.pause_api().await?,
            I::RestartAll => self.restart_all().await?,
            I::KillPostgres => self.restart_server("POSTGRES", Signal::KILL).await?,
            I::StopPostgres => self.restart_server("POSTGRES", Signal::QUIT).await?,
            I::KillBroker => self.restart_server("RABBITMQ", Signal::KILL).await?,
            I::WipeBroker => {
                Servers::from_environment()?.wipe_broker().await?;
                RECONNECTED
            }
            I::KillBackends | I::ResetPostgres => self.reset_connections(injection).await?,
            I::SilencePostgres => {
                self.stack.proxies()?.postgres.hang_open_connections();
                sleep(Duration::from_secs(15)).await;
                self.stack.proxies()?.postgres.restore();
                RECONNECTED
            }
            I::IdleTransaction => self.idle_transaction().await?,
            I::CutBroker | I::HangBroker => self.lose_broker(injection).await?,
            I::LoseResponses | I::SlowGateways => self.disturb_gateways(injection).await?,
            I::DelayRequests => self.delay_requests().await?,
            I::DisableGateway => self.disable_gateway().await?,
            I::ReceiverDown => {
                let receiver = &self.receivers[1];
                receiver.is_down.store(true, Ordering::Relaxed);
                sleep(self.random.milliseconds(3_000, 7_000)).await;
                receiver.is_down.store(false, Ordering::Relaxed);
                0
            }
            I::RotateKeyring => self.rotate_keyring().await?,
        };
        let name = format!("{injection:?}");
        self.history
            .fault(&name, began, within, injection.stops_calls());
        Ok(())
    }

    async fn kill_worker(&mut self) -> Result<u64> {
        let place = self.random.below(self.stack.workers.len());
        self.stack.workers.remove(place).process.kill()?;
        sleep(self.random.milliseconds(0, 1_500)).await;
        self.start_worker().await?;
        Ok(RESCUED)
    }

    async fn start_worker(&mut self) -> Result<()> {
        let url = self.stack.start_worker().await?.url.clone();
        self.stack.wait_until_ready(&url).await
    }

    async fn pause_worker(&mut self, seconds: u64) -> Result<u64> {
        let place = self.random.below(self.stack.workers.len());
        let pid = self.stack.workers[place].process.pid();
        send(Signal::STOP, pid)?;
        sleep(Duration::from_secs(seconds)).await;
        send(Signal::CONT, pid)?;
        Ok(RESCUED)
    }

    async fn freeze_calls(&mut self) -> Result<u64> {
        let slow = Behaviour {
            latency_ms: 900,
            ..Behaviour::default()
        };
        self.set_behaviour(slow).await?;
        sleep(Duration::from_secs(2)).await;
        let within = self.pause_worker(LEASE_SECONDS + 6).await?;
        self.set_behaviour(Behaviour::default()).await?;
        Ok(within)
    }

    async fn set_behaviour(&self, behaviour: Behaviour) -> Result<()> {
        for gateway in self.start_of().gateways {
            let sandbox = &self.stack.sandbox;
            sandbox.set_behaviour_of(gateway, behaviour).await?;
        }
        Ok(())
    }

    /// Gives the clients the addresses of the API.
    fn publish_urls(&self) {
        let urls = self.stack.apis.iter().map(|api| api.url.clone());
        self.target.set_urls(urls.collect());
    }

    async fn start_api(&mut self) -> Result<()> {
        let url = self.stack.start_api().await?.url.clone();
        self.stack.wait_until_ready(&url).await?;
        self.publish_urls();
        Ok(())
    }

    async fn kill_api(&mut self) -> Result<u64> {
        let place = self.random.below(self.stack.apis.len());
        let mut api = self.stack.apis.remove(place);
        api.process.kill()?;
        self.publish_urls();
        self.start_api().await?;
        Ok(5_000)
    }

    async fn pause_api(&mut self) -> Result<u64> {
        let place = self.random.below(self.stack.apis.len());
        let pid = self.stack.apis[place].process.pid();
        send(Signal::STOP, pid)?;
        sleep(self.random.milliseconds(4_000, 10_000)).await;
        send(Signal::CONT, pid)?;
        Ok(10_000)
    }

    async fn restart_all(&mut self) -> Result<u64> {
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
        Ok(RESCUED)
    }

    async fn restart_server(&mut self, name: &str, signal: Signal) -> Result<u64> {
        let servers = Servers::from_environment()?;
        servers.signal(name, signal)?;
        sleep(self.random.milliseconds(300, 2_000)).await;
        servers.start().await?;
        Ok(RECONNECTED)
    }

    async fn reset_connections(&mut self, injection: Injection) -> Result<u64> {
        for _ in 0..8 {
            if injection == I::ResetPostgres {
                self.stack.proxies()?.postgres.restore();
            } else {
                self.kill_backends()?;
            }
            sleep(self.random.milliseconds(40, 700)).await;
        }
        Ok(RECONNECTED)
    }

    /// Ends every backend of the services. A role may end only its own.
    fn kill_backends(&self) -> Result<()> {
        for role in ["khata_api", "khata_worker"] {
            let mut url = self.stack.database.url.clone();
            url.set_username(role)
                .ok()
                .context("a URL without a user")?;
            PgConnection::establish(url.as_str())?.batch_execute(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and usename = current_user and pid <> pg_backend_pid()",
            )?;
        }
        Ok(())
    }

    async fn idle_transaction(&mut self) -> Result<u64> {
        let mut connection = self.stack.database.connect()?;
        connection.batch_execute("begin; select pg_current_xact_id()")?;
        sleep(self.random.milliseconds(8_000, 15_000)).await;
        connection.batch_execute("rollback")?;
        Ok(5_000)
    }

    async fn lose_broker(&mut self, injection: Injection) -> Result<u64> {
        let broker = &self.stack.proxies()?.broker;
        if injection == I::CutBroker {
            broker.cut();
        } else {
            broker.hang();
        }
        sleep(self.random.milliseconds(4_000, 9_000)).await;
        broker.restore();
        Ok(RECONNECTED)
    }

    async fn disturb_gateways(&mut self, injection: Injection) -> Result<u64> {
        let behaviour = if injection == I::LoseResponses {
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
        self.set_behaviour(behaviour).await?;
        sleep(self.random.milliseconds(5_000, 9_000)).await;
        self.set_behaviour(Behaviour::default()).await?;
        Ok(RECOVERED)
    }

    async fn delay_requests(&mut self) -> Result<u64> {
        let gateway = &self.stack.proxies()?.gateway;
        gateway.hang_open_connections();
        sleep(self.random.milliseconds(4_000, 8_000)).await;
        gateway.thaw();
        Ok(RECOVERED)
    }

    async fn disable_gateway(&mut self) -> Result<u64> {
        let name = self.start_of().gateways.first().context("no gateway")?;
        let gateway = SandboxGateway::named(name);
        disable(&self.stack, gateway.name, gateway.reference_id)?;
        sleep(self.random.milliseconds(6_000, 10_000)).await;
        let account = ["--merchant", "e2e", "--gateway", gateway.name];
        let account = [&account[..], &["--reference-id", gateway.reference_id]].concat();
        self.stack
            .command(&[&["gateway", "enable"], &account[..]].concat())?;
        Ok(RECOVERED)
    }

    /// Adds a key, makes it the primary one and re-encrypts everything, with the restarts that docs/security.md asks for.
    async fn rotate_keyring(&mut self) -> Result<u64> {
        let file = self.stack.keyring_file().to_string_lossy().into_owned();
        for step in ["add", "promote"] {
            self.stack
                .command(&["keyring", step, "--output", &file, "--force"])?;
            self.restart_all().await?;
        }
        self.stack.command(&["keyring", "rotate"])?;
        Ok(RESCUED)
    }
}
