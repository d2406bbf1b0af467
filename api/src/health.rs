//! Health for orchestrators, and the running version. `/health/live` succeeds while the process serves, `/health/ready` while it
//! can store. RabbitMQ is reported but does not decide: without it accounts are stored and validated later.

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix_web::{HttpResponse, Responder, web};
use khata_store::service_check::{Checked, UNKNOWN};
use serde::Serialize;
use utoipa::ToSchema;

use crate::context::State;

/// Time of one commit from which the API is not ready. A commit takes milliseconds, and its callers wait 2.5 s at most.
const STALLED_COMMIT: Duration = Duration::from_secs(5);

/// Status of a process that serves.
#[derive(Serialize, ToSchema)]
pub(crate) struct Live {
    #[schema(example = "live")]
    status: &'static str,
}

/// Whether the API can store, and the state of its dependencies.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ready {
    #[schema(example = "ready")]
    status: &'static str,
    checks: Checks,
}

/// The dependencies. RabbitMQ does not decide.
#[derive(Serialize, ToSchema)]
struct Checks {
    #[schema(example = "up")]
    postgres: &'static str,
    #[schema(example = "current")]
    schema: &'static str,
    /// `missing` if the database role lacks rights that the API needs.
    #[schema(example = "granted")]
    rights: &'static str,
    /// `right` once the keyring has decrypted stored values, or if there are none.
    #[schema(example = "right")]
    keyring: &'static str,
    #[schema(example = "up")]
    rabbitmq: &'static str,
    /// `stalled` while one commit of accounts has taken longer than 5 s.
    #[schema(example = "up")]
    creates: &'static str,
}

/// The build of a program.
#[derive(Serialize, ToSchema)]
pub(crate) struct Build {
    #[schema(example = "khata-api")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The commit's id; `unknown` if the build did not set it.
    #[schema(example = "0123456789abcdef0123456789abcdef01234567")]
    commit: &'static str,
    #[schema(format = DateTime, example = "2026-11-24T10:00:00Z")]
    built_at: &'static str,
}

/// Check that the process serves
#[utoipa::path(get, path = "/health/live", operation_id = "live", tag = "Health",
    responses((status = 200, description = "The process serves.", body = Live)))]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Live { status: "live" })
}

/// Check that the API can store
#[utoipa::path(get, path = "/health/ready", operation_id = "ready", tag = "Health",
    responses((status = 200, description = "The API can store.", body = Ready), (status = 503, description = "The API cannot store.", body = Ready)))]
pub(crate) async fn ready(state: web::Data<State>) -> HttpResponse {
    readiness(&state).await
}

/// `/health/ready` on the listener of the metrics, which no merchant can fill. The state is gone once the API has stopped.
pub(crate) async fn ready_apart(state: web::Data<Weak<State>>) -> HttpResponse {
    match state.upgrade() {
        Some(state) => readiness(&state).await,
        None => HttpResponse::ServiceUnavailable().finish(),
    }
}

async fn readiness(state: &State) -> HttpResponse {
    let check = Arc::clone(&state.service_check);
    let checked = state
        .database
        .read("check the service", move |connection| check.run(connection))
        .await;
    let [schema, rights, keyring] = checked.as_ref().map_or(UNKNOWN, Checked::words);
    let stalls = state.creates.is_committing_for(STALLED_COMMIT);
    let up = |up: bool| if up { "up" } else { "down" };
    let checks = Checks {
        postgres: up(checked.is_ok()),
        schema,
        rights,
        keyring,
        rabbitmq: up(state.wakeup_publisher.is_connected()),
        creates: if stalls { "stalled" } else { "up" },
    };
    let (mut response, status) = if matches!(checked, Ok(Checked::Passed)) && !stalls {
        (HttpResponse::Ok(), "ready")
    } else {
        (HttpResponse::ServiceUnavailable(), "unavailable")
    };
    response.json(Ready { status, checks })
}

/// Get the running version
#[utoipa::path(get, path = "/version", operation_id = "version", tag = "Health",
    responses((status = 200, description = "The build.", body = Build)))]
pub(crate) async fn version() -> impl Responder {
    HttpResponse::Ok().json(Build {
        name: "khata-api",
        version: khata_version::VERSION,
        commit: khata_version::COMMIT,
        built_at: khata_version::built_at(),
    })
}
