//! Customers' accounts: create, get, list, validate again, delete.

pub(crate) mod create;
pub(crate) mod delete;
mod fuzzing;
mod new_accounts;
pub(crate) mod read;
pub(crate) mod request;
pub(crate) mod validate;

use actix_web::web::{self, ServiceConfig};

pub use fuzzing::fuzz_create_body;

use crate::error::method_not_allowed;

/// Adds the routes.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/customers/{customer_id}/accounts")
                .route(web::post().to(create::create))
                .default_service(method_not_allowed("POST")),
        )
        .service(
            web::resource("/customers/{customer_id}/customer-accounts/list")
                .route(web::get().to(read::list))
                .default_service(method_not_allowed("GET")),
        )
        .service(
            web::resource("/customers/{customer_id}/customer-accounts/{account_id}")
                .route(web::get().to(read::get))
                .route(web::post().to(delete::delete))
                .default_service(method_not_allowed("GET, POST")),
        )
        .service(
            web::resource("/customers/{customer_id}/customer-accounts/{account_id}/validate")
                .route(web::post().to(validate::validate))
                .default_service(method_not_allowed("POST")),
        );
}
