//! The worker put together: built from settings, run until told to stop.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use anyhow::Context;
use khata_config::shutdown::{self, Shutdown};
use khata_config::write_port_file;
use khata_store::group_commit::Lane;
use khata_store::{self as store, Pool};
use tracing::info;

use crate::commits::ClaimsAndSettles;
use crate::consumer::{self, InHand};
use crate::database_metrics::Facts;
use crate::directory::Directory;
use crate::health::{self, Health};
use crate::health_reporter::Watch;
use crate::housekeeping;
use crate::metrics::Metrics;
use crate::scheduler::{Heartbeat, Scheduler};
use crate::settings::Settings;
use crate::step::{SETTLING, ValidationProcessor};

/// The lane, the scheduler, the watch, the health check, the facts.
const CONNECTIONS: u32 = 5;
/// How long a claim or a settle may wait for its commit; a settle is then tried again.
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);

/// A worker, ready to run.
pub struct Application {
    settings: Settings,
    stepper: Arc<ValidationProcessor>,
    watch: Arc<Watch>,
    lane_thread: std::thread::JoinHandle<()>,
    in_hand: Arc<InHand>,
    scheduler: Scheduler,
    facts: Arc<Facts>,
    pool: Pool,
    health: Server,
    port: u16,
}

impl Application {
    /// Reads the keyring, binds the health port and starts the lane. Postgres and RabbitMQ may be away.
    pub fn build(settings: Settings) -> anyhow::Result<Self> {
        let keyring = Arc::new(settings.keyring.load(settings.sandbox.sandbox_mode)?);
        let pool = store::open(&settings.database.database_url, "khata-worker", CONNECTIONS);
        let http = khata_gateways::client().context("cannot make the HTTP client")?;
        let longest_call = settings.lease().saturating_sub(2 * SETTLING) / 2;
        let directory = Arc::new(Directory::new(
            Arc::clone(&keyring),
            http,
            settings.sandbox.sandbox_mode,
            longest_call,
        ));
        let watch = Arc::new(Watch::new());
        let in_hand = Arc::new(InHand::new(settings.concurrency));
        let facts = Arc::new(Facts::default());
        let metrics = Arc::new(Metrics::new(
            pool.clone(),
            Arc::clone(&in_hand),
            Arc::clone(&facts),
            settings
                .keyring
                .max_age()
                .rotate_by(keyring.primary_created_at()),
        ));
        let work = ClaimsAndSettles {
            keyring: Arc::clone(&keyring),
            directory,
            watch: Arc::clone(&watch),
            metrics: Arc::clone(&metrics),
            lease: settings.lease(),
        };
        let (lane, lane_thread) =
            Lane::start("claims-and-settles", pool.clone(), work, COMMIT_PATIENCE)?;
        let broker = settings.broker.broker();
        let heartbeat = Arc::new(Heartbeat::new());
        let (health, port) = health::serve(
            Health {
                pool: pool.clone(),
                in_hand: Arc::clone(&in_hand),
                heartbeat: Arc::clone(&heartbeat),
                metrics: Arc::clone(&metrics),
            },
            &settings.listen,
        )
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
        write_port_file(settings.port_file.as_ref(), port)?;
        let stepper = Arc::new(ValidationProcessor {
            lane,
            keyring,
            watch: Arc::clone(&watch),
            metrics: Arc::clone(&metrics),
            lease: settings.lease(),
            queue: broker.queue(),
        });
        let scheduler = Scheduler {
            pool: pool.clone(),
            broker,
            in_hand: Arc::clone(&in_hand),
            heartbeat,
            metrics,
            interval: settings.scheduler_interval(),
        };
        Ok(Self {
            settings,
            stepper,
            watch,
            lane_thread,
            in_hand,
            scheduler,
            facts,
            pool,
            health,
            port,
        })
    }

    /// The health endpoints' port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Works until the signal; then takes nothing more, finishes what is in hand and returns.
    pub async fn run_until_stopped(self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        info!(
            port = self.port,
            concurrency = self.settings.concurrency,
            "khata-worker is up"
        );
        let (trigger, inner) = shutdown::channel();
        let health = self.health.handle();
        let health_task = tokio::spawn(self.health);
        let housekeeping = tokio::spawn(housekeeping::run(self.pool.clone(), inner.clone()));
        let facts = tokio::spawn(self.facts.run(self.pool.clone(), inner.clone()));
        let scheduler = tokio::spawn(self.scheduler.run(inner.clone()));
        let (watching, watched) = shutdown::channel();
        let watch = tokio::spawn(self.watch.run(self.pool.clone(), watched));
        let consumer = tokio::spawn(consumer::run(
            self.settings.broker.broker(),
            self.stepper,
            self.in_hand,
            self.settings.concurrency,
            self.settings.drain(),
            inner,
        ));
        shutdown.raised().await;
        info!("stopping: taking nothing more, finishing what is in hand");
        trigger.raise();
        consumer.await.context("the consumer broke")?;
        // What the last steps heard is told too.
        watching.raise();
        let _ = tokio::time::timeout(COMMIT_PATIENCE, watch).await;
        // A look may hang in Postgres; nothing depends on its end.
        let _ = tokio::time::timeout(COMMIT_PATIENCE, scheduler).await;
        let _ = tokio::time::timeout(COMMIT_PATIENCE, housekeeping).await;
        let _ = tokio::time::timeout(COMMIT_PATIENCE, facts).await;
        health.stop(true).await;
        health_task.await??;
        shutdown::join(self.lane_thread, COMMIT_PATIENCE).await;
        info!("stopped");
        Ok(())
    }
}
