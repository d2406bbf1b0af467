//! One cell: a process starts with a point, a merchant's calls lead it there, and another process goes on.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use khata_e2e::client::text;
use khata_e2e::{Behaviour, Errors, TIMEOUT, Webhook, eventually};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::table::{Action, Cell, Group, Link, Load, Program};
use crate::client::{Client, Planned};
use crate::history::now;
use crate::run::{LEASE_SECONDS, Run};
use crate::steps::open;

/// Seconds for which a process sleeps: past its leases.
const PAUSE: u64 = LEASE_SECONDS + 4;
/// Time for which a server is cut off.
const CUT: Duration = Duration::from_millis(1_500);
/// Maximum time from the end of a fault to the outcomes, in milliseconds: the rest of a lease, a lookup, and a busy machine.
const HEALED: u64 = (LEASE_SECONDS + 25) * 1_000;
/// … if the first calls were lost: lookups with back-off.
const RECOVERED: u64 = 75_000;
/// Time for which an asynchronous verification stays pending, so that its webhook comes between two polls.
const PENDING_MS: u64 = 5_000;
/// Time in which calls that have a replaced process's address reach it.
const UNDER_WAY: Duration = Duration::from_secs(1);

pub(super) struct Trial<'a> {
    pub(super) group: &'a Group,
    pub(super) cell: &'a Cell,
    pub(super) action: Action,
    /// Number of the cell among those of its stack.
    pub(super) number: usize,
    /// Id of the merchant's gateway account.
    pub(super) account: &'a str,
}

impl Trial<'_> {
    /// Tries the cell: returns when every account has its outcome.
    pub(super) async fn run(&self, run: &mut Run) -> Result<()> {
        if self.cell.load == Load::Deliveries {
            run.drain().await?;
        }
        let file = run.folder().join(format!("failpoint-{}", self.number));
        self.start_at_point(run, &file).await?;
        self.set_gateway(run).await?;
        let client = Client::new(&run.target, &run.history, 0);
        let calls = tokio::spawn(call(client, self.number, self.group.is_upi));
        self.lose_calls(run).await?;
        eventually(TIMEOUT, "the point being reached", async || {
            anyhow::Ok(file.exists().then_some(()))
        })
        .await?;
        let reached = std::fs::metadata(&file)?.modified()?;
        let began = reached.duration_since(UNIX_EPOCH)?.as_millis();
        self.act(run, &file).await?;
        let is_of_postgres = self.action == Action::Lose && self.cell.link == Link::Postgres;
        let (program, within) = (self.cell.program, self.within());
        run.history.add(
            "fault",
            json!({"name": format!("{}:{}", self.cell.point, self.action.word()), "began": u64::try_from(began)?,
                "healed": now(), "within": within, "hits": 1,
                "calls_may_fail": program == Program::Api || is_of_postgres,
                "webhooks_may_repeat": program == Program::Worker || is_of_postgres}),
        );
        run.injected += 1;
        run.hits += 1;
        calls.await??;
        let patience = Duration::from_millis(within) + TIMEOUT;
        eventually(patience, "all outcomes", async || {
            anyhow::Ok((open(&run.stack)? == 0).then_some(()))
        })
        .await?;
        self.reset_gateway(run).await
    }

    fn within(&self) -> u64 {
        if self.cell.load == Load::LostCalls {
            RECOVERED
        } else {
            HEALED
        }
    }

    /// Replaces the processes of the program by one with the point. There is a worker in any case.
    async fn start_at_point(&self, run: &mut Run, file: &Path) -> Result<()> {
        let action = match self.action {
            Action::Sleep => format!("sleep:{PAUSE}"),
            Action::Exit | Action::Lose => self.action.word().to_owned(),
        };
        let point = format!("{}:{action}", self.cell.point);
        let file = file.to_string_lossy();
        let settings = [
            ("KHATA_FAILPOINT", point.as_str()),
            ("KHATA_FAILPOINT_FILE", &file),
        ];
        if self.cell.program == Program::Api && run.stack.workers.is_empty() {
            start(run, Program::Worker, &[]).await?;
        }
        let replaced = match self.cell.program {
            Program::Api => std::mem::take(&mut run.stack.apis),
            Program::Worker => std::mem::take(&mut run.stack.workers),
        };
        // A worker without the point would take the accounts, and a client must always have an API.
        if self.cell.program == Program::Api {
            start(run, Program::Api, &settings).await?;
            sleep(UNDER_WAY).await;
        }
        for mut service in replaced {
            service.process.terminate()?;
            service.process.wait(TIMEOUT).await?;
        }
        if self.cell.program == Program::Worker {
            start(run, Program::Worker, &settings).await?;
        }
        Ok(())
    }

    /// Makes the gateway behave as the cell needs.
    async fn set_gateway(&self, run: &Run) -> Result<()> {
        let (sandbox, gateway) = (&run.stack.sandbox, self.group.gateway());
        let behaviour = match self.cell.load {
            Load::Usual | Load::Deliveries => return Ok(()),
            Load::LostCalls => Behaviour {
                error_rate: 1.0,
                errors: Errors::BeforeWork,
                ..Behaviour::default()
            },
            Load::GatewayWebhooks => Behaviour {
                pending_ms: PENDING_MS,
                ..Behaviour::default()
            },
        };
        sandbox.set_behaviour_of(gateway.name, behaviour).await?;
        if self.cell.load == Load::GatewayWebhooks {
            let api = run.stack.apis.last().context("an API runs")?;
            let path = format!("gateways/{}/webhooks", gateway.name.to_lowercase());
            let webhook = Webhook {
                gateway: gateway.name,
                url: format!("{}/{path}/{}", api.url, self.account),
                duplicates: 1,
                out_of_order: true,
                ..Webhook::default()
            };
            sandbox.webhook(&webhook).await?;
        }
        Ok(())
    }

    /// Lets the gateway work again once a response was lost.
    async fn lose_calls(&self, run: &Run) -> Result<()> {
        if self.cell.load != Load::LostCalls {
            return Ok(());
        }
        let lost = "select count(*) from validation_attempts where state = 'UNKNOWN'";
        eventually(TIMEOUT, "a lost call", async || {
            anyhow::Ok((run.stack.database.number(lost)? > 0).then_some(()))
        })
        .await?;
        self.reset_gateway(run).await
    }

    async fn reset_gateway(&self, run: &Run) -> Result<()> {
        let (sandbox, gateway) = (&run.stack.sandbox, self.group.gateway().name);
        let default = Behaviour::default();
        sandbox.set_behaviour_of(gateway, default).await
    }

    /// Does what the action says, and lets another process go on.
    async fn act(&self, run: &mut Run, file: &Path) -> Result<()> {
        let program = self.cell.program;
        match self.action {
            Action::Exit => {
                let services = match program {
                    Program::Api => &mut run.stack.apis,
                    Program::Worker => &mut run.stack.workers,
                };
                let mut service = services.pop().context("the process with the point")?;
                let status = service.process.wait(TIMEOUT).await?;
                ensure!(!status.success(), "the process ended in an orderly way");
                start(run, program, &[]).await
            }
            Action::Sleep => {
                start(run, program, &[]).await?;
                // From the moment at which the point was reached, and a little longer.
                let slept = std::fs::metadata(file)?.modified()?.elapsed()?;
                sleep(Duration::from_secs(PAUSE + 1).saturating_sub(slept)).await;
                Ok(())
            }
            Action::Lose => self.cut(run, file).await,
        }
    }

    /// Cuts the link of the point, and lets the process go on, which finds the link cut.
    async fn cut(&self, run: &Run, file: &Path) -> Result<()> {
        let proxies = run.stack.proxies()?;
        let proxy = match self.cell.link {
            Link::Postgres => Some(&proxies.postgres),
            Link::Broker => Some(&proxies.broker),
            Link::Gateway => Some(&proxies.gateway),
            Link::Receivers => None,
        };
        let set_receivers = |is_down| {
            for receiver in &run.receivers {
                receiver.is_down.store(is_down, Ordering::Relaxed);
            }
        };
        match proxy {
            Some(proxy) => proxy.cut(),
            None => set_receivers(true),
        }
        std::fs::write(lost_file(file), "")?;
        sleep(CUT).await;
        match proxy {
            Some(proxy) => proxy.restore(),
            None => set_receivers(false),
        }
        Ok(())
    }
}

