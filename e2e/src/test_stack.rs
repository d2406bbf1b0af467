//! One test's own stack: a database, queues, keys, a merchant, and the real programs around them. Everything is taken
//! down again when it is dropped.

mod moved;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::Url;

use crate::client::Api;
use crate::database::Database;
use crate::deadline::{PATIENCE, eventually};
use crate::folder::make_folder;
use crate::machine::MachineShare;
use crate::merchant::{
    GatewayAccount, add_gateway, admin_json, issue_key, make_merchant, write_private,
};
use crate::process::{self, Process, Ran};
use crate::proxy::Proxy;
use crate::queues::Queues;
use crate::sandbox::Sandbox;
use crate::setup::Setup;
use crate::traces::Traces;

pub(crate) const KEYRING: &str = "keyring.json";

/// A running service and where it listens.
#[derive(Debug)]
pub struct Service {
    /// The process.
    pub process: Process,
    /// `http://127.0.0.1:<port>`
    pub url: String,
    /// Where Prometheus reads it: `127.0.0.1:<port>`
    pub metrics: String,
}

/// The proxies of a world.
#[derive(Debug)]
pub struct Proxies {
    /// Between the services and Postgres.
    pub postgres: Proxy,
    /// Between the services and RabbitMQ.
    pub broker: Proxy,
    /// Between the workers and the gateway sandbox.
    pub gateway: Proxy,
    /// Between the services and the trace viewer, where there is one.
    pub collector: Option<Proxy>,
}

/// A test's own stack.
// Fields are dropped in this order: first who uses, then what is used.
#[derive(Debug)]
pub struct World {
    /// Running `khata-api` processes.
    pub apis: Vec<Service>,
    /// Running `khata-worker` processes.
    pub workers: Vec<Service>,
    programs: Vec<Process>,
    proxies: Option<Proxies>,
    /// The merchant's client at the first `khata-api`.
    pub api: Api,
    /// The gateway sandbox.
    pub sandbox: Sandbox,
    traces: Option<Traces>,
    /// The test's own queues.
    pub queues: Queues,
    /// The test's own database.
    pub database: Database,
    folder: PathBuf,
    services: Vec<(String, String)>,
    worker_settings: Vec<(String, String)>,
    started: u32,
    _machine: MachineShare,
}

impl World {
    /// Starts a stack and waits until it is ready.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        crate::install_tls();
        let amqp: Url = std::env::var("KHATA_TEST_AMQP_URL")
            .context("KHATA_TEST_AMQP_URL is not set: the end-to-end tests need a RabbitMQ of their own; run them through `make test`")?
            .parse()
            .context("KHATA_TEST_AMQP_URL is not a URL")?;
        let machine = MachineShare::take(setup.alone).await;
        let database = Database::create()?;
        let folder = make_folder()?;
        eprintln!("the logs of this test are in {}", folder.display());
        let prefix = format!("e2e_{}", uuid::Uuid::new_v4().simple());
        let queues = Queues::new(amqp.as_str(), &prefix);

        let (sandbox_program, sandbox) = start_sandbox(&folder).await?;
        let mut programs = vec![sandbox_program];
        let mut services = settings(&[
            (
                "KHATA_KEYRING_FILE",
                &folder.join(KEYRING).to_string_lossy(),
            ),
            ("KHATA_SANDBOX_MODE", "true"),
            ("KHATA_QUEUE_PREFIX", &prefix),
            ("KHATA_LOG", setup.log),
            // Several run on this machine.
            ("KHATA_METRICS_LISTEN", "127.0.0.1:0"),
            ("KHATA_TRACES_PER_SECOND", "100000"),
        ]);
        let (traces, otlp) = if setup.traces {
            let (program, traces, otlp) = Traces::start(&folder).await?;
            programs.push(program);
            (Some(traces), Some(otlp))
        } else {
            (None, None)
        };
        let proxies = if setup.proxies {
            Some(Proxies {
                postgres: in_front_of(&database.url)?,
                broker: in_front_of(&amqp)?,
                gateway: in_front_of(&sandbox.url.parse()?)?,
                collector: otlp.as_ref().map(in_front_of).transpose()?,
            })
        } else {
            None
        };
        let through = |url: &Url, proxy: Option<&Proxy>| -> anyhow::Result<String> {
            let mut url = url.clone();
            if let Some(proxy) = proxy {
                url.set_port(Some(proxy.port()))
                    .ok()
                    .context("a URL without a port")?;
            }
            Ok(url.to_string())
        };
        if let Some(otlp) = &otlp {
            let proxy = proxies.as_ref().and_then(|p| p.collector.as_ref());
            services.push(("OTEL_EXPORTER_OTLP_ENDPOINT".into(), through(otlp, proxy)?));
        }
        services.extend(settings(setup.service_settings));
        let gateway = through(
            &sandbox.cashfree().parse()?,
            proxies.as_ref().map(|p| &p.gateway),
        )?;
        let key = make_merchant(
            &folder,
            &services,
            &database,
            &gateway,
            setup.call_timeout_ms,
        )?;
        let postgres = through(&database.url, proxies.as_ref().map(|p| &p.postgres))?;
        let broker = through(&amqp, proxies.as_ref().map(|p| &p.broker))?;
        services.extend(settings(&[
            ("KHATA_DATABASE_URL", &postgres),
            ("KHATA_AMQP_URL", &broker),
        ]));

