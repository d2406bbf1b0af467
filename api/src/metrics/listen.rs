//! `/metrics` on a port of its own, which no merchant reaches.

use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use khata_telemetry::metrics::CONTENT_TYPE;

use super::Metrics;

/// Binds the endpoint; the caller runs the server and stops it.
pub(crate) fn serve(metrics: Arc<Metrics>, listen: &str) -> std::io::Result<(Server, u16)> {
    let server = HttpServer::new(move || {
        App::new()
            .app_data(web::Data::from(Arc::clone(&metrics)))
            .route("/metrics", web::get().to(tell))
    })
    .workers(1)
    .disable_signals()
    .shutdown_timeout(1)
    .bind(listen)?;
    let port = server.addrs().first().map_or(0, std::net::SocketAddr::port);
    Ok((server.run(), port))
}

async fn tell(metrics: web::Data<Metrics>) -> HttpResponse {
    match metrics.text() {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}
