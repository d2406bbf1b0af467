//! Health for orchestrators: live while the process serves, ready while it can store. RabbitMQ is told of but does
//! not decide: without it accounts are stored, and validated when it is back.

use std::sync::atomic::Ordering;

use actix_web::web::ServiceConfig;
use actix_web::{HttpResponse, web};
use diesel::RunQueryDsl;
use khata_store::pending_migrations;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::state::State;

/// Adds `/health/live` and `/health/ready`.
pub(crate) fn routes(config: &mut ServiceConfig) {
    for (path, route) in [
        ("/health/live", web::get().to(live)),
        ("/health/ready", web::get().to(ready)),
    ] {
        let others = web::to(|| async { Err::<&str, _>(ApiError::MethodNotAllowed("GET")) });
        config.service(web::resource(path).route(route).default_service(others));
    }
}

/// The process serves.
#[derive(Serialize, ToSchema)]
pub(crate) struct Live {
    #[schema(example = "live")]
    status: &'static str,
}

/// Whether it can store, and what it depends on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ready {
    #[schema(example = "ready")]
    status: &'static str,
    checks: Checks,
}

/// The parts. RabbitMQ does not decide.
#[derive(Serialize, ToSchema)]
struct Checks {
    #[schema(example = "up")]
    postgres: &'static str,
    #[schema(example = "current")]
    schema: &'static str,
    #[schema(example = "up")]
    rabbitmq: &'static str,
}

/// Is the process serving?
#[utoipa::path(get, path = "/health/live", operation_id = "live", tag = "Health",
    responses((status = 200, description = "It is.", body = Live)))]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Live { status: "live" })
}

/// Can it store?
#[utoipa::path(get, path = "/health/ready", operation_id = "ready", tag = "Health",
    responses((status = 200, description = "It can.", body = Ready), (status = 503, description = "It cannot.", body = Ready)))]
pub(crate) async fn ready(state: web::Data<State>) -> HttpResponse {
    let schema_was_current = state.schema_is_current.load(Ordering::Relaxed);
    let postgres = state
        .read("look at schema", move |connection| {
            if schema_was_current {
                diesel::sql_query("select 1").execute(connection)?;
                return Ok(0);
            }
            pending_migrations(connection)
        })
        .await;
    let schema = match &postgres {
        Ok(0) => {
            state.schema_is_current.store(true, Ordering::Relaxed);
            "current"
        }
        Ok(_) => "behind: run `khata-api migrate`",
        Err(_) => "unknown",
    };
    let ready = matches!(postgres, Ok(0));
    let body = Ready {
        status: if ready { "ready" } else { "unavailable" },
        checks: Checks {
            postgres: if postgres.is_ok() { "up" } else { "down" },
            schema,
            rabbitmq: if state.wakeup_publisher.is_connected() {
                "up"
            } else {
                "down"
            },
        },
    };
    if ready {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}
