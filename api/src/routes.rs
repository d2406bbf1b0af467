//! The routes of the API.

use actix_web::guard::{Any, Get, Head};
use actix_web::web::{self, ServiceConfig, post};
use actix_web::{HttpResponse, Resource, Route, Scope};

use crate::accounts::{create, delete, read, validate};
use crate::error::ApiError;
use crate::gateway_webhooks::receive;
use crate::{bank_accounts as bank, banks, customers, health};

/// Adds the routes.
pub(crate) fn add(config: &mut ServiceConfig) {
    let customer = [get().to(customers::get), post().to(customers::update)];
    let account = [get().to(read::get), post().to(delete::delete)];
    let validate = [post().to(validate::validate)];
    let bank_account = [get().to(bank::get), post().to(bank::delete)];
    let revalidate = [post().to(bank::validate)];
    let of_customer = [
        resource("", "GET, HEAD, POST", customer),
        resource("/accounts", "POST", [post().to(create::create)]),
        resource(
            "/customer-accounts/list",
            "GET, HEAD",
            [get().to(read::list)],
        ),
        resource(
            "/customer-accounts/{account_id}",
            "GET, HEAD, POST",
            account,
        ),
        resource("/customer-accounts/{account_id}/validate", "POST", validate),
        resource("/bank-accounts", "POST", [post().to(bank::create)]),
        resource("/bank-accounts/list", "GET, HEAD", [get().to(bank::list)]),
        resource(
            "/bank-accounts/{account_id}",
            "GET, HEAD, POST",
            bank_account,
        ),
        resource("/bank-accounts/{account_id}/validate", "POST", revalidate),
    ];
    let below_customer = web::scope("/customers/{customer_id}");
    let customers = [post().to(customers::create)];
    let branch = [get().to(banks::get)];
    let webhook = "/gateways/{gateway}/webhooks/{gateway_account_id}";
    config
        .service(resource(
            "/health/live",
            "GET, HEAD",
            [get().to(health::live)],
        ))
        .service(resource(
            "/health/ready",
            "GET, HEAD",
            [get().to(health::ready)],
        ))
        .service(resource(
            "/version",
            "GET, HEAD",
            [get().to(health::version)],
        ))
        .service(resource("/banks/ifsc/{ifsc}", "GET, HEAD", branch))
        .service(resource("/customers", "POST", customers))
        .service(of_customer.into_iter().fold(below_customer, Scope::service))
        .service(resource(webhook, "POST", [post().to(receive)]));
}

/// A route for GET, and for HEAD: the HTTP server leaves out the body of its reply.
pub(crate) fn get() -> Route {
    web::route().guard(Any(Get()).or(Head()))
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
