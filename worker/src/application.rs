//! The worker as a whole: built from settings, run until shut down.

use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use anyhow::Context;
use khata_config::shutdown::{self, Shutdown};
use khata_config::write_port_file;
use khata_store::encryption_counts::EncryptionCounter;
use khata_store::group_commit::Lane;
use khata_store::rights::Service;
use khata_store::service_check::ServiceCheck;
use khata_store::{self as store, Pool};
use khata_webhooks::WebhookClient;
use tracing::info;

use crate::clock::DatabaseClock;
use crate::commits::ClaimsAndSettles;
use crate::consumer::MessageConsumer;
use crate::consumer_load::ConsumerLoad;
use crate::database_metrics::DatabaseMetrics;
use crate::deliveries::{Attempts, Deliverer, DeliveryCommits, Signals};
use crate::directory::Directory;
use crate::dispatcher::Dispatcher;
use crate::health::{self, Health};
use crate::health_reporter::HealthReporter;
use crate::housekeeping::Housekeeping;
use crate::metrics::Metrics;
use crate::operator_alerts::{AlertReceiver, OperatorAlerts};
use crate::processor::{ResultLog, Results, SETTLE_RESERVE, ValidationProcessor};
use crate::scheduler::{Heartbeat, Scheduler};
use crate::settings::Settings;
use crate::turns::share_of_one;

/// One each for the two lanes, the scheduler, the health reporter, the health endpoints and the database metrics.
const CONNECTIONS: u32 = 6;
/// How long the stop may take after the drain: the broker's goodbye, then the last report and the last commit.
#[cfg(test)]
const AFTER_DRAIN: Duration = Duration::from_secs(6);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a claim or settlement may wait for its commit; a settlement is then retried.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A worker, ready to run.
pub struct Application {
    settings: Settings,
    consumer: MessageConsumer,
    dispatcher: Dispatcher,
    reporter: Arc<HealthReporter>,
    deliverer: Deliverer,
    signals: Arc<Signals>,
    metrics: Arc<Metrics>,
    lane_threads: [std::thread::JoinHandle<()>; 2],
    scheduler: Scheduler,
    database_metrics: Arc<DatabaseMetrics>,
    alerts: Option<OperatorAlerts>,
    encryptions: EncryptionCounter,
    pool: Pool,
    service_check: Arc<ServiceCheck>,
    heartbeat: Arc<Heartbeat>,
    health: Server,
    port: u16,
}

