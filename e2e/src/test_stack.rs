//! One test's own stack: a database, queues, keys, a merchant, and the real programs. Dropping it removes everything.

mod commands;
mod services;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Url;

use crate::client::{Api, install_tls};
use crate::database::Database;
use crate::deadline::{TIMEOUT, eventually};
use crate::folder::make_folder;
use crate::machine::MachineShare;
use crate::merchant::create_merchant;
use crate::process::Process;
use crate::proxies::{Proxies, Servers};
use crate::queues::Queues;
use crate::sandbox::Sandbox;
use crate::service::Service;
use crate::settings::{KEYRING, Settings, settings};
use crate::setup::Setup;
use crate::traces::Traces;

/// A test's own stack.
// Fields are dropped in this order: users first, then the servers that they use.
#[derive(Debug)]
pub struct TestStack {
    /// Running `khata-api` processes.
    pub apis: Vec<Service>,
    /// Running `khata-worker` processes.
    pub workers: Vec<Service>,
    programs: Vec<Process>,
    proxies: Option<Proxies>,
    /// Client of the merchant at the first `khata-api`.
    pub api: Api,
    pub sandbox: Sandbox,
    traces: Option<Traces>,
    pub queues: Queues,
    pub database: Database,
    folder: PathBuf,
    services: Settings,
    /// URL of the database for the services, through the proxy if there is one.
    postgres: Url,
    worker_settings: Settings,
    started: u32,
    _machine: MachineShare,
}

impl TestStack {
    /// Starts a stack and waits until it is ready.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        install_tls();
        let broker: Url = std::env::var("KHATA_TEST_AMQP_URL")
            .context("KHATA_TEST_AMQP_URL is not set: the end-to-end tests need a RabbitMQ; run them with `make test`")?
            .parse()
            .context("KHATA_TEST_AMQP_URL is not a URL")?;
        let machine = MachineShare::take(setup.alone).await;
        let database = Database::create()?;
        let folder = make_folder()?;
        eprintln!("the logs of this test are in {}", folder.display());
        let queues = Queues::create();

        let (sandbox_program, sandbox) = Sandbox::start(&folder, setup.sandbox_seed).await?;
        let mut programs = vec![sandbox_program];
        let (mut traces, mut collector) = (None, None);
        if setup.traces {
            let (program, viewer, otlp) = Traces::start(&folder).await?;
            programs.push(program);
            (traces, collector) = (Some(viewer), Some(otlp));
        }
        let mut servers = Servers {
            postgres: database.url.clone(),
            broker,
            gateway: sandbox.cashfree().parse()?,
            collector,
        };
        let proxies = setup.proxies.then(|| Proxies::start(&mut servers));
        let proxies = proxies.transpose()?;
        let keyring = folder.join(KEYRING);
        let mut services = settings(&[
            ("KHATA_KEYRING_FILE", &keyring.to_string_lossy()),
            ("KHATA_SANDBOX_MODE", "true"),
            ("KHATA_QUEUE_PREFIX", queues.prefix()),
            ("KHATA_LOG", setup.log),
            // Several services run on this machine.
            ("KHATA_METRICS_LISTEN", "127.0.0.1:0"),
            ("KHATA_TRACES_PER_SECOND", "100000"),
        ]);
        if let Some(url) = &servers.collector {
            services.extend(settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())]));
        }
        services.extend(settings(setup.service_settings));
        let key = create_merchant(
            &folder,
            &services,
            &database,
            servers.gateway.as_str(),
            setup.call_timeout_ms,
        )?;
        services.extend(settings(&[("KHATA_AMQP_URL", servers.broker.as_str())]));
        let mut stack = Self {
            apis: Vec::new(),
            workers: Vec::new(),
            programs,
            proxies,
            api: Api::new("http://127.0.0.1:1", &key)?,
            sandbox,
            traces,
            queues,
            database,
            folder,
            services,
            postgres: servers.postgres,
            worker_settings: settings(setup.worker_settings),
            started: 0,
            _machine: machine,
        };
        for _ in 0..setup.apis {
            stack.start_api().await?;
        }
        for _ in 0..setup.workers {
            stack.start_worker().await?;
        }
        for service in stack.apis.iter().chain(&stack.workers) {
            stack.wait_until_ready(&service.url).await?;
        }
        Ok(stack)
    }

    /// Waits until a service reports that it is ready.
    pub async fn wait_until_ready(&self, url: &str) -> anyhow::Result<()> {
        let service = Api::new(url, "")?;
        eventually(TIMEOUT, &format!("{url} being ready"), async || {
            let reply = service.get_path("/health/ready").await?;
            anyhow::Ok(reply.expect_status(200).map(|_| Some(()))?)
        })
        .await
    }

    /// Returns the merchant's client at the `khata-api` with this index in `apis`.
    pub fn api_at(&self, index: usize) -> Api {
        self.api.at(&self.apis[index].url)
    }

    pub fn proxies(&self) -> anyhow::Result<&Proxies> {
        let proxies = self.proxies.as_ref();
        proxies.context("this stack has no proxies: see Setup")
    }

    pub fn traces(&self) -> anyhow::Result<&Traces> {
        let traces = self.traces.as_ref();
        traces.context("this stack has no trace viewer: see Setup")
    }

    /// Returns the folder of the stack's files and logs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until no account has one of these statuses.
    pub async fn wait_until_none_is(
        &self,
        statuses: &[&str],
        patience: Duration,
    ) -> anyhow::Result<()> {
        let list = statuses.join("', '");
        let query = format!("select count(*) from customer_accounts where status in ('{list}')");
        let what = format!("no account being {}", statuses.join(" or "));
        eventually(patience, &what, async || {
            match self.database.number(&query)? {
                0 => Ok(Some(())),
                left => bail!("{left} accounts are"),
            }
        })
        .await
    }

    /// Returns the number of accounts with this status.
    pub fn count(&self, status: &str) -> anyhow::Result<i64> {
        let query = format!("select count(*) from customer_accounts where status = '{status}'");
        self.database.number(&query)
    }
}

impl Drop for TestStack {
    fn drop(&mut self) {
        self.apis.clear();
        self.workers.clear();
        self.programs.clear();
    }
}
