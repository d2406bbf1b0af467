//! The OpenAPI 3.1 document: generated from the routes and their types, served at `/openapi.json`, shown at `/docs`, printed by
//! `khata-api openapi`. `common` adds what every call has: headers, errors and the key.

mod common;
mod examples;
mod guide;
mod likely_call;
mod variants;
mod webhooks;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{
    CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ContentEncoding, LOCATION,
};
use actix_web::web::{self, Bytes, ServiceConfig};
use utoipa::OpenApi;
use utoipa_swagger_ui::Config;

use common::Common;
use khata_present::Event;
use variants::Variants;
use webhooks::Webhooks;

use crate::deliveries::WebhookDelivery;
use crate::error::{ApiError, Envelope};
use crate::routes::get;
use crate::schema::{
    BankItem, ConsentBody, EventChoice, ListObject, ManyAccounts, OneBankAccount, OneUpiAddress,
    UpiItem,
};
use crate::webhook_endpoints::WebhookEndpoint;
use crate::{
    accounts, bank_accounts, banks, customers, events, health, webhook_endpoints, webhook_keys,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Khata",
        description = "Stores customers' bank accounts and UPI addresses and proves that they are real.\n\nAuthenticate with HTTP Basic: the API key is the user name, the password is empty. Times are RFC 3339 in UTC, whole seconds.\n\nGuide: [quickstarts](/docs/quickstart) in five languages, [rules of the API](/docs/api), [events and webhooks](/docs/webhooks).",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    external_docs(url = "/docs/api", description = "Guide"),
    tags(
        (name = "Customer accounts", description = "Bank accounts and UPI addresses of customers"),
        (name = "Customers", description = "Your customers"),
        (name = "Events", description = "Changes of your accounts, in order"),
        (name = "Webhook endpoints", description = "Where you get your events"),
        (name = "Webhooks", description = "The calls that Khata makes to your endpoints"),
        (name = "Banks", description = "Branches of banks by IFSC"),
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
        banks::get,
        events::list,
        events::get,
        events::deliveries,
        events::replay,
        webhook_endpoints::create,
        webhook_endpoints::list,
        webhook_endpoints::get,
        webhook_endpoints::change,
        webhook_endpoints::deliveries,
        webhook_endpoints::rotate_secret,
        webhook_endpoints::enable,
        webhook_endpoints::disable,
        webhook_endpoints::test,
        webhook_endpoints::delete,
        webhook_keys::get,
        health::live,
        health::ready,
        health::version,
    ),
    components(schemas(Envelope<'static>, BankItem, UpiItem, ConsentBody, OneBankAccount, OneUpiAddress, ManyAccounts, ListObject, Event, EventChoice, WebhookDelivery, WebhookEndpoint)),
    modifiers(&Variants, &Common, &Webhooks),
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

/// The document as `/openapi.json` serves it.
static JSON: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(serde_json::to_vec(&Document::openapi()).unwrap_or_default()));
static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("/openapi.json")));

static CALLS: LazyLock<Vec<likely_call::Call>> =
    LazyLock::new(|| likely_call::calls(&Document::openapi()));

/// Returns the error of a path that does not exist, which names the call that was probably meant.
pub(crate) fn no_such_call(method: &Method, path: &str, serves_docs: bool) -> ApiError {
    let likely = likely_call::nearest(&CALLS, method.as_str(), path);
    let likely = likely.map_or_else(String::new, |call| format!(" Did you mean {call}?"));
    let docs = if serves_docs { " See /docs." } else { "" };
    ApiError::NoSuchCall(format!("No such endpoint.{likely}{docs}"))
}

/// Adds `/openapi.json` and `/docs`, with the guide.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .route("/openapi.json", get().to(json))
        .configure(guide::routes)
        .route("/docs", get().to(redirect_to_page))
        .route("/docs/swagger-initializer.js", get().to(initializer))
        .route("/docs/{file:.*}", get().to(page));
}

async fn json() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(JSON.clone())
}

async fn initializer() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .body(INITIALIZER)
}

/// A file of the page. Every reply shares the file's bytes, which are part of the program.
async fn page(file: web::Path<String>) -> Result<HttpResponse, ApiError> {
    let found = utoipa_swagger_ui::serve(&file, Arc::clone(&CONFIG));
    let found = found.map_err(|_| ApiError::Internal)?;
    let file = found.ok_or_else(|| no_such_page(&file))?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header((CONTENT_ENCODING, ContentEncoding::Gzip));
    }
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    response.insert_header((CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"));
    Ok(response.content_type(file.content_type).body(bytes))
}

/// Returns the error of a page that does not exist, which names the one that was probably meant.
fn no_such_page(name: &str) -> ApiError {
    let likely = guide::nearest(name);
    let likely = likely.map_or_else(String::new, |page| format!(" Did you mean {page}?"));
    ApiError::NoSuchCall(format!("No such page.{likely} See /docs."))
}

async fn redirect_to_page() -> HttpResponse {
    // With a body, because the HTTP server buffers replies without one for a client that does not read.
    HttpResponse::PermanentRedirect()
        .insert_header((LOCATION, "/docs/"))
        .body("See /docs/.")
}

#[cfg(test)]
mod tests;