impl Application {
    /// Reads the keyring, binds the health port and starts the lane. Postgres and RabbitMQ may be unavailable.
    pub fn build(settings: Settings) -> anyhow::Result<Self> {
        let keyring = Arc::new(settings.keyring.load(settings.sandbox.sandbox_mode)?);
        let pool = store::open(&settings.database.database_url, "khata-worker", CONNECTIONS);
        let http = khata_gateways::client().context("cannot make the HTTP client")?;
        let alerts = alert_receiver(&settings, &http)?;
        let longest_call = settings.lease().saturating_sub(2 * SETTLE_RESERVE) / 2;
        let sandbox_mode = settings.sandbox.sandbox_mode;
        let directory = Directory::new(Arc::clone(&keyring), http, sandbox_mode, longest_call);
        let clock = Arc::new(DatabaseClock::new());
        let reporter = Arc::new(HealthReporter::new(Arc::clone(&clock)));
        let load = Arc::new(ConsumerLoad::new(settings.concurrency));
        let database_metrics = Arc::new(DatabaseMetrics::default());
        let metrics = Arc::new(Metrics::new(
            pool.clone(),
            Arc::clone(&load),
            Arc::clone(&database_metrics),
            settings.keyring.rotate_by(keyring.primary_created_at()),
        ));
        let alerts = alerts.map(|receiver| OperatorAlerts {
            receiver,
            rows: Arc::clone(&database_metrics),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
        });
        let unsent = Results {
            keyring: Arc::clone(&keyring),
            clock: Arc::clone(&clock),
        };
        let work = ClaimsAndSettles {
            keyring: Arc::clone(&keyring),
            directory: Arc::new(directory),
            health: Arc::clone(&reporter),
            metrics: Arc::clone(&metrics),
            lease: settings.lease(),
            clock: Arc::clone(&clock),
            load: Arc::clone(&load),
            share: u32::try_from(share_of_one(settings.concurrency.into()))?,
            not_sent: Box::new(move |work| unsent.not_sent(work)),
        };
        let (lane, lane_thread) =
            Lane::start("claims-and-settles", pool.clone(), work, COMMIT_TIMEOUT)?;
        let signals = Arc::new(Signals::default());
        let work = DeliveryCommits {
            worker: reporter.worker(),
        };
        let (delivery_lane, delivery_thread) =
            Lane::start("deliveries", pool.clone(), work, COMMIT_TIMEOUT)?;
        let attempts = Attempts {
            lane: delivery_lane,
            client: WebhookClient::new(sandbox_mode).context("cannot make the webhook client")?,
            keyring: Arc::clone(&keyring),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            signals: Arc::clone(&signals),
            sandbox_mode,
        };
        let deliverer = Deliverer::new(
            Arc::new(attempts),
            Arc::clone(&signals),
            settings.delivery_concurrency,
            settings.drain(),
        );
        let encryptions = EncryptionCounter::new(Arc::clone(&keyring));
        let broker = settings.broker.clone();
        let heartbeat = Arc::new(Heartbeat::new());
        let service_check = ServiceCheck::new(Service::Worker, Arc::clone(&keyring));
        let service_check = Arc::new(service_check);
        let health = Health {
            service_check: Arc::clone(&service_check),
            pool: pool.clone(),
            lane: lane.clone(),
            load: Arc::clone(&load),
            heartbeat: Arc::clone(&heartbeat),
            metrics: Arc::clone(&metrics),
        };
        let (health, port) = health::serve(health, &settings.listen)
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        write_port_file(settings.port_file.as_ref(), port)?;
        let processor = Arc::new(ValidationProcessor {
            lane,
            results: Results {
                keyring,
                clock: Arc::clone(&clock),
            },
            log: ResultLog::new(),
            health: Arc::clone(&reporter),
            load: Arc::clone(&load),
            metrics: Arc::clone(&metrics),
            deliveries: Arc::clone(&signals),
            lease: settings.lease(),
            queue: broker.queue(),
        });
        let scheduler = Scheduler {
            pool: pool.clone(),
            broker: broker.clone(),
            health: Arc::clone(&reporter),
            load: Arc::clone(&load),
            clock: Arc::clone(&clock),
            heartbeat: Arc::clone(&heartbeat),
            metrics: Arc::clone(&metrics),
            interval: settings.scheduler_interval(),
        };
        let dispatcher = Dispatcher {
            processor,
            load: Arc::clone(&load),
            clock: Arc::clone(&clock),
            drain: settings.drain(),
        };
        let consumer = MessageConsumer {
            broker,
            load,
            clock,
            drain: settings.drain(),
        };
        Ok(Self {
            settings,
            consumer,
            dispatcher,
            reporter,
            deliverer,
            signals,
            metrics,
            lane_threads: [lane_thread, delivery_thread],
            scheduler,
            database_metrics,
            alerts,
            encryptions,
            pool,
            service_check,
            heartbeat,
            health,
            port,
        })
    }

    /// Returns the port of the health endpoints.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Works until the signal, then finishes the validations and deliveries in progress. Begins when the database has shown that
    /// schema, rights and keyring are right; returns an error if the keyring is wrong.
    pub async fn run_until_stopped(self, mut shutdown: Shutdown) -> anyhow::Result<()> {
        let concurrency = self.settings.concurrency;
        info!(port = self.port, concurrency, "khata-worker is up");
        let health = self.health.handle();
        let health_task = tokio::spawn(self.health);
        let (check, pool) = (&self.service_check, &self.pool);
        let checked = is_checked(check, pool, &self.heartbeat, &mut shutdown).await;
        if !matches!(checked, Ok(true)) {
            health.stop(true).await;
            health_task.await??;
            info!("stopped");
            return checked.map(drop);
        }
        let (trigger, inner) = shutdown::channel();
        let drain = self.settings.drain();
        let housekeeping = Housekeeping {
            pool: self.pool.clone(),
            metrics: self.metrics,
            signals: Arc::clone(&self.signals),
        };
        let housekeeping = tokio::spawn(housekeeping.run(self.encryptions, inner.clone()));
        let (broker, worker) = (self.settings.broker.clone(), self.reporter.worker());
        // The broker closes the connection of a process that has ended.
        tokio::spawn(self.signals.exchange(broker, worker, inner.clone()));
        let deliverer = tokio::spawn(self.deliverer.run(inner.clone()));
        if let Some(alerts) = self.alerts {
            tokio::spawn(alerts.run(inner.clone()));
        }
        let database_metrics =
            tokio::spawn(self.database_metrics.run(self.pool.clone(), inner.clone()));
        let scheduler = tokio::spawn(self.scheduler.run(inner.clone()));
        let (stop_reporting, reporting) = shutdown::channel();
        let reporter = tokio::spawn(self.reporter.run(self.pool.clone(), reporting));
        let dispatcher = tokio::spawn(self.dispatcher.run(inner.clone()));
        let consumer = tokio::spawn(self.consumer.run(inner));
        shutdown.raised().await;
        info!("stopping: finishing the validations and deliveries in progress");
        trigger.raise();
        // A statement may hang in Postgres; nothing depends on its end.
        let work = async {
            tokio::join!(
                dispatcher,
                consumer,
                scheduler,
                deliverer,
                housekeeping,
                database_metrics
            )
        };
        let ended = tokio::time::timeout(drain + GOODBYE_TIMEOUT, work).await;
        // The last report includes the last calls.
        stop_reporting.raise();
        let reporter = tokio::time::timeout(COMMIT_TIMEOUT, reporter);
        let health = async {
            health.stop(true).await;
            health_task.await
        };
        let [claims, deliveries] = self
            .lane_threads
            .map(|thread| shutdown::join(thread, COMMIT_TIMEOUT));
        let (_, health, (), ()) = tokio::join!(reporter, health, claims, deliveries);
        health??;
        if let Ok((dispatcher, consumer, scheduler, deliverer, ..)) = ended {
            dispatcher.context("the dispatcher panicked")?;
            consumer.context("the consumer panicked")?;
            scheduler.context("the scheduler panicked")?;
            deliverer.context("the deliverer panicked")?;
        }
        info!("stopped");
        Ok(())
    }
}

