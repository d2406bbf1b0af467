//! Health, version and metrics of the worker over HTTP. The worker is live while its scheduler runs, also while the scheduler
//! waits for Postgres: a restart would not help. The worker is ready while the broker and Postgres are available, its claims and
//! settlements are committed, and its schema, rights and keyring are right.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, dev::Server, web};
use khata_store::Pool;
use khata_store::group_commit::Lane;
use khata_store::service_check::{Checked, ServiceCheck, UNKNOWN};
use serde_json::{Value, json};

use crate::commits::ClaimsAndSettles;
use crate::consumer_load::ConsumerLoad;
use crate::metrics::Metrics;
use crate::scheduler::Heartbeat;

/// Age of the scheduler's last sign of life after which it counts as stuck; longer than all time-outs of the broker together.
const STUCK: Duration = Duration::from_mins(1);
/// How long Postgres may take to show that it is available.
const POSTGRES_TIMEOUT: Duration = Duration::from_secs(2);

/// Time of one commit from which the worker is not ready. A commit takes milliseconds.
const STALLED_COMMIT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Health {
    pub(crate) pool: Pool,
    pub(crate) lane: Lane<ClaimsAndSettles>,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) heartbeat: Arc<Heartbeat>,
    pub(crate) service_check: Arc<ServiceCheck>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Binds the endpoints; the caller runs the server and stops it.
pub(crate) fn serve(health: Health, listen: &str) -> std::io::Result<(Server, u16)> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::new(health.clone()))
            .route("/health/live", web::get().to(live))
            .route("/health/ready", web::get().to(ready))
            .route("/version", web::get().to(version))
            .route("/metrics", web::get().to(metrics))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)?;
    let port = server.addrs().first().map_or(0, std::net::SocketAddr::port);
    Ok((server.run(), port))
}

fn reply(ok: bool, word: &str, checks: &Value) -> HttpResponse {
    let (mut response, status) = if ok {
        (HttpResponse::Ok(), word)
    } else {
        (HttpResponse::ServiceUnavailable(), "unavailable")
    };
    response.json(json!({ "status": status, "checks": checks }))
}

async fn version() -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "name": "khata-worker",
        "version": khata_version::VERSION,
        "commit": khata_version::COMMIT,
        "built_at": khata_version::built_at(),
    }))
}

async fn metrics(health: web::Data<Health>) -> HttpResponse {
    match health.metrics.text() {
        Ok(text) => HttpResponse::Ok()
            .content_type(khata_telemetry::metrics::CONTENT_TYPE)
            .body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

async fn live(health: web::Data<Health>) -> HttpResponse {
    let age = health.heartbeat.age();
    let checks = json!({ "scheduler_age_seconds": age.as_secs() });
    reply(age <= STUCK, "live", &checks)
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    let (pool, check) = (health.pool.clone(), Arc::clone(&health.service_check));
    let checked = web::block(move || {
        let mut connection = pool.get_timeout(Duration::from_secs(1)).ok()?;
        check.run(&mut connection).ok()
    });
    let checked = tokio::time::timeout(POSTGRES_TIMEOUT, checked).await;
    let checked = checked.ok().and_then(Result::ok).flatten();
    let [schema, rights, keyring] = checked.as_ref().map_or(UNKNOWN, Checked::words);
    let rabbitmq = health.load.is_connected();
    let up = |ok| if ok { "up" } else { "down" };
    let stalls = health.lane.is_committing_for(STALLED_COMMIT);
    let commits = if stalls { "stalled" } else { "up" };
    let checks = json!({
        "postgres": up(checked.is_some()),
        "schema": schema,
        "rights": rights,
        "keyring": keyring,
        "rabbitmq": up(rabbitmq),
        "commits": commits,
    });
    let passed = checked == Some(Checked::Passed);
    reply(passed && rabbitmq && !stalls, "ready", &checks)
}
