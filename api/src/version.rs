//! What runs, told to whoever asks: without a key, and nothing that is not public.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// Adds `/version`.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let others = web::to(|| async { Err::<&str, _>(ApiError::MethodNotAllowed("GET")) });
    let route = web::get().to(version);
    config.service(
        web::resource("/version")
            .route(route)
            .default_service(others),
    );
}

/// What a program was built from.
#[derive(Serialize, ToSchema)]
pub(crate) struct Build {
    #[schema(example = "khata-api")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The commit's id; `unknown` where the build was not told.
    #[schema(example = "0123456789abcdef0123456789abcdef01234567")]
    commit: &'static str,
    #[schema(format = DateTime, example = "2026-11-24T10:00:00Z")]
    built_at: &'static str,
}

/// What runs here?
#[utoipa::path(get, path = "/version", operation_id = "version", tag = "Health",
    responses((status = 200, description = "This.", body = Build)))]
pub(crate) async fn version() -> impl Responder {
    HttpResponse::Ok().json(Build {
        name: "khata-api",
        version: khata_version::VERSION,
        commit: khata_version::COMMIT,
        built_at: khata_version::built_at(),
    })
}
