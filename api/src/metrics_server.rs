//! Serves `/metrics` and the health of the API on a separate port that merchants cannot reach, so that their connections keep
//! out neither Prometheus nor the probes of Kubernetes.

use std::sync::{Arc, Weak};

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use khata_config::write_port_file;
use khata_telemetry::metrics::CONTENT_TYPE;

use crate::context::State;
use crate::health;
use crate::metrics::Metrics;
use crate::routes::get;
use crate::settings::ServeSettings;

/// Binds the endpoint, if the settings name an address. The caller runs and stops the server, which lives longer than the state.
pub(crate) fn bind(
    settings: &ServeSettings,
    metrics: Arc<Metrics>,
    state: Weak<State>,
) -> anyhow::Result<Option<Server>> {
    let listen = &settings.metrics_listen;
    if listen.is_empty() {
        return Ok(None);
    }
    let (metrics, state) = (web::Data::from(metrics), web::Data::new(state));
    let server = HttpServer::new(move || {
        let app = App::new().app_data(metrics.clone()).app_data(state.clone());
        app.route("/metrics", get().to(page))
            .route("/health/live", get().to(health::live))
            .route("/health/ready", get().to(health::ready_apart))
    });
    let server = server.workers(1).disable_signals().shutdown_timeout(1);
    let server = server
        .bind(listen)
        .with_context(|| format!("cannot listen on {listen}"))?;
    let port = server.addrs().first().map_or(0, std::net::SocketAddr::port);
    write_port_file(settings.metrics_port_file.as_ref(), port)?;
    Ok(Some(server.run()))
}

async fn page(metrics: web::Data<Metrics>) -> HttpResponse {
    match metrics.text() {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
