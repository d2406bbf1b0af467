//! The scenarios, and what each needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::injections::{Injection as I, MIXED, SHORT_IDLE_TRANSACTION};
use crate::random::Random;
use crate::run::{Run, Start};
use crate::servers::Servers;
use crate::{fairness, faults};

/// All gateways that can say what became of a call.
const RECOVERABLE: &[&str] = &["CASHFREE", "RAZORPAY", "DECENTRO"];
const SETU: &[&str] = &["SETU"];
/// A gateway whose outcomes come later than the response to the call.
const WITH_WEBHOOKS: &[&str] = &["RAZORPAY"];

/// A scenario under load: these faults one after another, with pauses between them.
struct Loaded {
    name: &'static str,
    gateways: &'static [&'static str],
    faults: &'static [I],
    /// Percentage of webhooks whose first attempt fails.
    failing_webhooks: usize,
}

const fn at(gateways: &'static [&'static str], name: &'static str, faults: &'static [I]) -> Loaded {
    Loaded {
        name,
        gateways,
        faults,
        failing_webhooks: 6,
    }
}

/// Number of faults of the scenario `mix`, which chooses them by its seed.
const MIXED_FAULTS: usize = 7;
pub(crate) const MIX: &str = "mix";
/// The first word of a result without a run.
pub(crate) const SKIPPED: &str = "skipped";

/// Scenarios under load, the most dangerous first.
const LOADED: &[Loaded] = &[
    at(
        RECOVERABLE,
        "worker-kill",
        &[I::KillWorker, I::KillWorker, I::KillWorker, I::KillWorker],
    ),
    at(RECOVERABLE, "worker-pause", &[I::PauseWorker(60)]),
    at(RECOVERABLE, "frozen-call", &[I::FreezeCalls]),
    at(
        RECOVERABLE,
        "api-kill",
        &[I::KillApi, I::PauseApi, I::KillApi],
    ),
    at(
        RECOVERABLE,
        "postgres-stop",
        &[I::StopPostgres, I::KillPostgres, I::StopPostgres],
    ),
    at(
        RECOVERABLE,
        "postgres-cut",
        &[
            I::ResetPostgres,
            I::KillBackends,
            I::ResetPostgres,
            I::KillBackends,
        ],
    ),
    at(RECOVERABLE, "postgres-hang", &[I::HangPostgres]),
    at(RECOVERABLE, "slow-commits", &[I::SlowCommits]),
    at(RECOVERABLE, "postgres-silent", &[I::SilencePostgres]),
    at(
        RECOVERABLE,
        "idle-transaction",
        &[SHORT_IDLE_TRANSACTION, I::KillWorker],
    ),
    at(
        RECOVERABLE,
        "postgres-failover",
        &[I::AddStandby(false), I::FailOver, I::KillWorker],
    ),
    at(
        RECOVERABLE,
        "disk-full",
        &[I::AddStandby(true), I::FailOver, I::FillDisk],
    ),
    at(RECOVERABLE, "broker-wipe", &[I::WipeBroker, I::KillBroker]),
    at(RECOVERABLE, "broker-cut", &[I::CutBroker, I::HangBroker]),
    at(RECOVERABLE, "queue-full", &[I::FillQueues, I::AlarmBroker]),
    at(
        RECOVERABLE,
        "lost-responses",
        &[I::LoseResponses, I::SlowGateways, I::DelayRequests],
    ),
    at(
        WITH_WEBHOOKS,
        "gateway-webhooks",
        &[I::DisturbWebhooks, I::KillApi, I::DisturbWebhooks],
    ),
    at(SETU, "setu", &[I::LoseResponses, I::KillWorker]),
    Loaded {
        failing_webhooks: 25,
        ..at(
            RECOVERABLE,
            "receivers",
            &[I::ReceiverDown, I::KillWorker, I::ReceiverDown],
        )
    },
    at(
        RECOVERABLE,
        "operator",
        &[
            I::DisableGateway,
            I::RevokeKey,
            I::Migrate,
            I::RestartAll,
            I::RotateKeyring,
        ],
    ),
    at(RECOVERABLE, "clocks", &[I::WrongClocks]),
    at(RECOVERABLE, MIX, &[]),
];

/// Scenarios under load that take long: they run only if they are named.
const LONG: &[Loaded] = &[at(
    RECOVERABLE,
    "idle-ten-minutes",
    &[I::IdleTransaction(600_000, 660_000)],
)];

/// Scenarios with a stack and assertions of their own: one fault or one overload each.
const SINGLE: [&str; 15] = [
    "stop",
    "silent-postgres",
    "late-call",
    "undecided",
    "lost-calls",
    "webhook",
    "clock",
    "replicas",
    "disabled",
    "no-broker",
    "slow-gateway",
    "heavy-calls",
    "full-gateway",
    "short-quota",
    "awaited",
];

