//! The routes of the API.

use actix_web::guard::{Any, Get, Head};
use actix_web::web::{self, ServiceConfig, post};
use actix_web::{HttpResponse, Resource, Route, Scope};

use crate::accounts::{create, delete, read, validate};
use crate::error::ApiError;
use crate::gateway_webhooks::receive;
use crate::{
    bank_accounts as bank, banks, customers, events, health, webhook_endpoints as endpoints,
    webhook_keys,
};

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
    let of_events = [
        resource("", "GET, HEAD", [get().to(events::list)]),
        resource("/{event_id}", "GET, HEAD", [get().to(events::get)]),
        resource(
            "/{event_id}/deliveries",
            "GET, HEAD",
            [get().to(events::deliveries)],
        ),
        resource("/{event_id}/replay", "POST", [post().to(events::replay)]),
    ];
    let all_endpoints = [get().to(endpoints::list), post().to(endpoints::create)];
    let endpoint = [get().to(endpoints::get), post().to(endpoints::change)];
    let rotate_secret = [post().to(endpoints::rotate_secret)];
    let of_endpoints = [
        resource("", "GET, HEAD, POST", all_endpoints),
        resource("/{endpoint_id}", "GET, HEAD, POST", endpoint),
        resource(
            "/{endpoint_id}/deliveries",
            "GET, HEAD",
            [get().to(endpoints::deliveries)],
        ),
        resource("/{endpoint_id}/rotate-secret", "POST", rotate_secret),
        resource(
            "/{endpoint_id}/enable",
            "POST",
            [post().to(endpoints::enable)],
        ),
        resource(
            "/{endpoint_id}/disable",
            "POST",
            [post().to(endpoints::disable)],
        ),
        resource("/{endpoint_id}/test", "POST", [post().to(endpoints::test)]),
        resource(
            "/{endpoint_id}/delete",
            "POST",
            [post().to(endpoints::delete)],
        ),
    ];
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
        .service(scope("/customers/{customer_id}", of_customer))
        .service(scope("/events", of_events))
        .service(scope("/webhook-endpoints", of_endpoints))
        .service(resource(
            "/.well-known/webhooks/{endpoint_id}/jwks.json",
            "GET, HEAD",
            [get().to(webhook_keys::get)],
        ))
        .service(resource(webhook, "POST", [post().to(receive)]));
}

/// A route for GET, and for HEAD: the HTTP server leaves out the body of its reply.
pub(crate) fn get() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

/// Resources below one path.
fn scope<const N: usize>(path: &str, resources: [Resource; N]) -> Scope {
    resources.into_iter().fold(web::scope(path), Scope::service)
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
