//! Serves `/metrics` on a separate port that merchants cannot reach.

use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use khata_telemetry::metrics::CONTENT_TYPE;

use crate::metrics::Metrics;

/// Binds the endpoint. The caller runs and stops the server.
pub(crate) fn bind(metrics: Arc<Metrics>, listen: &str) -> std::io::Result<(Server, u16)> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&metrics)))
            .route("/metrics", web::get().to(page))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)?;
    let port = server.addrs().first().map_or(0, std::net::SocketAddr::port);
    Ok((server.run(), port))
}

async fn page(metrics: web::Data<Metrics>) -> HttpResponse {
    match metrics.text() {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
