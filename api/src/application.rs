//! The API server: built from settings, run until stopped.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web;
use anyhow::Context;
use chrono::Utc;
use futures_util::future::join_all;
use khata_config::shutdown::{self, Shutdown, Trigger};
use khata_config::write_port_file;
use khata_queue::{DeliverySignalPublisher, WakeupPublisher};
use khata_store as store;
use khata_store::Pool;
use khata_store::encryption_counts::EncryptionCounter;
use khata_store::rights::Service;
use khata_store::service_check::ServiceCheck;
use tracing::info;

use crate::account_urls::AccountUrls;
use crate::auth::Authenticator;
use crate::connectors::WebhookAccounts;
use crate::context::State;
use crate::create_commits::Creates;
use crate::database::{Database, RecentRows};
use crate::gateway_choices::GatewayChoices;
use crate::idempotency::StoredReplies;
use crate::limits::{InProgress, Limits};
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;
use crate::settings::ServeSettings;
use crate::{metrics_server, server};

/// Connections: two for the group commit, one for outcomes, the others for single queries and transactions.
const CONNECTIONS: u32 = 8;
const QUERY_CONNECTIONS: usize = 5;
/// Time for the last commits. Every caller has given up before.
const LAST_COMMITS: Duration = Duration::from_secs(3);
/// Time between two counts of the encryptions.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);
/// Time for the last wake-ups and signals.
const LAST_WAKEUPS: Duration = Duration::from_secs(5);

/// An API, bound and ready to run.
pub struct Application {
    server: Server,
    port: u16,
    metrics_server: Option<Server>,
    background: Background,
    service_check: Arc<ServiceCheck>,
    pool: Pool,
}

/// Threads and tasks that end after the server, once the last handle on each is dropped.
struct Background {
    creates: [std::thread::JoinHandle<()>; 2],
    outcomes: Outcomes,
    outcomes_thread: std::thread::JoinHandle<()>,
    wakeups: tokio::task::JoinHandle<()>,
    delivery_signals: tokio::task::JoinHandle<()>,
    encryptions: tokio::task::JoinHandle<()>,
    /// Ends `encryptions`.
    stop: Trigger,
}

impl Application {
    /// Reads the keyring, binds the ports and starts the threads. Postgres and RabbitMQ may be away.
    pub fn build(settings: &ServeSettings) -> anyhow::Result<Self> {
        let (state, background, pool) = start_parts(settings)?;
        let metrics = Arc::clone(&state.metrics);
        let service_check = Arc::clone(&state.service_check);
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
            service_check,
            pool,
        })
    }

    /// The bound port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until the signal; then accepts no new connection, finishes open requests and returns. Does the same as soon as the
    /// database shows that the keyring is wrong, and returns the error.
    pub async fn run_until_stopped(self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        info!(port = self.port, "khata-api is up");
        let handle = self.server.handle();
        let outcomes = self.background.outcomes;
        let (wrong_keyring, mut ends) = shutdown::channel();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.raised() => {}
                () = ends.raised() => {}
            }
            info!("stopping: accepting no new connection, finishing open requests");
            // Calls that wait for an outcome reply with the current state.
            outcomes.stop();
            handle.stop(true).await;
        });
        let start = |server: Server| (server.handle(), tokio::spawn(server));
        let metrics = self.metrics_server.map(start);
        let mut server = self.server;
        // The usual stop, too: threads that still connect to Postgres would crash the end of the process.
        let checked = tokio::select! {
            ended = &mut server => ended.map(|()| Ok(()))?,
            Err(wrong) = self.service_check.wait(&self.pool) => {
                wrong_keyring.raise();
                (&mut server).await?;
                Err(wrong)
            }
        };
        // The server held the last handles: each thread and task ends once its remaining work is done.
        let [light, heavy] = self.background.creates;
        tokio::join!(
            shutdown::join(light, LAST_COMMITS),
            shutdown::join(heavy, LAST_COMMITS)
        );
        shutdown::join(self.background.outcomes_thread, LAST_COMMITS).await;
        self.background.stop.raise();
        let _ = tokio::time::timeout(LAST_COMMITS, self.background.encryptions).await;
        let publishers = [self.background.wakeups, self.background.delivery_signals];
        let _ = tokio::time::timeout(LAST_WAKEUPS, join_all(publishers)).await;
        // Stop the metrics server last, so that Prometheus can still read the final values.
        if let Some((handle, task)) = metrics {
            handle.stop(false).await;
            task.await??;
        }
        info!("stopped");
        checked?;
        Ok(())
    }
}

