//! Customers' accounts: create, get, list, validate again, delete.

pub(crate) mod answer;
pub(crate) mod change;
pub(crate) mod create;
mod fuzzing;
pub(crate) mod present;
pub(crate) mod read;
pub(crate) mod request;

pub(crate) use change::{delete_account, validate_account};
pub(crate) use create::render_created;

use actix_web::web::{self, ServiceConfig};

pub use fuzzing::fuzz_create_body;

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
                .route(web::post().to(change::delete))
                .default_service(web::to(|| async { not_allowed("GET, POST") })),
        )
        .service(
            web::resource("/customers/{customer_id}/customer-accounts/{account_id}/validate")
                .route(web::post().to(change::validate))
                .default_service(web::to(|| async { not_allowed("POST") })),
        );
}

pub(crate) fn not_allowed(methods: &'static str) -> Result<&'static str, ApiError> {
    Err(ApiError::MethodNotAllowed(methods))
}
