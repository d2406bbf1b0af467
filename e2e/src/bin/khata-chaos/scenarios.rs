//! The scenarios: one fault or one overload each, in a stack of its own. A scenario returns its figures, and fails if a promise
//! of `docs/reliability.md` is broken.

use anyhow::{Result, bail};

use crate::{fairness, faults};

/// All scenarios, in the order in which they run.
pub(crate) const NAMES: [&str; 15] = [
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

/// Runs a scenario and returns its figures.
pub(crate) async fn run(name: &str) -> Result<String> {
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
        _ => bail!("no scenario {name:?}; name kills, or {}", NAMES.join(", ")),
    }
}
