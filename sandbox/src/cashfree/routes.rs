//! Paths, headers and bodies; what is done for them is in `bank` and `upi`. Every call, also one that
//! is refused, meets the latency and the faults that are set.

use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Bytes, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::behaviour::Behaviour;
use crate::cashfree::house::House;
use crate::cashfree::refusal::Refusal;
use crate::cashfree::{CLIENT_ID, CLIENT_SECRET, bank, upi};
use crate::{Sandbox, fault};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/cashfree/verification")
            .route("/bank-account/sync", web::post().to(bank_sync))
            .route("/bank-account/async", web::post().to(bank_async))
            .route("/bank-account", web::get().to(bank_status))
            .route("/upi/penny-drop", web::post().to(upi_penny_drop))
            .route("/upi", web::post().to(upi_look_up))
            .route("/upi", web::get().to(upi_status)),
    );
}

async fn bank_sync(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(&request, &sandbox, "POST /bank-account/sync", |behaviour| {
        bank::verify_now(&sandbox, &parse(&body)?, behaviour)
    })
    .await
}

async fn bank_async(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(
        &request,
        &sandbox,
        "POST /bank-account/async",
        |behaviour| bank::receive(&sandbox, &parse(&body)?, behaviour),
    )
    .await
}

async fn bank_status(request: HttpRequest, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(&request, &sandbox, "GET /bank-account", |behaviour| {
        bank::look_up(&sandbox, &query(&request)?, behaviour)
    })
    .await
}

async fn upi_penny_drop(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(&request, &sandbox, "POST /upi/penny-drop", |behaviour| {
        let version = header(request.headers(), "x-api-version");
        upi::penny_drop(&sandbox, version, &parse(&body)?, behaviour)
    })
    .await
}

async fn upi_look_up(request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(&request, &sandbox, "POST /upi", |_| {
        upi::look_up_vpa(&sandbox, &parse(&body)?)
    })
    .await
}

async fn upi_status(request: HttpRequest, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(&request, &sandbox, "GET /upi", |_| {
        upi::look_up(&sandbox, &query(&request)?)
    })
    .await
}

/// Serves one call: who is calling, what is asked.
async fn serve<T: Serialize>(
    request: &HttpRequest,
    sandbox: &Sandbox,
    route: &'static str,
    work: impl FnOnce(Behaviour) -> Result<T, Refusal>,
) -> HttpResponse {
    fault::serve::<House>(request, sandbox, route, |behaviour| {
        match authenticate(request.headers()).and_then(|()| work(behaviour)) {
            Ok(answer) => HttpResponse::Ok().json(answer),
            Err(refusal) => refusal.answer(),
        }
    })
    .await
}

fn authenticate(headers: &HeaderMap) -> Result<(), Refusal> {
    let pair = (
        header(headers, "x-client-id"),
        header(headers, "x-client-secret"),
    );
    if pair == (Some(CLIENT_ID), Some(CLIENT_SECRET)) {
        Ok(())
    } else {
        Err(Refusal::credentials())
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|_| bad_request())
}

fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Refusal> {
    Query::from_query(request.query_string())
        .map(Query::into_inner)
        .map_err(|_| bad_request())
}

fn bad_request() -> Refusal {
    Refusal::input("bad_request", "Bad request, please check API documentation")
}
