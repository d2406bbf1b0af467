//! Paths, headers and bodies; what is done for them is in `bank`.

use actix_web::http::header::HeaderMap;
use actix_web::web::{self, Bytes, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::behaviour::Behaviour;
use crate::decentro::house::House;
use crate::decentro::refusal::Refusal;
use crate::decentro::wire::{Answer, StatusQuery};
use crate::decentro::{CLIENT_ID, CLIENT_SECRET, bank};
use crate::{Sandbox, fault};

pub(crate) fn routes(config: &mut ServiceConfig) {
    config.service(
        web::scope("/decentro/v3/banking")
            .route(
                "/money_transfer/validate_bank_account",
                web::post().to(validate_bank_account),
            )
            .route("/account_validation/status", web::get().to(status)),
    );
}

async fn validate_bank_account(
    request: HttpRequest,
    body: Bytes,
    sandbox: Data<Sandbox>,
) -> HttpResponse {
    serve(
        &request,
        &sandbox,
        "POST /v3/banking/money_transfer/validate_bank_account",
        |behaviour| {
            let asked = serde_json::from_slice(&body).map_err(|_| Refusal::malformed())?;
            bank::validate(&sandbox, &asked, behaviour)
        },
    )
    .await
}

async fn status(request: HttpRequest, sandbox: Data<Sandbox>) -> HttpResponse {
    serve(
        &request,
        &sandbox,
        "GET /v3/banking/account_validation/status",
        |behaviour| {
            let query = Query::<StatusQuery>::from_query(request.query_string())
                .map_err(|_| Refusal::malformed())?
                .into_inner();
            bank::look_up(&sandbox, &query, behaviour)
        },
    )
    .await
}

/// Serves one call: who is calling, what is asked.
async fn serve(
    request: &HttpRequest,
    sandbox: &Sandbox,
    route: &'static str,
    work: impl FnOnce(Behaviour) -> Result<Answer, Refusal>,
) -> HttpResponse {
    fault::serve::<House>(request, sandbox, route, |behaviour| {
        match authenticate(request.headers()).and_then(|()| work(behaviour)) {
            Ok(answer) => HttpResponse::Ok().json(answer),
            Err(refusal) => refusal.answer(),
        }
    })
    .await
}

/// The headers `client_id` and `client_secret`, with underscores.
fn authenticate(headers: &HeaderMap) -> Result<(), Refusal> {
    let sent = ["client_id", "client_secret"]
        .map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
    if sent == [CLIENT_ID, CLIENT_SECRET].map(Some) {
        Ok(())
    } else {
        Err(Refusal::credentials())
    }
}
