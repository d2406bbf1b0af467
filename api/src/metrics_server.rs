//! Serves `/metrics` on a separate port that merchants cannot reach.

use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context;
use khata_config::write_port_file;
use khata_telemetry::metrics::CONTENT_TYPE;

use crate::metrics::Metrics;
use crate::settings::ServeSettings;

/// Binds the endpoint, if the settings name an address. The caller runs and stops the server.
pub(crate) fn bind(
    settings: &ServeSettings,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Option<Server>> {
    let listen = &settings.metrics_listen;
    if listen.is_empty() {
        return Ok(None);
    }
    let metrics = web::Data::from(metrics);
    let server = HttpServer::new(move || {
        let app = App::new().app_data(metrics.clone());
        app.route("/metrics", web::get().to(page))
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
