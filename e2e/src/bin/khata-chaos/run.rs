//! A run: a stack under load, with faults, whose history `khata-check` judges.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail, ensure};
use khata_e2e::client::text;
use khata_e2e::{GATEWAYS, Setup, TestStack, eventually};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::{Client, Planned, Target};
use crate::history::History;
use crate::load;
use crate::random::Random;
use crate::receiver::Receiver;
use crate::steps::{disable, set_gateway_account};

/// Shorter than in production, so that a run meets many expired leases; longer than two calls and what a busy machine needs.
pub(crate) const LEASE_SECONDS: u64 = 10;
const WORKER_SETTINGS: &[(&str, &str)] = &[("KHATA_WORKER_LEASE_SECONDS", "10")];
/// Maximum time to an outcome without faults: an outcome that is pending takes 2 s and some polls, and the machine is busy.
const OUTCOME_WITHIN: u64 = 20_000;
/// Maximum time from the end of the load until all validations are completed and all events are delivered: the third attempt
/// of a delivery is more than a minute after the first one, and a lost one counts as lost after 45 s.
const DRAIN: Duration = Duration::from_mins(4);
const DRAIN_OF_MUTANT: Duration = Duration::from_secs(40);
/// Time for which the load goes on after the last fault.
const CALM: Duration = Duration::from_secs(4);
const CLIENTS: usize = 4;
const PAGE_INTERVAL: Duration = Duration::from_millis(250);

/// The settings of a run.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// Gateways of the merchant, in the order of their priority.
    pub(crate) gateways: &'static [&'static str],
    /// Percentage of webhooks whose first attempt fails.
    pub(crate) failing_webhooks: usize,
    /// A deliberate fault of Khata.
    pub(crate) mutant: Option<&'static str>,
}

/// Numbers of the processes and clients with which a run starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) apis: usize,
    pub(crate) workers: usize,
    pub(crate) clients: usize,
}

/// A stack under load.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) stack: TestStack,
    pub(crate) history: History,
    pub(crate) target: Target,
    pub(crate) random: Random,
    pub(crate) receivers: Vec<Receiver>,
    clients: Vec<JoinHandle<Result<()>>>,
    /// The clients begin no further action.
    is_enough: Arc<AtomicBool>,
    reader: JoinHandle<Result<()>>,
    is_over: Arc<AtomicBool>,
    start: Start,
    /// Number of faults so far.
    pub(crate) injected: u64,
    /// Number of processes, connections, calls and rows that they hit.
    pub(crate) hits: u64,
}

impl Drop for Run {
    /// The tasks would go on beside the next run.
    fn drop(&mut self) {
        self.reader.abort();
        for client in &self.clients {
            client.abort();
        }
    }
}

impl Run {
    /// Starts two `khata-api` and two `khata-worker` processes behind proxies, two receivers of webhooks, the reader of the
    /// cursor, and the clients.
    pub(crate) async fn start(start: Start) -> Result<Self> {
        let size = Size {
            apis: 2,
            workers: 2,
            clients: CLIENTS,
        };
        Self::start_with(start, size).await
    }