/// Waits until the database has shown that schema, rights and keyring are right. Returns false if the signal comes before. The worker is
/// live meanwhile.
async fn is_checked(
    check: &Arc<ServiceCheck>,
    pool: &Pool,
    heartbeat: &Heartbeat,
    shutdown: &mut Shutdown,
) -> anyhow::Result<bool> {
    let mut beats = tokio::time::interval(Duration::from_secs(1));
    let mut passed = std::pin::pin!(check.wait(pool));
    loop {
        tokio::select! {
            checked = &mut passed => return Ok(checked.map(|()| true)?),
            () = shutdown.raised() => return Ok(false),
            _ = beats.tick() => heartbeat.beat(),
        }
    }
}

/// Returns where alerts to operators go; `None` if the setting is empty.
fn alert_receiver(
    settings: &Settings,
    http: &reqwest::Client,
) -> anyhow::Result<Option<AlertReceiver>> {
    let url = settings.operator_alerts_url.trim();
    if url.is_empty() {
        return Ok(None);
    }
    let file = settings.operator_alerts_authorization_file.clone();
    AlertReceiver::new(http.clone(), url, &settings.runbook_url, file).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time for the last spans and for blocked threads (`khata-telemetry`, `khata-config`).
    const AFTER_STOP: Duration = Duration::from_secs(3 + 1);

    #[test]
    fn kubernetes_and_compose_give_a_worker_the_time_to_stop() {
        assert!(GOODBYE_TIMEOUT + COMMIT_TIMEOUT <= AFTER_DRAIN);
        let needed = default_drain() + AFTER_DRAIN + AFTER_STOP;
        for (page, name) in [
            (
                include_str!("../../deploy/k8s/base/worker.yaml"),
                "terminationGracePeriodSeconds: ",
            ),
            (
                worker_of(include_str!("../../deploy/compose.yaml")),
                "stop_grace_period: ",
            ),
        ] {
            let (_, figure) = page.split_once(name).expect(name);
            let digits: String = figure.chars().take_while(char::is_ascii_digit).collect();
            let granted = Duration::from_secs(digits.parse().expect(name));
            assert!(granted > needed, "{name}{granted:?} must exceed {needed:?}");
        }
        let checked = include_str!("../../deploy/checks/manifests.py");
        let seconds = (AFTER_DRAIN + AFTER_STOP).as_secs();
        assert!(
            checked.contains(&format!("\"khata-worker\": {seconds}")),
            "{seconds}"
        );
    }

    #[test]
    fn the_page_about_deployment_has_the_number_of_connections() {
        let page = include_str!("../../docs/deployment.md");
        assert!(page.contains(&format!("\n| worker | {CONNECTIONS} |\n")));
    }

    fn default_drain() -> Duration {
        let command = crate::Call::command();
        let mut arguments = command.get_arguments();
        let drain = arguments.find(|argument| argument.get_id() == "drain_seconds");
        let values = drain.expect("a setting").get_default_values();
        let seconds = values[0].to_str().expect("digits");
        Duration::from_secs(seconds.parse().expect("digits"))
    }

    fn worker_of(compose: &str) -> &str {
        compose.split_once("\n  worker:").expect("a worker").1
    }
}
