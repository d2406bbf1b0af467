//! The API put together: built from settings, run until told to stop.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use anyhow::Context;
use khata_config::shutdown::{self, Shutdown};
use khata_config::write_port_file;
use khata_queue::WakeupPublisher;
use khata_store as store;
use khata_store::group_commit::Lane;
use tracing::info;

use crate::create_commits::Creates;
use crate::error::ApiError;
use crate::gateway_webhooks::Callees;
use crate::metrics::{self, Metrics};
use crate::observe::observe;
use crate::outcomes::Outcomes;
use crate::settings::ServeSettings;
use crate::state::State;
use crate::{accounts, bank_accounts, customers, gateway_webhooks, health, openapi, version};

/// The lane, the outcomes and a few readers.
const CONNECTIONS: u32 = 7;
/// How long a create may wait for its commit: with the rest of the call it is answered within 3 s.
const COMMIT_PATIENCE: Duration = Duration::from_millis(2_500);
/// How long the last commits may take; whoever waits for them has given up before.
const LAST_COMMITS: Duration = Duration::from_secs(3);
/// How long the last wakeups may take.
const LAST_RINGS: Duration = Duration::from_secs(5);

/// An API, bound and ready to run.
pub struct Application {
    server: Server,
    port: u16,
    /// Where Prometheus asks.
    metrics: Option<Server>,
    lane_thread: std::thread::JoinHandle<()>,
    ringer_task: tokio::task::JoinHandle<()>,
    outcomes: Outcomes,
    outcomes_thread: std::thread::JoinHandle<()>,
}

impl Application {
    /// Reads the keyring, binds the port and starts the lane. Postgres and RabbitMQ may be away.
    pub fn build(settings: &ServeSettings) -> anyhow::Result<Self> {
        let keyring = Arc::new(settings.keyring.load(settings.sandbox.sandbox_mode)?);
        let pool = store::open(&settings.database.database_url, "khata-api", CONNECTIONS);
        let (wakeup_publisher, ringer_task) =
            WakeupPublisher::start(settings.broker.broker(), "khata-api");
        let rotate_by = settings
            .keyring
            .max_age()
            .rotate_by(keyring.primary_created_at());
        let metrics = Arc::new(Metrics::new(
            pool.clone(),
            &wakeup_publisher.counts(),
            rotate_by,
        ));
        let creates = Creates {
            keyring: Arc::clone(&keyring),
            metrics: Arc::clone(&metrics),
        };
        let (lane, lane_thread) = Lane::start("creates", pool.clone(), creates, COMMIT_PATIENCE)?;
        let (outcomes, outcomes_thread) = Outcomes::start(pool.clone(), metrics.waiters())?;
        let http = khata_gateways::client().context("cannot make the HTTP client")?;
        let state = web::Data::new(State::new(
            keyring,
            lane,
            wakeup_publisher,
            outcomes.clone(),
            pool,
            Callees::new(http),
            Arc::clone(&metrics),
            settings.sandbox.sandbox_mode,
        ));
        let mut server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .wrap(from_fn(observe))
                .configure(health::routes)
                .configure(version::routes)
                .configure(accounts::routes)
                .configure(bank_accounts::routes)
                .configure(customers::routes)
                .configure(gateway_webhooks::routes)
                .configure(openapi::routes)
                .default_service(web::to(|| async {
                    Err::<&str, _>(ApiError::NotFound("There is nothing at this path."))
                }))
        })
        .disable_signals()
        .backlog(4_096)
        .client_request_timeout(Duration::from_secs(10))
        .keep_alive(Duration::from_secs(75))
        .shutdown_timeout(settings.drain_seconds);
        if let Some(threads) = settings.threads {
            server = server.workers(threads);
        }
        let server = server
            .bind(&settings.listen)
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let port = server.addrs().first().map_or(0, std::net::SocketAddr::port);
        write_port_file(settings.port_file.as_ref(), port)?;
        let metrics = (!settings.metrics_listen.is_empty())
            .then(|| {
                metrics::serve(metrics, &settings.metrics_listen)
                    .with_context(|| format!("cannot listen on {}", settings.metrics_listen))
            })
            .transpose()?;
        let metrics = match metrics {
            Some((server, port)) => {
                write_port_file(settings.metrics_port_file.as_ref(), port)?;
                Some(server)
            }
            None => None,
        };
        Ok(Self {
            server: server.run(),
            port,
            metrics,
            lane_thread,
            ringer_task,
            outcomes,
            outcomes_thread,
        })
    }

    /// The bound port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves until the signal; then takes no new connection, finishes open requests and returns.
    pub async fn run_until_stopped(self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        info!(port = self.port, "khata-api is up");
        let handle = self.server.handle();
        let outcomes = self.outcomes;
        tokio::spawn(async move {
            shutdown.raised().await;
            info!("stopping: taking no new connection, finishing open requests");
            // A call that waits for an outcome is answered with what there is.
            outcomes.stop();
            handle.stop(true).await;
        });
        let metrics = self
            .metrics
            .map(|server| (server.handle(), tokio::spawn(server)));
        self.server.await?;
        // With the server went the last handles on the lane and the bell: both end once they have done what they have.
        shutdown::join(self.lane_thread, LAST_COMMITS).await;
        shutdown::join(self.outcomes_thread, LAST_COMMITS).await;
        let _ = tokio::time::timeout(LAST_RINGS, self.ringer_task).await;
        // To the end, so that the last numbers can still be read.
        if let Some((handle, task)) = metrics {
            handle.stop(false).await;
            task.await??;
        }
        info!("stopped");
        Ok(())
    }
}
