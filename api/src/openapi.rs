//! The OpenAPI 3.1 document: made from the routes and the types they answer with, served at `/openapi.json`, shown at
//! `/docs`, printed by `khata-api openapi`. What every call has in common (headers, errors, the key) is added here.

mod answers;
mod common;
mod requests;

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{self, ServiceConfig};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use common::Common;

use crate::error::Envelope;
use crate::{accounts, bank_accounts, customers, health, version};

pub(crate) use answers::*;
pub(crate) use requests::*;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Khata",
        description = "Stores customers' bank accounts and UPI addresses and proves that they are real.\n\nUser name of HTTP Basic is the API key, the password is empty. Times are RFC 3339 in UTC, whole seconds.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "Customer accounts", description = "Bank accounts and UPI addresses of customers"),
        (name = "Customers", description = "Whose accounts they are"),
        (name = "Bank accounts (deprecated)", description = "Another face of the same accounts, for code that still calls it"),
        (name = "Health", description = "For orchestrators, and what runs"),
    ),
    paths(
        accounts::create::create,
        accounts::read::get,
        accounts::read::list,
        accounts::change::validate,
        accounts::change::delete,
        customers::create,
        customers::get,
        customers::update,
        bank_accounts::create,
        bank_accounts::get,
        bank_accounts::list,
        bank_accounts::validate,
        bank_accounts::delete,
        health::live,
        health::ready,
        version::version,
    ),
    components(schemas(Envelope<'static>)),
    modifiers(&Common),
)]
struct Document;

/// The document.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The document as it is printed, and kept in `docs/openapi.json`.
pub fn print() -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(&document())?;
    text.push('\n');
    Ok(text)
}

/// Starts the page, in place of the script that comes with it. That one lets the browser take part in the calls: a key
/// that is refused would open the browser's own dialog for a password, and the page would wait for its answer.
const START: &str = include_str!("start.js");

/// Adds `/openapi.json` and `/docs`.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let page = SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json"));
    config
        .route("/openapi.json", web::get().to(json))
        .route("/docs", web::get().to(to_page))
        .route("/docs/swagger-initializer.js", web::get().to(start))
        .service(page);
}

async fn json() -> HttpResponse {
    HttpResponse::Ok().json(document())
}

async fn start() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .body(START)
}

async fn to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_in_step() {
        let committed = include_str!("../../docs/openapi.json");
        assert!(
            committed == print().unwrap(),
            "say: cargo run -p khata-api -- openapi > docs/openapi.json"
        );
    }
}
