//! The routes of the API.

use actix_web::web::{self, ServiceConfig, get, post};
use actix_web::{HttpResponse, Resource, Route, Scope};

use crate::accounts::{create, delete, read, validate};
use crate::error::ApiError;
use crate::{bank_accounts, customers, gateway_webhooks, health};

/// Adds the routes.
pub(crate) fn add(config: &mut ServiceConfig) {
    let customer = [get().to(customers::get), post().to(customers::update)];
    let account = [get().to(read::get), post().to(delete::delete)];
    let validate = [post().to(validate::validate)];
    let bank_account = [
        get().to(bank_accounts::get),
        post().to(bank_accounts::delete),
    ];
    let validate_bank = [post().to(bank_accounts::validate)];
    let of_customer = [
        resource("", "GET, POST", customer),
        resource("/accounts", "POST", [post().to(create::create)]),
        resource("/customer-accounts/list", "GET", [get().to(read::list)]),
        resource("/customer-accounts/{account_id}", "GET, POST", account),
        resource("/customer-accounts/{account_id}/validate", "POST", validate),
        resource("/bank-accounts", "POST", [post().to(bank_accounts::create)]),
        resource(
            "/bank-accounts/list",
            "GET",
            [get().to(bank_accounts::list)],
        ),
        resource("/bank-accounts/{account_id}", "GET, POST", bank_account),
        resource(
            "/bank-accounts/{account_id}/validate",
            "POST",
            validate_bank,
        ),
    ];
    let customers = [post().to(customers::create)];
    let webhooks = [post().to(gateway_webhooks::receive)];
    config
        .service(resource("/health/live", "GET", [get().to(health::live)]))
        .service(resource("/health/ready", "GET", [get().to(health::ready)]))
        .service(resource("/version", "GET", [get().to(health::version)]))
        .service(resource("/customers", "POST", customers))
        .service(
            of_customer
                .into_iter()
                .fold(web::scope("/customers/{customer_id}"), Scope::service),
        )
        .service(resource(
            "/gateways/{gateway}/webhooks/{gateway_account_id}",
            "POST",
            webhooks,
        ));
}

/// A resource with these routes. Other methods get a 405 that names the `allowed` ones.
fn resource<const N: usize>(path: &str, allowed: &'static str, routes: [Route; N]) -> Resource {
    let resource = routes
        .into_iter()
        .fold(web::resource(path), Resource::route);
    resource.default_service(web::to(move || async move {
        Err::<HttpResponse, _>(ApiError::MethodNotAllowed { allowed })
    }))
}