/// Returns the file for which the process waits: its connection is lost.
fn lost_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".lost");
    name.into()
}

/// Starts a process, and sends the clients to it if it is an API.
async fn start(run: &mut Run, program: Program, settings: &[(&str, &str)]) -> Result<()> {
    let service = match program {
        Program::Api => run.stack.start_api_with(settings).await?,
        Program::Worker => run.stack.start_worker_with(settings).await?,
    };
    let url = service.url.clone();
    run.stack.wait_until_ready(&url).await?;
    if program == Program::Api {
        run.target.set_urls(vec![url]);
    }
    Ok(())
}

/// Creates accounts, validates one of them again, makes both calls once more under their keys, and lists the accounts.
async fn call(mut client: Client, number: usize, is_upi: bool) -> Result<()> {
    let customer = format!("cell_{number}");
    let create = Planned {
        operation: "create",
        customer: customer.clone(),
        account: None,
        key: Some(format!("create-{number}")),
        body: if is_upi {
            addresses(number)
        } else {
            banks(number)
        },
    };
    let accounts = client.insist(&create).await?.accounts()?;
    client.insist(&create).await?;
    let account = accounts.first().context("no account")?;
    let validate = Planned {
        operation: "validate",
        account: Some(text(account, "/id").to_owned()),
        key: Some(format!("validate-{number}")),
        body: json!({"fresh": true, "wait_seconds": 0}),
        ..create
    };
    client.insist(&validate).await?;
    client.insist(&validate).await?;
    client.insist(&Planned::list(&customer)).await?;
    Ok(())
}

/// Bank accounts: valid, pending and then valid, pending and then invalid, unknown (sandbox/README.md).
fn banks(number: usize) -> Value {
    let endings = ["10000001", "99009911", "99009912", "99009931"];
    let account = |(item, ending): (usize, &str)| json!({"account_number": format!("70{number:03}{item}{ending}"), "ifsc": "AABF0008032"});
    let accounts: Vec<Value> = endings.into_iter().enumerate().map(account).collect();
    json!({ "bank_account_details": accounts })
}

/// UPI addresses of payees who consented, so that their validation moves a rupee: valid, valid, unknown.
fn addresses(number: usize) -> Value {
    let endings = ["10000001", "10000002", "99009931"];
    let address =
        |(item, ending): (usize, &str)| json!({"vpa": format!("u{number:03}{item}{ending}@upi")});
    let addresses: Vec<Value> = endings.into_iter().enumerate().map(address).collect();
    json!({"upi_details": addresses,
        "consent": {"obtained": true, "purpose": "payouts", "timestamp": "2026-01-01T00:00:00Z"}})
}
