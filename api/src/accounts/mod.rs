//! Customers' accounts: create, get, list.

mod create;
mod hold;
mod present;
mod read;
mod request;

use actix_web::web::{self, ServiceConfig};

pub use hold::hold_create_body;

use crate::error::ApiError;

/// Adds the routes; each path answers 405 to the methods it does not take.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/customers/{customer_id}/accounts")
                .route(web::post().to(create::create))
                .default_service(web::to(|| async { not_allowed("POST") })),
        )
        .service(
            web::resource("/customers/{customer_id}/customer-accounts/list")
                .route(web::get().to(read::list))
                .default_service(web::to(|| async { not_allowed("GET") })),
        )
        .service(
            web::resource("/customers/{customer_id}/customer-accounts/{account_id}")
                .route(web::get().to(read::get))
                .default_service(web::to(|| async { not_allowed("GET") })),
        );
}

fn not_allowed(methods: &'static str) -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed(methods))
}
