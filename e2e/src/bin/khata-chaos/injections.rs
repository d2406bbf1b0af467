//! The faults that a scenario injects into a run.

mod broker;
mod clocks;
mod failover;
mod gateways;
mod migration;
mod postgres;
mod processes;
mod webhooks;

use std::sync::atomic::Ordering;

use anyhow::Result;
use khata_e2e::Signal;
use serde_json::json;
use tokio::time::sleep;

use crate::history::now;
use crate::random::Random;
use crate::run::{LEASE_SECONDS, Run};
use crate::servers::Servers;

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
    /// Connections to Postgres pass nothing on for longer than a caller waits, and then go on.
    HangPostgres,
    /// COMMITs that store accounts take longer than a caller waits, and succeed.
    SlowCommits,
    /// Open connections to Postgres stay silent and acknowledge everything.
    SilencePostgres,
    /// A transaction that writes stays idle for this range of milliseconds.
    IdleTransaction(u64, u64),
    /// Postgres gets a synchronous standby; its file system is small (true) or not.
    AddStandby(bool),
    /// The primary is killed while COMMITs wait for the standby, which takes its place.
    FailOver,
    /// The file system of a small standby that took the primary's place is full.
    FillDisk,
    /// Two steps of the schema are taken back and run again, while a lock is held.
    Migrate,
    KillBroker,
    WipeBroker,
    CutBroker,
    HangBroker,
    /// RabbitMQ's memory alarm.
    AlarmBroker,
    /// RabbitMQ's queues are full, and no worker runs.
    FillQueues,
    /// One more replica of the API and one more worker, ten minutes ahead, then ten minutes behind.
    WrongClocks,
    /// Calls are reset or never answered after the gateway did the work, or fail before or after it.
    LoseResponses,
    /// Responses take about as long as the worker waits.
    SlowGateways,
    /// Requests to the first gateway wait on their way, and arrive after the worker has given up.
    DelayRequests,
    /// A gateway's webhooks are lost, doubled, late, out of order and forged.
    DisturbWebhooks,
    DisableGateway,
    ReceiverDown,
    RotateKeyring,
    /// The merchant takes a new API key, and the old one is revoked.
    RevokeKey,
}

use Injection as I;

/// Maximum time, in milliseconds, after which everything works again: a reconnection, and the next step of validations.
const RECONNECTED: u64 = 20_000;
/// … the rest of a lease, a lookup, and a debug build's start.
const RESCUED: u64 = (LEASE_SECONDS + 25) * 1_000;
/// … lookups of lost calls, with back-off, and a circuit that closes again.
const RECOVERED: u64 = 75_000;

pub(crate) const SHORT_IDLE_TRANSACTION: Injection = I::IdleTransaction(8_000, 15_000);

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
    I::HangPostgres,
    I::SlowCommits,
    I::SilencePostgres,
    SHORT_IDLE_TRANSACTION,
    I::KillBroker,
    I::WipeBroker,
    I::CutBroker,
    I::FillQueues,
    I::AlarmBroker,
    I::LoseResponses,
    I::SlowGateways,
    I::DelayRequests,
    I::DisableGateway,
    I::ReceiverDown,
    I::RevokeKey,
];

/// Number of times that a fault is produced until it has an effect.
const TRIES: usize = 3;
/// The generator of the first fault; those before belong to other parts of a run.
const FIRST_FAULT: u64 = 100;

/// The effect of a fault.
struct Effect {
    /// Maximum time after its end within which everything works again, in milliseconds.
    within: u64,
    /// Number of processes, connections, calls or rows that it hit; 0: it had no effect.
    hits: u64,
}

impl Effect {
    const fn new(within: u64, hits: u64) -> Self {
        Self { within, hits }
    }
}

impl Injection {
    /// Returns whether calls of the API may fail meanwhile. While old processes stop, a client may still have their addresses.
    fn stops_calls(self) -> bool {
        matches!(
            self,
            I::KillApi | I::PauseApi | I::RestartAll | I::RotateKeyring | I::SlowCommits
        ) || self.stops_postgres()
    }