    /// Starts as many processes and clients behind proxies, two receivers of webhooks, and the reader of the cursor.
    pub(crate) async fn start_with(start: Start, size: Size) -> Result<Self> {
        let setup = Setup {
            workers: 0,
            apis: size.apis,
            proxies: true,
            sandbox_seed: Some(start.seed),
            service_settings: match start.mutant {
                Some(mutant) => Box::leak(Box::new([("KHATA_MUTANT", mutant)])),
                None => &[],
            },
            worker_settings: WORKER_SETTINGS,
            ..Setup::default()
        };
        let mut stack = TestStack::start(setup).await?;
        let path = stack.folder().join("history.jsonl");
        let history = History::create(
            &path,
            json!({"format": 2, "scenario": start.name, "seed": start.seed, "outcome_within": OUTCOME_WITHIN,
                "all_delivered": start.mutant.is_none()}),
        )?;
        set_gateways(&stack, start.gateways)?;
        for _ in 0..size.workers {
            let url = stack.start_worker().await?.url.clone();
            stack.wait_until_ready(&url).await?;
        }
        let target = Target::new(stack.api.clone());
        target.set_urls(stack.apis.iter().map(|api| api.url.clone()).collect());
        let mut receivers = Vec::new();
        for (number, failing) in [(0, 0), (1, start.failing_webhooks)] {
            receivers.push(add_endpoint(&stack, &history, failing, start.seed + number).await?);
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let reader = Client::new(&target, &history, 0);
        let reader = tokio::spawn(read_events(reader, Arc::clone(&is_over)));
        let is_enough = Arc::new(AtomicBool::new(false));
        let clients = (0..size.clients).map(|number| {
            let random = Random::of(start.seed, 1 + number as u64);
            let client = Client::new(&target, &history, number);
            tokio::spawn(load::run(number, client, random, Arc::clone(&is_enough)))
        });
        Ok(Self {
            clients: clients.collect(),
            is_enough,
            stack,
            history,
            target,
            random: Random::of(start.seed, 0),
            receivers,
            reader,
            is_over,
            start,
            injected: 0,
            hits: 0,
        })
    }

    /// Waits for the clients, the outcomes and the deliveries; writes the rows and the ledger; and lets `khata-check` judge.
    /// Returns its line of counts.
    pub(crate) async fn judge(mut self) -> Result<String> {
        tokio::time::sleep(CALM).await;
        self.is_enough.store(true, Ordering::Relaxed);
        let mut failures = Vec::new();
        for client in &mut self.clients {
            failures.extend(client.await?.err());
        }
        let began = Instant::now();
        failures.extend(self.drain().await.err());
        let seconds = began.elapsed().as_secs_f64();
        self.is_over.store(true, Ordering::Relaxed);
        failures.extend((&mut self.reader).await?.err());
        // A run that was not drained has a verdict too: from here on nothing changes.
        self.stack.workers.clear();
        self.receivers.clear();
        let ledger = self.stack.folder().join("ledger");
        let history = self.history.end(&self.stack.database, &ledger)?;
        let verdict = check(&history);
        if failures.is_empty() {
            let verdict = verdict?;
            if self.start.mutant.is_none() {
                // The operator's own check must find nothing either.
                let doctor = self.stack.try_command(&["doctor", "--decrypt-all"])?;
                ensure!(doctor.code == Some(0), "khata doctor: {doctor:?}");
            }
            ensure!(
                self.hits > 0,
                "no fault had an effect: this run proves nothing"
            );
            return Ok(format!("{verdict}; drained in {seconds:.0} s"));
        }
        // The checker's findings say more than the time-out of a wait.
        failures.extend(verdict.err());
        let failures: Vec<String> = failures
            .iter()
            .map(|failure| format!("{failure:#}"))
            .collect();
        Err(Error::msg(failures.join("; ")))
    }

    /// Waits until all validations are completed and all deliveries have ended.
    pub(crate) async fn drain(&self) -> Result<()> {
        let database = &self.stack.database;
        let open = "select (select count(*) from validations where completed_at is null)
            + (select count(*) from webhook_deliveries where state = 'OPEN')";
        let patience = match self.start.mutant {
            // The violation is there already.
            Some(_) => DRAIN_OF_MUTANT,
            None => DRAIN,
        };
        eventually(
            patience,
            "all outcomes and deliveries",
            async || match database.number(open)? {
                0 => Ok(Some(())),
                left => bail!("{left} are open"),
            },
        )
        .await
    }

    /// Returns the folder of the history and the logs.
    pub(crate) fn folder(&self) -> PathBuf {
        self.stack.folder().to_owned()
    }

    /// Returns the scenario and the seed, as the start has them.
    pub(crate) fn start_of(&self) -> &Start {
        &self.start
    }
}

/// Gives the merchant accounts at these gateways only, in this order.
fn set_gateways(stack: &TestStack, names: &[&str]) -> Result<()> {
    for gateway in GATEWAYS {
        if gateway.name == "CASHFREE" && !names.contains(&gateway.name) {
            disable(stack, gateway.name, gateway.reference_id)?;
        }
    }
    for (priority, name) in (1..).zip(names) {
        if *name == "CASHFREE" {
            // Calls to CASHFREE pass through the proxy.
            let url = format!(
                "http://127.0.0.1:{}/cashfree/verification",
                stack.proxies()?.gateway.port()
            );
            let gateway = khata_e2e::SandboxGateway::named(name);
            stack.set_gateway_account(&gateway.account(&url, priority))?;
        } else {
            set_gateway_account(stack, name, priority, &json!({}))?;
        }
    }
    Ok(())
}

async fn add_endpoint(
    stack: &TestStack,
    history: &History,
    failing: usize,
    seed: u64,
) -> Result<Receiver> {
    let id = Arc::new(OnceLock::new());
    let receiver = Receiver::start(history, failing, seed, Arc::clone(&id)).await?;
    let api = &stack.api;
    let request = api.call(Method::POST, "/webhook-endpoints");
    let reply = api
        .send(request.json(&json!({"url": receiver.url})))
        .await?
        .expect_status(200)?
        .json();
    let (endpoint, secret) = (text(&reply, "/id"), text(&reply, "/secret"));
    history.add("endpoint", json!({"id": endpoint, "secret": secret}));
    id.set(endpoint.to_owned()).ok().context("set once")?;
    Ok(receiver)
}

/// Reads the event cursor, page after page, until the run is over and there is nothing more.
async fn read_events(mut client: Client, is_over: Arc<AtomicBool>) -> Result<()> {
    let mut cursor: Option<String> = None;
    // Events become visible when the transactions before them have ended.
    let mut empty_pages = 0;
    while empty_pages < 8 {
        let page = Planned {
            operation: "events",
            customer: String::new(),
            account: cursor.clone(),
            key: None,
            body: Value::Null,
        };
        let was_over = is_over.load(Ordering::Relaxed);
        let reply = client.insist(&page).await?;
        ensure!(reply.status == 200, "the cursor got {}", reply.text);
        let page = reply.json();
        if let Some(next) = page["cursor"].as_str() {
            cursor = Some(next.to_owned());
        }
        let has_more = page["has_more"] == true;
        let is_empty = page["list"].as_array().is_none_or(Vec::is_empty);
        empty_pages = if was_over && is_empty {
            empty_pages + 1
        } else {
            0
        };
        if !has_more {
            tokio::time::sleep(PAGE_INTERVAL).await;
        }
    }
    Ok(())
}

/// Runs `khata-check`. Returns the first line that it prints; its whole output is the error if a rule is violated.
fn check(history: &Path) -> Result<String> {
    let program = std::env::current_exe()?;
    let program = program.with_file_name("khata-check");
    let output = std::process::Command::new(&program)
        .arg(history)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "khata-check {}\n{said}{}",
        history.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let first = said.lines().next().unwrap_or_default();
    Ok(first.split(": ").last().unwrap_or_default().to_owned())
}