/// Returns the names of all scenarios, in the order in which they run.
pub(crate) fn names() -> Vec<&'static str> {
    loaded_names().into_iter().chain(SINGLE).collect()
}

/// Returns the names of the scenarios that run only if they are named.
pub(crate) fn long_names() -> Vec<&'static str> {
    LONG.iter().map(|scenario| scenario.name).collect()
}

/// Returns the names of the scenarios under load, which a seed decides.
pub(crate) fn loaded_names() -> Vec<&'static str> {
    LOADED.iter().map(|scenario| scenario.name).collect()
}

/// Runs a scenario and returns its figures.
pub(crate) async fn run(name: &str, seed: u64) -> Result<String> {
    run_with(name, seed, None).await
}

/// Runs a scenario, with a deliberate fault of Khata if it is one under load.
pub(crate) async fn run_with(
    name: &str,
    seed: u64,
    mutant: Option<&'static str>,
) -> Result<String> {
    let mut loaded = LOADED.iter().chain(LONG);
    if let Some(scenario) = loaded.find(|scenario| scenario.name == name) {
        return run_loaded(scenario, seed, mutant).await;
    }
    match name {
        "stop" => faults::stop().await,
        "silent-postgres" => faults::silent_postgres().await,
        "late-call" => faults::late_call().await,
        "undecided" => faults::undecided().await,
        "lost-calls" => faults::lost_calls().await,
        "webhook" => faults::webhook().await,
        "clock" => faults::clock().await,
        "replicas" => faults::replicas().await,
        "disabled" => faults::disabled().await,
        "no-broker" => faults::no_broker().await,
        "slow-gateway" => fairness::slow_gateway().await,
        "heavy-calls" => fairness::heavy_calls().await,
        "full-gateway" => fairness::full_gateway().await,
        "short-quota" => fairness::short_quota().await,
        "awaited" => fairness::awaited().await,
        _ => bail!("no scenario {name:?}; name one of {}", names().join(", ")),
    }
}

async fn run_loaded(scenario: &Loaded, seed: u64, mutant: Option<&'static str>) -> Result<String> {
    if scenario.faults.contains(&I::AddStandby(true)) && !may_mount() {
        return Ok(format!(
            "{SKIPPED}: this scenario mounts a small file system, and this process may not"
        ));
    }
    let mut random = Random::of(seed, 99);
    let mixed: Vec<I> = (0..MIXED_FAULTS).map(|_| random.pick(MIXED)).collect();
    let faults = if scenario.faults.is_empty() {
        &mixed
    } else {
        scenario.faults
    };
    let mut run = Run::start(Start {
        name: scenario.name,
        seed,
        gateways: scenario.gateways,
        failing_webhooks: scenario.failing_webhooks,
        mutant,
    })
    .await?;
    let folder = run.folder();
    let result = async move {
        for fault in faults {
            tokio::time::sleep(random.milliseconds(1_500, 4_000)).await;
            run.inject(*fault).await?;
        }
        run.judge().await
    }
    .await;
    let removed = remove_spares(scenario.faults).await;
    let result = result.and_then(|figures| removed.map(|()| figures));
    // A deliberate fault that was not found needs its history.
    if result.is_ok() && mutant.is_none() {
        std::fs::remove_dir_all(&folder)?;
        return result;
    }
    let place = match keep(&folder, mutant.unwrap_or(scenario.name), seed) {
        Ok(kept) => format!("history and logs are in {}", kept.display()),
        Err(failure) => format!("history and logs are lost: {failure:#}"),
    };
    match result {
        Ok(figures) => Ok(format!("{figures}; {place}")),
        Err(error) => Err(error.context(place)),
    }
}

/// Starts the servers that these faults may have stopped, and removes those that they added.
async fn remove_spares(faults: &[I]) -> Result<()> {
    if faults.iter().any(|fault| matches!(fault, I::AddStandby(_))) {
        let servers = Servers::from_environment()?;
        servers.start().await?;
        servers.change_standby("remove").await?;
    }
    Ok(())
}

/// Returns whether this process may mount a file system. The one that it mounts ends with the command.
fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "mount", "-t", "tmpfs", "khata", "/mnt"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Moves the folder of a failed run to a place where the next run does not remove it. Returns the place.
fn keep(folder: &Path, name: &str, seed: u64) -> Result<PathBuf> {
    let programs = std::env::current_exe()?;
    let all = programs.with_file_name("chaos");
    std::fs::create_dir_all(&all)?;
    let kept = all.join(format!("{name}-{seed}"));
    if kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    std::fs::rename(folder, &kept)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::{long_names, names};

    #[test]
    fn the_page_has_a_row_of_every_scenario() {
        let page = include_str!("../../../../docs/reliability.md");
        for name in names().into_iter().chain(long_names()) {
            let row = format!("\n| `{name}` | ");
            assert!(page.contains(&row), "docs/reliability.md lacks {name}");
        }
    }
}
