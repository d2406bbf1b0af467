//! The API server: built from settings, run until stopped.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web;
use anyhow::Context;
use khata_config::shutdown::{self, Shutdown};
use khata_config::write_port_file;
use khata_queue::WakeupPublisher;
use khata_store as store;
use khata_store::encryption_counts::EncryptionCounter;
use khata_store::group_commit::Lane;
use tracing::info;

use crate::auth::Authenticator;
use crate::connectors::WebhookAccounts;
use crate::context::State;
use crate::create_commits::CreateCommits;
use crate::database::Database;
use crate::gateway_choices::GatewayChoices;
use crate::limits::{InProgress, Limits};
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;
use crate::settings::ServeSettings;
use crate::{metrics_server, server};

/// Connections: one for the group commit, one for outcomes, the others for single queries and transactions.
const CONNECTIONS: u32 = 7;
const QUERY_CONNECTIONS: usize = 5;
/// Longest wait of a create for its commit. With the rest of the call, the reply comes within 3 s.
const COMMIT_TIME_LIMIT: Duration = Duration::from_millis(2_500);
/// Time for the last commits. Every caller has given up before.
const LAST_COMMITS: Duration = Duration::from_secs(3);
/// Time between two counts of the encryptions.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);
/// Time for the last wake-ups.
const LAST_WAKEUPS: Duration = Duration::from_secs(5);

/// An API, bound and ready to run.
pub struct Application {
    server: Server,
    port: u16,
    metrics_server: Option<Server>,
    background: Background,
}

/// Threads and tasks that end after the server, once the last handle on each is dropped.
struct Background {
    creates: std::thread::JoinHandle<()>,
    outcomes: Outcomes,
    outcomes_thread: std::thread::JoinHandle<()>,
    wakeups: tokio::task::JoinHandle<()>,
    encryptions: CountEncryptions,
}

impl Application {
    /// Reads the keyring, binds the ports and starts the threads. Postgres and RabbitMQ may be away.
    pub fn build(settings: &ServeSettings) -> anyhow::Result<Self> {
        let (state, background) = start_parts(settings)?;
        let metrics = Arc::clone(&state.metrics);
        let shared = web::Data::from(Arc::clone(&metrics));
        let state = Arc::new(state);
        // The server holds the state until it has stopped.
        let apart = Arc::downgrade(&state);
        let (server, port) = server::bind(settings, &web::Data::from(state), &shared)?;
        write_port_file(settings.port_file.as_ref(), port)?;
        let metrics_server = metrics_server::bind(settings, metrics, apart)?;
        Ok(Self {
            server,
            port,
            metrics_server,
            background,
        })
    }

    /// The bound port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until the signal; then accepts no new connection, finishes open requests and returns.
    pub async fn run_until_stopped(self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        info!(port = self.port, "khata-api is up");
        let handle = self.server.handle();
        let outcomes = self.background.outcomes;
        tokio::spawn(async move {
            shutdown.raised().await;
            info!("stopping: accepting no new connection, finishing open requests");
            // Calls that wait for an outcome reply with the current state.
            outcomes.stop();
            handle.stop(true).await;
        });
        let start = |server: Server| (server.handle(), tokio::spawn(server));
        let metrics = self.metrics_server.map(start);
        self.server.await?;
        // The server held the last handles: each thread and task ends once its remaining work is done.
        shutdown::join(self.background.creates, LAST_COMMITS).await;
        shutdown::join(self.background.outcomes_thread, LAST_COMMITS).await;
        self.background.encryptions.store().await;
        let _ = tokio::time::timeout(LAST_WAKEUPS, self.background.wakeups).await;
        // Stop the metrics server last, so that Prometheus can still read the final values.
        if let Some((handle, task)) = metrics {
            handle.stop(false).await;
            task.await??;
        }
        info!("stopped");
        Ok(())
    }
}

fn start_parts(settings: &ServeSettings) -> anyhow::Result<(State, Background)> {
    let sandbox_mode = settings.sandbox.sandbox_mode;
    let keyring = Arc::new(settings.keyring.load(sandbox_mode)?);
    let pool = store::open(&settings.database.database_url, "khata-api", CONNECTIONS);
    let (wakeup_publisher, wakeups) = WakeupPublisher::start(settings.broker.clone(), "khata-api");
    let rotate_by = settings.keyring.rotate_by(keyring.primary_created_at());
    let counts = wakeup_publisher.counts();
    let metrics = Arc::new(Metrics::new(pool.clone(), &counts, rotate_by));
    let work = CreateCommits(Arc::clone(&metrics));
    let (creates, creates_thread) = Lane::start("creates", pool.clone(), work, COMMIT_TIME_LIMIT)?;
    let (outcomes, outcomes_thread) = Outcomes::start(pool.clone(), metrics.waiters.clone())?;
    let http = khata_gateways::client().context("cannot create the HTTP client")?;
    let database = Database::new(pool, QUERY_CONNECTIONS);
    let encryptions = CountEncryptions {
        database: database.clone(),
        counter: Arc::new(EncryptionCounter::new(Arc::clone(&keyring))),
    };
    tokio::spawn(encryptions.clone().run());
    let state = State {
        database,
        creates,
        wakeup_publisher,
        outcomes: outcomes.clone(),
        authenticator: Authenticator::new(sandbox_mode),
        limits: Limits::new(),
        in_progress: InProgress::new(server::connections(settings)),
        gateway_choices: GatewayChoices::new(sandbox_mode),
        webhook_accounts: WebhookAccounts::new(Arc::clone(&keyring), http, sandbox_mode),
        metrics,
        schema_is_current: AtomicBool::new(false),
        keyring,
    };
    let background = Background {
        creates: creates_thread,
        outcomes,
        outcomes_thread,
        wakeups,
        encryptions,
    };
    Ok((state, background))
}

/// Stores the number of encryptions.
#[derive(Clone)]
struct CountEncryptions {
    database: Database,
    counter: Arc<EncryptionCounter>,
}

impl CountEncryptions {
    /// Stores the number again and again, until the process ends.
    async fn run(self) {
        loop {
            self.store().await;
            tokio::time::sleep(COUNT_INTERVAL).await;
        }
    }

    /// A failure is logged, and made up for later.
    async fn store(&self) {
        let counter = Arc::clone(&self.counter);
        let stored = self.database.write("count encryptions", move |connection| {
            Ok(counter.store(connection)?)
        });
        let _ = stored.await;
    }
}
