//! The control API under `/_sandbox`: the ledger, the counts of calls, the switches for behaviour and
//! webhooks, health. No fault affects it, and no count includes it.

use actix_web::web::{self, Bytes, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::profile::json_text;
use crate::state::Sandbox;
use crate::{behaviour, webhooks};

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
                    .route(web::delete().to(clear_drops)),
            )
            .service(
                web::resource("/behaviour")
                    .route(web::get().to(list_behaviours))
                    .route(web::put().to(set_behaviour)),
            )
            .service(
                web::resource("/calls")
                    .route(web::get().to(list_calls))
                    .route(web::delete().to(reset_calls)),
            )
            .service(
                web::resource("/webhooks")
                    .route(web::get().to(list_webhooks))
                    .route(web::put().to(set_webhook))
                    .route(web::delete().to(remove_webhooks)),
            ),
    );
}

/// Replies to a path that no gateway has.
pub(crate) async fn no_such_path() -> HttpResponse {
    HttpResponse::NotFound().json(json!({"error": "there is nothing at this path"}))
}

async fn health() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ready"}))
}

async fn list_drops(request: HttpRequest, sandbox: Data<Sandbox>) -> HttpResponse {
    let limit = match Query::<DropsQuery>::from_query(request.query_string()) {
        Ok(query) => query.limit.unwrap_or(usize::MAX),
        Err(error) => return reply(Err::<(), _>(error.to_string())),
    };
    // On another thread: a long list must not delay the calls.
    let listed = web::block(move || serde_json::to_string(&sandbox.ledger.list(limit))).await;
    match listed {
        Ok(Ok(json)) => json_text(json),
        _ => HttpResponse::InternalServerError()
            .json(json!({"error": "the ledger cannot be listed"})),
    }
}

async fn clear_drops(sandbox: Data<Sandbox>) -> HttpResponse {
    match sandbox.ledger.clear() {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => {
            let error = format!("the ledger file cannot be emptied: {error}");
            HttpResponse::InternalServerError().json(json!({"error": error}))
        }
    }
}

async fn list_behaviours(sandbox: Data<Sandbox>) -> HttpResponse {
    HttpResponse::Ok().json(sandbox.behaviours.list(|behaviour| *behaviour))
}

async fn set_behaviour(body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    reply(behaviour::parse(&body, &sandbox.gateways).inspect(|named| {
        *sandbox.behaviours.lock(named.gateway) = named.value;
        sandbox.calls.reset_limit(named.gateway);
    }))
}

async fn list_calls(sandbox: Data<Sandbox>) -> HttpResponse {
    HttpResponse::Ok().json(sandbox.calls.list())
}

async fn reset_calls(sandbox: Data<Sandbox>) -> HttpResponse {
    sandbox.calls.reset_counts();
    HttpResponse::NoContent().finish()
}

async fn list_webhooks(sandbox: Data<Sandbox>) -> HttpResponse {
    HttpResponse::Ok().json(sandbox.webhooks.list())
}

async fn set_webhook(body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    reply(webhooks::parse(&body, &sandbox.gateways).map(|named| sandbox.webhooks.set(named)))
}

async fn remove_webhooks(sandbox: Data<Sandbox>) -> HttpResponse {
    sandbox.webhooks.remove_all();
    HttpResponse::NoContent().finish()
}

fn reply(result: Result<impl Serialize, String>) -> HttpResponse {
    match result {
        Ok(value) => HttpResponse::Ok().json(value),
        Err(error) => HttpResponse::BadRequest().json(json!({"error": error})),
    }
}