    /// Returns whether results of webhooks may be lost meanwhile. A worker that gets SIGTERM stores them before it ends.
    fn loses_webhook_results(self) -> bool {
        matches!(self, I::KillWorker | I::PauseWorker(_) | I::FreezeCalls) || self.stops_postgres()
    }

    fn stops_postgres(self) -> bool {
        matches!(
            self,
            I::KillPostgres
                | I::StopPostgres
                | I::KillBackends
                | I::ResetPostgres
                | I::HangPostgres
                | I::SilencePostgres
                | I::FailOver
                | I::FillDisk
        )
    }
}

impl Run {
    /// Injects the fault, heals it, and records both; again if it had no effect.
    pub(crate) async fn inject(&mut self, injection: Injection) -> Result<()> {
        // A generator of its own: repetitions must not change the faults after it.
        self.random = Random::of(self.start_of().seed, FIRST_FAULT + self.injected);
        self.injected += 1;
        for _ in 0..TRIES {
            let began = now();
            let Effect { within, hits } = self.produce(injection).await?;
            self.history.add(
                "fault",
                json!({"name": format!("{injection:?}"), "began": began, "healed": now(), "within": within,
                    "calls_may_fail": injection.stops_calls(),
                    "webhooks_may_repeat": injection.loses_webhook_results(), "hits": hits}),
            );
            self.hits += hits;
            if hits > 0 {
                break;
            }
        }
        Ok(())
    }

    async fn produce(&mut self, injection: Injection) -> Result<Effect> {
        match injection {
            I::KillWorker => self.kill_worker().await,
            I::PauseWorker(seconds) => self.pause_worker(seconds).await,
            I::FreezeCalls => self.freeze_calls().await,
            I::KillApi => self.kill_api().await,
            I::PauseApi => self.pause_api().await,
            I::RestartAll => self.restart_all().await,
            I::KillPostgres => self.restart_server("POSTGRES", Signal::KILL).await,
            I::StopPostgres => self.restart_server("POSTGRES", Signal::QUIT).await,
            I::KillBroker => self.restart_server("RABBITMQ", Signal::KILL).await,
            I::WipeBroker => {
                Servers::from_environment()?.wipe_broker().await?;
                Ok(Effect::new(RECONNECTED, 1))
            }
            I::KillBackends => self.kill_backends().await,
            I::ResetPostgres => self.reset_postgres().await,
            I::HangPostgres => self.hang_postgres().await,
            I::SlowCommits => self.slow_commits().await,
            I::SilencePostgres => self.silence_postgres().await,
            I::IdleTransaction(from, to) => self.idle_transaction(from, to).await,
            I::AddStandby(is_small) => self.add_standby(is_small).await,
            I::FailOver => self.fail_over().await,
            I::FillDisk => self.fill_disk().await,
            I::Migrate => self.migrate().await,
            I::AlarmBroker => self.alarm_broker().await,
            I::FillQueues => self.fill_queues().await,
            I::WrongClocks => self.wrong_clocks().await,
            I::CutBroker | I::HangBroker => self.lose_broker(injection).await,
            I::LoseResponses | I::SlowGateways => self.disturb_gateways(injection).await,
            I::DelayRequests => self.delay_requests().await,
            I::DisturbWebhooks => self.disturb_webhooks().await,
            I::DisableGateway => self.disable_gateway().await,
            I::ReceiverDown => self.stop_receiver().await,
            I::RotateKeyring => self.rotate_keyring().await,
            I::RevokeKey => self.revoke_key().await,
        }
    }

    async fn restart_server(&mut self, name: &str, signal: Signal) -> Result<Effect> {
        let servers = Servers::from_environment()?;
        servers.signal(name, signal)?;
        sleep(self.random.milliseconds(300, 2_000)).await;
        servers.start().await?;
        Ok(Effect::new(RECONNECTED, 1))
    }

    async fn stop_receiver(&mut self) -> Result<Effect> {
        let receiver = &self.receivers[1];
        let before = receiver.refused.load(Ordering::Relaxed);
        receiver.is_down.store(true, Ordering::Relaxed);
        sleep(self.random.milliseconds(3_000, 7_000)).await;
        receiver.is_down.store(false, Ordering::Relaxed);
        let refused = receiver.refused.load(Ordering::Relaxed) - before;
        Ok(Effect::new(0, refused))
    }
}
