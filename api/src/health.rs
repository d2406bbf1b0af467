//! Health for orchestrators: live while the process serves, ready while it can store. RabbitMQ is told of but does
//! not decide: without it accounts are stored, and validated when it is back.

use std::sync::atomic::Ordering;

use actix_web::{HttpResponse, web};
use diesel::RunQueryDsl;
use khata_shared::store::pending_migrations;

use crate::state::State;

pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "live" }))
}

pub(crate) async fn ready(state: web::Data<State>) -> HttpResponse {
    let schema_was_current = state.schema_is_current.load(Ordering::Relaxed);
    let postgres = state
        .read(move |connection| {
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
    let body = serde_json::json!({
        "status": if ready { "ready" } else { "unavailable" },
        "checks": {
            "postgres": if postgres.is_ok() { "up" } else { "down" },
            "schema": schema,
            "rabbitmq": if state.ringer.is_connected() { "up" } else { "down" },
        },
    });
    if ready {
        HttpResponse::Ok().json(body)
    } else {
        HttpResponse::ServiceUnavailable().json(body)
    }
}