        let mut world = Self {
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
            worker_settings: settings(setup.worker_settings),
            started: 0,
            _machine: machine,
        };
        for _ in 0..setup.apis {
            world.start_api().await?;
        }
        for _ in 0..setup.workers {
            world.start_worker().await?;
        }
        for service in world.apis.iter().chain(&world.workers) {
            world.wait_until_ready(&service.url).await?;
        }
        Ok(world)
    }

    /// Starts one more `khata-api`; returns when it is bound.
    pub async fn start_api(&mut self) -> anyhow::Result<&Service> {
        self.start_api_of(None).await
    }

    /// The same with the program of another release, which is in this folder.
    pub async fn start_api_of(&mut self, programs: Option<&Path>) -> anyhow::Result<&Service> {
        let program = path_in(programs, "khata-api")?;
        let service = self
            .start_service(&program, &["serve"], "KHATA_LISTEN", &[])
            .await?;
        if self.apis.is_empty() {
            self.api.url.clone_from(&service.url);
        }
        self.apis.push(service);
        self.apis.last().context("just pushed")
    }

    /// Starts one more `khata-worker`; returns when it is bound.
    pub async fn start_worker(&mut self) -> anyhow::Result<&Service> {
        self.start_worker_of(None).await
    }

    /// The same with the program of another release, which is in this folder.
    pub async fn start_worker_of(&mut self, programs: Option<&Path>) -> anyhow::Result<&Service> {
        let program = path_in(programs, "khata-worker")?;
        let own = self.worker_settings.clone();
        let service = self
            .start_service(&program, &[], "KHATA_WORKER_LISTEN", &own)
            .await?;
        self.workers.push(service);
        self.workers.last().context("just pushed")
    }

    async fn start_service(
        &mut self,
        program: &Path,
        arguments: &[&str],
        listen: &str,
        own: &[(String, String)],
    ) -> anyhow::Result<Service> {
        self.started += 1;
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let stem = self.folder.join(format!("{name}-{}", self.started));
        let port_file = stem.with_extension("port");
        let metrics_port_file = stem.with_extension("metrics-port");
        let mut all = self.services.clone();
        all.extend(settings(&[
            (listen, "127.0.0.1:0"),
            ("KHATA_PORT_FILE", &port_file.to_string_lossy()),
            (
                "KHATA_METRICS_PORT_FILE",
                &metrics_port_file.to_string_lossy(),
            ),
        ]));
        all.extend_from_slice(own);
        let mut process =
            Process::start_file(program, arguments, &all, &stem.with_extension("log"))?;
        let port = process.port(&port_file).await?;
        // A worker tells its metrics beside its health.
        let metrics = match &*name {
            "khata-api" => process.port(&metrics_port_file).await?,
            _ => port,
        };
        Ok(Service {
            process,
            url: format!("http://127.0.0.1:{port}"),
            metrics: format!("127.0.0.1:{metrics}"),
        })
    }

    /// Waits until a service says that it is ready.
    pub async fn wait_until_ready(&self, url: &str) -> anyhow::Result<()> {
        let service = Api::new(url, "")?;
        eventually(PATIENCE, &format!("{url} being ready"), async || {
            let answer = service.look("/health/ready").await?;
            anyhow::Ok(answer.expect_status(200).map(|_| Some(()))?)
        })
        .await
    }

    /// The merchant's client at the `khata-api` with this place in `apis`.
    pub fn api_at(&self, index: usize) -> Api {
        self.api.at(&self.apis[index].url)
    }

    /// The proxies, in a world that was set up with them.
    pub fn proxies(&self) -> anyhow::Result<&Proxies> {
        self.proxies
            .as_ref()
            .context("this world was set up without proxies")
    }

    /// The trace viewer, in a world that was set up with one.
    pub fn traces(&self) -> anyhow::Result<&Traces> {
        self.traces
            .as_ref()
            .context("this world was set up without traces")
    }

    /// A key of this merchant, which is made if it is new; in sandbox mode it has a DUMMY gateway account.
    pub fn issue_key(&self, merchant: &str) -> anyhow::Result<String> {
        let own = self.admin_settings();
        admin_json(
            &own,
            &["merchant", "create", "--name", merchant, "--if-absent"],
        )?;
        issue_key(&own, merchant)
    }

    /// Sets up one more of a merchant's gateway accounts, or changes the one with this reference, and answers its id. The
    /// services see it within five seconds.
    pub fn set_gateway_account(&self, account: &GatewayAccount<'_>) -> anyhow::Result<String> {
        add_gateway(&self.folder, &self.admin_settings(), account)
    }

    /// Runs a command of `khata-api` with the services' settings and answers what it printed.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::run("khata-api", arguments, &self.admin_settings())
    }

    /// Runs a command of `khata-api` with the services' settings, whatever comes of it.
    pub fn try_command(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        self.try_program("khata-api", arguments)
    }

    /// Runs a command of a program with the services' settings, whatever comes of it.
    pub fn try_program(&self, program: &str, arguments: &[&str]) -> anyhow::Result<Ran> {
        process::run_to_its_end(program, arguments, &self.admin_settings())
    }

    /// Writes a file for a command to read and answers its path; only the test can read it.
    pub fn keep(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        write_private(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Starts a program with the services' settings, but for these: a value to have, or none.
    pub fn begin(
        &mut self,
        program: &str,
        arguments: &[&str],
        but: &[(&str, Option<&str>)],
    ) -> anyhow::Result<Process> {
        self.started += 1;
        let mut own = self.admin_settings();
        own.retain(|(name, _)| but.iter().all(|(other, _)| name != other));
        own.extend(
            but.iter()
                .filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned()))),
        );
        let log = self.folder.join(format!("{program}-{}.log", self.started));
        Process::start(program, arguments, &own, &log)
    }

    /// The file that the services read their keys from when they start.
    pub fn keyring_file(&self) -> PathBuf {
        self.folder.join(KEYRING)
    }

    fn admin_settings(&self) -> Vec<(String, String)> {
        let mut own = self.services.clone();
        own.extend(settings(&[(
            "KHATA_DATABASE_URL",
            self.database.url.as_str(),
        )]));
        own
    }

    /// Where the test keeps what people may want to look at afterwards.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What all services have said so far, also those that were killed.
    pub fn logs(&self) -> anyhow::Result<String> {
        let mut all = String::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let is_service = name.starts_with("khata-api-") || name.starts_with("khata-worker-");
            if is_service && path.extension().is_some_and(|extension| extension == "log") {
                all.push_str(&std::fs::read_to_string(&path)?);
            }
        }
        Ok(all)
    }

    /// Waits until no account is left with one of these statuses.
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
                left => bail!("{left} are"),
            }
        })
        .await
    }

    /// Accounts with this status.
    pub fn count(&self, status: &str) -> anyhow::Result<i64> {
        self.database.number(&format!(
            "select count(*) from customer_accounts where status = '{status}'"
        ))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.apis.clear();
        self.workers.clear();
        self.programs.clear();
        self.queues.remove();
    }
}

pub(crate) fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn in_front_of(url: &Url) -> anyhow::Result<Proxy> {
    let addresses = url.socket_addrs(|| None)?;
    Proxy::start(*addresses.first().context("a URL without an address")?)
}

fn path_in(programs: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    programs.map_or_else(|| process::path_of(name), |folder| Ok(folder.join(name)))
}

async fn start_sandbox(folder: &Path) -> anyhow::Result<(Process, Sandbox)> {
    let port_file = folder.join("khata-sandbox.port");
    let own = settings(&[
        ("KHATA_SANDBOX_LISTEN", "127.0.0.1:0"),
        ("KHATA_PORT_FILE", &port_file.to_string_lossy()),
        (
            "KHATA_SANDBOX_LEDGER",
            &folder.join("ledger").to_string_lossy(),
        ),
    ]);
    let mut process = Process::start(
        "khata-sandbox",
        &[],
        &own,
        &folder.join("khata-sandbox.log"),
    )?;
    let port = process.port(&port_file).await?;
    Ok((process, Sandbox::new(&format!("http://127.0.0.1:{port}"))))
}
