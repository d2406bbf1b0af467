//! The OpenAPI 3.1 document: generated from the routes and their types, served at `/openapi.json`, shown at `/docs`, printed by
//! `khata-api openapi`. `common` adds what every call has: headers, errors and the key.

mod common;

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{self, ServiceConfig};
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use common::Common;

use crate::error::Envelope;
use crate::schema::{
    BankItem, ConsentBody, ListObject, ManyAccounts, OneBankAccount, OneUpiAddress, UpiItem,
};
use crate::{accounts, bank_accounts, customers, health};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Khata",
        description = "Stores customers' bank accounts and UPI addresses and proves that they are real.\n\nAuthenticate with HTTP Basic: the API key is the user name, the password is empty. Times are RFC 3339 in UTC, whole seconds.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "Customer accounts", description = "Bank accounts and UPI addresses of customers"),
        (name = "Customers", description = "Your customers"),
        (name = "Bank accounts (deprecated)", description = "Legacy endpoints for the same accounts. Do not use in new code"),
        (name = "Health", description = "Health for orchestrators, and the running version"),
    ),
    paths(
        accounts::create::create,
        accounts::read::get,
        accounts::read::list,
        accounts::validate::validate,
        accounts::delete::delete,
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
        health::version,
    ),
    components(schemas(Envelope<'static>, BankItem, UpiItem, ConsentBody, OneBankAccount, OneUpiAddress, ManyAccounts, ListObject)),
    modifiers(&Common),
)]
struct Document;

/// The document as text, as `docs/openapi.json` holds it.
pub fn print() -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(&Document::openapi())?;
    text.push('\n');
    Ok(text)
}

/// Starts the page, in place of the script that comes with it. With that script the browser handles authentication: a
/// rejected key would open the browser's password dialog and block the page.
const INITIALIZER: &str = include_str!("start.js");

/// Adds `/openapi.json` and `/docs`.
pub(crate) fn routes(config: &mut ServiceConfig) {
    let page = SwaggerUi::new("/docs/{_:.*}").config(Config::from("/openapi.json"));
    config
        .route("/openapi.json", web::get().to(json))
        .route("/docs", web::get().to(redirect_to_page))
        .route("/docs/swagger-initializer.js", web::get().to(initializer))
        .service(page);
}

async fn json() -> HttpResponse {
    HttpResponse::Ok().json(Document::openapi())
}

async fn initializer() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .body(INITIALIZER)
}

async fn redirect_to_page() -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_document_is_current() {
        let committed = include_str!("../../docs/openapi.json");
        assert!(
            committed == print().unwrap(),
            "run: cargo run -p khata-api -- openapi > docs/openapi.json"
        );
    }
}
