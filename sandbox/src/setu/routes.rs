//! Paths, headers and bodies; what is done for them is in `bank`, `vpa` and `login`.

use std::time::Instant;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::web::{self, Bytes, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::behaviour::Behaviour;
use crate::setu::house::{BankHouse, VpaHouse};
use crate::setu::refusal::{Refusal, UmapRefusal};
use crate::setu::{
    CLIENT_ID, CLIENT_SECRET, MERCHANT_ID, PRODUCT_INSTANCE_ID, UMAP_TOKEN, bank, ids, login, vpa,
};
use crate::{Sandbox, fault};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::scope("/setu/api/verify/ban")
                .route("", web::post().to(bank_sync))
                .route("/async", web::post().to(bank_async))
                .route("/async/{id}", web::get().to(bank_status)),
        )
        .service(
            web::scope("/setu/umap/api/v1/merchants/customer-vpas/verify")
                .route("", web::post().to(vpa_verify))
                .route("/{id}", web::get().to(vpa_status)),
        )
        .route("/setu/umap/v1/users/login", web::post().to(log_in));
}

async fn bank_sync(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(&request, &sandbox, "POST /api/verify/ban", |behaviour| {
        bank::verify_now(&sandbox, &parse(&body)?, behaviour)
    })
    .await
}

async fn bank_async(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(
        &request,
        &sandbox,
        "POST /api/verify/ban/async",
        |behaviour| bank::receive(&sandbox, &parse(&body)?, behaviour),
    )
    .await
}

async fn bank_status(
    request: HttpRequest,
    id: Path<String>,
    sandbox: Data<Sandbox>,
) -> HttpResponse {
    serve(
        &request,
        &sandbox,
        "GET /api/verify/ban/async/{id}",
        |behaviour| bank::look_up(&sandbox, &id, behaviour),
    )
    .await
}

async fn vpa_verify(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve_umap(
        &request,
        &sandbox,
        "POST /umap/api/v1/merchants/customer-vpas/verify",
        |behaviour| vpa::verify(&sandbox, &parse_umap(&body)?, behaviour),
    )
    .await
}

async fn vpa_status(
    request: HttpRequest,
    id: Path<String>,
    sandbox: Data<Sandbox>,
) -> HttpResponse {
    serve_umap(
        &request,
        &sandbox,
        "GET /umap/api/v1/merchants/customer-vpas/verify/{id}",
        |_| vpa::look_up(&sandbox, &id),
    )
    .await
}

async fn log_in(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    let route = "POST /umap/v1/users/login";
    fault::serve::<VpaHouse>(&request, &sandbox, route, |_| {
        let client = header(request.headers(), "client");
        let token = parse_umap(&body).and_then(|asked| login::give_token(&sandbox, client, &asked));
        match token {
            Ok(token) => HttpResponse::Ok().json(token),
            Err(refusal) => refusal.answer(),
        }
    })
    .await
}

/// Serves one call to the data gateway: who is calling, what is asked.
async fn serve<T: Serialize>(
    request: &HttpRequest,
    sandbox: &Sandbox,
    route: &'static str,
    work: impl FnOnce(Behaviour) -> Result<T, Refusal>,
) -> HttpResponse {
    fault::serve::<BankHouse>(request, sandbox, route, |behaviour| {
        match authenticate(request.headers()).and_then(|()| work(behaviour)) {
            Ok(answer) => HttpResponse::Ok().json(answer),
            Err(refusal) => refusal.answer(),
        }
    })
    .await
}

/// Serves one call to UMAP: who is calling, what is asked.
async fn serve_umap<T: Serialize>(
    request: &HttpRequest,
    sandbox: &Sandbox,
    route: &'static str,
    work: impl FnOnce(Behaviour) -> Result<T, UmapRefusal>,
) -> HttpResponse {
    fault::serve::<VpaHouse>(
        request,
        sandbox,
        route,
        |behaviour| match authenticate_umap(request.headers(), sandbox)
            .and_then(|()| work(behaviour))
        {
            Ok(answer) => HttpResponse::Ok()
                .insert_header(("requestId", ids::ulid()))
                .json(answer),
            Err(refusal) => refusal.answer(),
        },
    )
    .await
}

fn authenticate(headers: &HeaderMap) -> Result<(), Refusal> {
    let sent = ["x-client-id", "x-client-secret", "x-product-instance-id"]
        .map(|name| header(headers, name));
    let known = [CLIENT_ID, CLIENT_SECRET, PRODUCT_INSTANCE_ID].map(Some);
    if sent == known {
        Ok(())
    } else {
        Err(Refusal::credentials())
    }
}

fn authenticate_umap(headers: &HeaderMap, sandbox: &Sandbox) -> Result<(), UmapRefusal> {
    let token =
        header(headers, AUTHORIZATION.as_str()).and_then(|sent| sent.strip_prefix("Bearer "));
    let is_good =
        |token: &str| token == UMAP_TOKEN || sandbox.setu.tokens.is_good(token, Instant::now());
    if token.is_some_and(is_good) && header(headers, "merchantId") == Some(MERCHANT_ID) {
        Ok(())
    } else {
        Err(UmapRefusal::forbidden())
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| {
        Refusal::bad_request("Please refer to our docs to send an appropriate request")
    })
}

fn parse_umap<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, UmapRefusal> {
    serde_json::from_slice(body)
        .map_err(|_| UmapRefusal::bad_request("the body is no JSON of this request"))
}
