//! `khata-chaos [SCENARIO]…`: produces faults and checks that no account is lost and no rupee is paid twice; all faults if
//! none is named. The scenario `kills` creates accounts while it kills and restarts the worker, RabbitMQ and Postgres of a
//! local stack; each of the others has a stack of its own. `make chaos` runs it.

mod accounts;
mod fairness;
mod faults;
mod report;
mod scenarios;
mod stack;
mod steps;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use khata_e2e::{Api, Behaviour, Sandbox};

use crate::accounts::{Posted, create_all};
use crate::report::{Findings, judge};
use crate::stack::Stack;

const KILLS: &str = "kills";
/// Accounts created while the worker and the broker are killed.
const ACCOUNTS: usize = 1_000;
/// Accounts created while Postgres is killed.
const MORE_ACCOUNTS: usize = 200;
const WORKER_KILLS: usize = 10;
/// Delay of the gateway's responses, so that a kill interrupts open calls.
const GATEWAY_LATENCY_MS: u64 = 100;
const PROGRESS: &str = "  [{bar:40}] {pos} of {len} kills, {elapsed}";
/// Maximum time from the last kill to the last outcome.
const TIMEOUT: Duration = Duration::from_mins(4);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let all = || [KILLS].into_iter().chain(scenarios::NAMES);
    let chosen = if named.is_empty() {
        all().map(str::to_owned).collect()
    } else {
        named
    };
    let mut failed = Vec::new();
    for name in chosen {
        let began = Instant::now();
        let result = if name == KILLS {
            kills().await
        } else {
            scenarios::run(&name).await
        };
        let seconds = began.elapsed().as_secs();
        match result {
            Ok(figures) => println!("  {name:<16} held    {seconds:>4} s  {figures}"),
            Err(error) => {
                println!("  {name:<16} BROKEN  {seconds:>4} s  {error:#}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        println!("khata-chaos: every promise held");
        return ExitCode::SUCCESS;
    }
    println!(
        "khata-chaos: broken; run one again with: make chaos SCENARIO={}",
        failed[0]
    );
    ExitCode::FAILURE
}

async fn kills() -> anyhow::Result<String> {
    let findings = run().await?;
    findings.print();
    anyhow::ensure!(findings.are_good(), "see above");
    Ok("no account lost, none paid twice".to_owned())
}

async fn run() -> anyhow::Result<Findings> {
    let mut stack = Stack::from_environment()?;
    let api = Api::new(stack.get("KHATA_API_URL")?, stack.get("KHATA_API_KEY")?)?;
    let sandbox = Sandbox::new(stack.get("KHATA_SANDBOX_URL")?);
    println!(
        "khata-chaos: {ACCOUNTS} accounts, the worker killed {WORKER_KILLS} times, RabbitMQ once"
    );
    // The first worker may have a long lease; the killed ones must have a short one.
    stack.kill("WORKER")?;
    stack.up().await?;
    sandbox
        .set_behaviour(Behaviour {
            latency_ms: GATEWAY_LATENCY_MS,
            ..Behaviour::default()
        })
        .await?;

    // The stack may have been used before: it has other customers, and drops in the ledger.
    let began = chrono::Utc::now().format("%Y%m%d_%H%M%S");
    // The bar appears on a terminal only.
    let progress = ProgressBar::new(WORKER_KILLS as u64)
        .with_style(ProgressStyle::with_template(PROGRESS)?.progress_chars("=> "));
    let drops_before = sandbox.drops().await?.total;
    let mut findings = Findings::default();
    let mut posted = create_during(&api, format!("chaos_{began}"), ACCOUNTS, async || {
        for kill in 1..=WORKER_KILLS {
            tokio::time::sleep(Duration::from_millis(300 + 137 * kill as u64 % 700)).await;
            stack.kill("WORKER")?;
            *findings.kills.entry("worker").or_default() += 1;
            findings.leases.extend(stack.leases()?);
            if kill == WORKER_KILLS / 2 {
                stack.kill("RABBITMQ")?;
                *findings.kills.entry("RabbitMQ").or_default() += 1;
            }
            stack.up().await?;
            progress.inc(1);
        }
        Ok(())
    })
    .await?;
    progress.finish_and_clear();
    println!("khata-chaos: {MORE_ACCOUNTS} more accounts, Postgres killed once");
    let name = format!("chaos_{began}_postgres");
    let more = create_during(&api, name, MORE_ACCOUNTS, async || {
        tokio::time::sleep(Duration::from_millis(700)).await;
        stack.kill("POSTGRES")?;
        *findings.kills.entry("Postgres").or_default() += 1;
        stack.up().await
    });
    posted.extend(more.await?);
    let quiet = Instant::now();
    sandbox.set_behaviour(Behaviour::default()).await?;
    let until = quiet + TIMEOUT;
    judge(&api, &sandbox, posted, drops_before, until, &mut findings).await?;
    findings.settled_after = quiet.elapsed();
    Ok(findings)
}

/// Creates accounts in the background while `trouble` runs, at an even rate, so that it lasts as long.
async fn create_during(
    api: &Api,
    name: String,
    count: usize,
    trouble: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Posted>> {
    let is_over = Arc::new(AtomicBool::new(false));
    let creating = tokio::spawn(create_all(api.clone(), name, count, Arc::clone(&is_over)));
    let troubled = trouble().await;
    // The remaining accounts are created at once.
    is_over.store(true, Ordering::Relaxed);
    troubled?;
    creating.await.context("creating accounts failed")?
}
