//! The operator's desk under `/_sandbox`: the ledger, the counts of calls, the switches for behaviour
//! and call-backs, health. No gateway has these paths, no fault reaches them, and no count.

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, Data, Query, ServiceConfig};
use serde::{Deserialize, Serialize};

use crate::Sandbox;
use crate::behaviour::NamedBehaviour;
use crate::webhooks;

/// What the desk says when a request is not understood.
#[derive(Debug, Serialize)]
pub(crate) struct Problem<'a> {
    error: &'a str,
}

impl<'a> Problem<'a> {
    pub(crate) fn new(error: &'a str) -> Self {
        Self { error }
    }
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DropsQuery {
    limit: Option<usize>,
}

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/_sandbox")
            .route("/health", web::get().to(health))
            .service(
                web::resource("/drops")
                    .route(web::get().to(list_drops))
                    .route(web::delete().to(forget_drops)),
            )
            .service(
                web::resource("/behaviour")
                    .route(web::get().to(list_behaviours))
                    .route(web::put().to(set_behaviour)),
            )
            .service(
                web::resource("/calls")
                    .route(web::get().to(list_calls))
                    .route(web::delete().to(forget_calls)),
            )
            .service(
                web::resource("/webhooks")
                    .route(web::get().to(list_webhooks))
                    .route(web::put().to(set_webhook))
                    .route(web::delete().to(forget_webhooks)),
            ),
    );
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ready" })
}

async fn list_drops(request: actix_web::HttpRequest, sandbox: Data<Sandbox>) -> HttpResponse {
    let limit = match Query::<DropsQuery>::from_query(request.query_string()) {
        Ok(query) => query.limit.unwrap_or(usize::MAX),
        Err(error) => return bad_request(&error.to_string()),
    };
    // Off the worker: a long list must not hold up the calls.
    let listed = web::block(move || serde_json::to_vec(&sandbox.ledger.list(limit))).await;
    match listed {
        Ok(Ok(json)) => HttpResponse::Ok()
            .content_type("application/json")
            .body(json),
        _ => HttpResponse::InternalServerError().json(Problem::new("the ledger cannot be listed")),
    }
}

async fn forget_drops(sandbox: Data<Sandbox>) -> HttpResponse {
    match sandbox.ledger.clear() {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => HttpResponse::InternalServerError().json(Problem::new(&format!(
            "the ledger's file cannot be emptied: {error}"
        ))),
    }
}

async fn list_behaviours(sandbox: Data<Sandbox>) -> HttpResponse {
    HttpResponse::Ok().json(sandbox.behaviours.list())
}

async fn set_behaviour(body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    match NamedBehaviour::parse(&body) {
        Ok(named) => {
            sandbox.behaviours.set(named.gateway, named.behaviour);
            sandbox.calls.forget_limit(named.gateway);
            HttpResponse::Ok().json(named)
        }
        Err(error) => bad_request(&error),
    }
}

async fn list_calls(sandbox: Data<Sandbox>) -> HttpResponse {
    HttpResponse::Ok().json(sandbox.calls.list())
}

async fn forget_calls(sandbox: Data<Sandbox>) -> HttpResponse {
    sandbox.calls.forget();
    HttpResponse::NoContent().finish()
}

async fn list_webhooks(sandbox: Data<Sandbox>) -> HttpResponse {
    HttpResponse::Ok().json(sandbox.webhooks.list())
}

async fn set_webhook(body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    match webhooks::parse(&body) {
        Ok((gateway, webhook)) => HttpResponse::Ok().json(sandbox.webhooks.set(gateway, webhook)),
        Err(error) => bad_request(&error),
    }
}

async fn forget_webhooks(sandbox: Data<Sandbox>) -> HttpResponse {
    sandbox.webhooks.forget();
    HttpResponse::NoContent().finish()
}

fn bad_request(error: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(Problem::new(error))
}