fn start_parts(settings: &ServeSettings) -> anyhow::Result<(State, Background, Pool)> {
    let sandbox_mode = settings.sandbox.sandbox_mode;
    let keyring = Arc::new(settings.keyring.load(sandbox_mode)?);
    let pool = store::open(&settings.database.database_url, "khata-api", CONNECTIONS);
    let (wakeup_publisher, wakeups) = WakeupPublisher::start(settings.broker.clone(), "khata-api");
    let (delivery_signals, signals_task) =
        DeliverySignalPublisher::start(settings.broker.clone(), "khata-api-deliveries");
    let rotate_by = settings.keyring.rotate_by(keyring.primary_created_at());
    let counts = wakeup_publisher.counts();
    let metrics = Arc::new(Metrics::new(pool.clone(), &counts, rotate_by));
    let (creates, creates_threads) = Creates::start(&pool, &metrics)?;
    let (outcomes, outcomes_thread) = Outcomes::start(pool.clone(), metrics.waiters.clone())?;
    let http = khata_gateways::client().context("cannot create the HTTP client")?;
    let database = Database::new(pool.clone(), QUERY_CONNECTIONS);
    let counter = EncryptionCounter::new(Arc::clone(&keyring));
    let (stop, stopped) = shutdown::channel();
    let compared = Arc::clone(&metrics);
    let encryptions = tokio::spawn(keep_counts(database.clone(), counter, compared, stopped));
    let state = State {
        database,
        creates,
        wakeup_publisher,
        delivery_signals,
        outcomes: outcomes.clone(),
        authenticator: Authenticator::new(sandbox_mode),
        limits: Limits::new(),
        in_progress: InProgress::new(server::connections(settings)),
        gateway_choices: GatewayChoices::new(sandbox_mode),
        account_urls: AccountUrls::new(sandbox_mode),
        stored_replies: Arc::new(StoredReplies::new()),
        webhook_accounts: WebhookAccounts::new(Arc::clone(&keyring), http, sandbox_mode),
        webhook_keys: RecentRows::new(),
        metrics,
        sandbox_mode,
        service_check: Arc::new(ServiceCheck::new(Service::Api, Arc::clone(&keyring))),
        keyring,
    };
    let background = Background {
        creates: creates_threads,
        outcomes,
        outcomes_thread,
        wakeups,
        delivery_signals: signals_task,
        encryptions,
        stop,
    };
    Ok((state, background, pool))
}

/// Stores the number of encryptions and compares the clock with Postgres's, again and again, and once more at the end. A failure
/// is logged, and made up for later.
async fn keep_counts(
    database: Database,
    counter: EncryptionCounter,
    metrics: Arc<Metrics>,
    mut stopped: Shutdown,
) {
    let counter = Arc::new(counter);
    loop {
        let is_last = stopped.is_raised();
        let offset = database.read("compare clocks", |connection| {
            let time = store::database_time(connection)?;
            Ok(Utc::now() - time)
        });
        if let Ok(offset) = offset.await {
            metrics.compare_clock(offset);
        }
        let counter = Arc::clone(&counter);
        let count = database.write("count encryptions", move |connection| {
            if is_last {
                counter.store_last(connection)?;
            } else {
                counter.store(connection)?;
            }
            Ok(())
        });
        let _ = count.await;
        if is_last {
            return;
        }
        let _ = tokio::time::timeout(COUNT_INTERVAL, stopped.raised()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_about_deployment_has_the_number_of_connections() {
        let page = include_str!("../../docs/deployment.md");
        assert!(page.contains(&format!("\n| api | {CONNECTIONS} |\n")));
    }
}
